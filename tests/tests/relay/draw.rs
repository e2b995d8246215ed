//! Operators' relays in the draw: who is drawn answers while the job is its alone, or loses stake.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use alloy::primitives::{Address, U256};
use anyhow::ensure;
use nacre_chain::contracts::JobRelay;
use nacre_failpoint::{HIT, Moment, NEXT, Point, Step};
use nacre_tests::platform::{binary, wait_for};

use crate::contracts::{LATE, STAKE, Times};
use crate::net::{Net, ONE, OTHER, OWNER, account};
use crate::net_or_leave;
use crate::process::RelayProcess;
use crate::site::{Asked, AskedJob, Ground, Site};

/// How long a term may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

const TIMES: Times = Times {
    term: 24,
    reveal: 8,
    exclusive: 16,
    key_lifetime: 86_400,
};

impl Site {
    fn secrets(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.draw"))
    }

    /// Waits until the draw has a committee, in this term or a later one; the term.
    fn until_seated(&self, term: u32) -> anyhow::Result<u32> {
        let contract = JobRelay::new(self.contract(), &self.net.provider);
        wait_for("a committee", PATIENCE, || {
            let state = contract.drawState();
            let state = self.net.runtime.block_on(state.call().into_future());
            let state = state.ok()?;
            (state.term >= term && state.seated != 0).then_some(state.term)
        })
    }

    fn drawn_for(&self, job: &AskedJob) -> anyhow::Result<Address> {
        let contract = JobRelay::new(self.contract(), &self.net.provider);
        wait_for("a draw", PATIENCE, || {
            let turn = contract.assignedTo(job.id);
            let turn = self.net.runtime.block_on(turn.call().into_future());
            let operator = turn.ok()?.operator;
            (operator != Address::ZERO).then_some(operator)
        })
    }

    fn stake_of(&self, of: usize) -> anyhow::Result<U256> {
        self.net.runtime.block_on(self.contracts.stake_of(of))
    }

    /// `nacre chain slash` or `cancel`, sent by the owner; what it says where it is refused.
    fn act(&self, what: &str, job: &AskedJob) -> anyhow::Result<Result<(), String>> {
        let output = Command::new(binary("nacre"))
            .args(["chain", what, &job.id.to_string()])
            .args(["--rpc", self.net.url().as_str()])
            .arg("--deployment")
            .arg(self.deployment())
            .arg("--key-file")
            .arg(self.key_file(OWNER)?)
            .output()?;
        Ok(match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8(output.stderr)?),
        })
    }
}

#[test]
fn the_drawn_operator_answers_while_the_job_is_its_alone() -> anyhow::Result<()> {
    let ground = Ground {
        times: TIMES,
        operator: ONE,
        staked: vec![ONE],
    };
    let site = Site::on(net_or_leave!(), &ground)?;
    let own = site
        .plan("one", ONE)?
        .operating(&site.secrets("one"))
        .start()?;
    let stranger = account(OTHER)?.address().to_string();
    let other = site.relay("other", &["--operator", &stranger])?;
    let first = site.until_seated(1)?;
    for term in [first, first + 1] {
        site.until_seated(term)?;
        let job = site.ask(Asked::default())?;
        ensure!(job.assured);
        assert_eq!(site.drawn_for(&job)?, account(ONE)?.address());
        let output = site.answer(&job)?;
        site.example.check(&serde_json::from_slice(&output)?)?;
        assert!(site.record_of(&job)?.inTime, "in term {term}");
        let refused = site.act("slash", &job)?.unwrap_err();
        ensure!(refused.contains("not-late"), "{refused}");
    }
    assert_eq!(site.transactions(OTHER)?, 0, "it spends no gas");
    assert_eq!(site.stake_of(ONE)?, U256::from(STAKE));
    own.stop()?;
    other.stop()
}

/// The other account is the only one with stake.
fn others_ground() -> Ground {
    Ground {
        times: TIMES,
        operator: OWNER,
        staked: vec![OTHER],
    }
}

impl Site {
    /// The other account's relay: it shows its links, and its platform is away.
    fn silent_operator(&self) -> anyhow::Result<RelayProcess> {
        let url = self.net.url().to_string();
        self.plan_with("other", OTHER, &[url], "http://127.0.0.1:9")?
            .operating(&self.secrets("other"))
            .start()
    }
}

#[test]
fn a_drawn_operator_that_does_not_answer_is_slashed_and_another_answers() -> anyhow::Result<()> {
    let site = Site::on(net_or_leave!(), &others_ground())?;
    let silent = site.silent_operator()?;
    let one = site.relay("one", &[])?;
    site.until_seated(1)?;
    let job = site.ask(Asked::default())?;
    assert_eq!(site.drawn_for(&job)?, account(OTHER)?.address());
    site.answer(&job)?;
    let record = site.record_of(&job)?;
    assert!(record.assured && !record.inTime);
    assert_eq!(
        site.transactions(ONE)?,
        1,
        "it waited for its turn, and paid once"
    );
    site.act("slash", &job)?.map_err(anyhow::Error::msg)?;
    assert_eq!(site.stake_of(OTHER)?, U256::from(STAKE - LATE));
    let refused = site.act("slash", &job)?.unwrap_err();
    ensure!(refused.contains("not-late"), "{refused}");

    // Where nobody is left to show links, jobs are anybody's soon.
    drop(silent);
    let job = site.ask(Asked::default())?;
    site.answer(&job)?;
    assert_eq!(site.transactions(ONE)?, 2);
    one.stop()
}

#[test]
fn a_job_that_nobody_answers_is_cancelled_and_its_operator_slashed() -> anyhow::Result<()> {
    let site = Site::on(net_or_leave!(), &others_ground())?;
    let silent = site.silent_operator()?;
    site.until_seated(1)?;
    let within = 2 * TIMES.exclusive + 5;
    let job = site.ask(Asked {
        within,
        ..Asked::default()
    })?;
    site.drawn_for(&job)?;
    let asked = site.net.runtime.block_on(site.now())?;
    let refused = site.act("cancel", &job)?.unwrap_err();
    ensure!(refused.contains("deadline-not-passed"), "{refused}");
    wait_for("its deadline", PATIENCE, || {
        let now = site.net.runtime.block_on(site.now()).ok()?;
        (now > asked + within).then_some(())
    })?;
    site.act("cancel", &job)?.map_err(anyhow::Error::msg)?;
    site.act("slash", &job)?.map_err(anyhow::Error::msg)?;
    assert_eq!(site.stake_of(OTHER)?, U256::from(STAKE - LATE));
    let contract = JobRelay::new(site.contract(), &site.net.provider);
    let owed = contract.owed(Address::ZERO, account(OWNER)?.address());
    let owed = site.net.runtime.block_on(owed.call().into_future())?;
    assert_eq!(
        owed,
        U256::from(Asked::default().fee),
        "the requester's again"
    );
    silent.stop()
}

#[test]
fn whatever_step_an_operator_dies_at_it_goes_on_with_its_chain() -> anyhow::Result<()> {
    let ground = Ground {
        times: TIMES,
        operator: ONE,
        staked: vec![ONE],
    };
    let site = Site::on(net_or_leave!(), &ground)?;
    let (secrets, folder) = (site.secrets("one"), site.dir.path().join("failpoints"));
    std::fs::create_dir(&folder)?;
    let steps = [Step::KeepTransaction, Step::SendTransaction];
    let points = steps
        .into_iter()
        .flat_map(|step| [Moment::Before, Moment::After].map(|moment| Point { step, moment }));
    // It dies while it enlists, or starts a term, or shows a link.
    for point in points {
        std::fs::write(folder.join(NEXT), point.to_string())?;
        let plan = site.plan("one", ONE)?.operating(&secrets);
        let mut relay = plan.mortal(&folder).start()?;
        site.ask(Asked::default())?;
        wait_for("it dies", PATIENCE, || match relay.has_left() {
            Ok(false) => None,
            left => Some(left),
        })??;
        ensure!(std::fs::remove_file(folder.join(HIT)).is_ok(), "{point}");
    }
    let relay = site.plan("one", ONE)?.operating(&secrets).start()?;
    let in_time = || -> anyhow::Result<bool> {
        let job = site.ask(Asked::default())?;
        site.answer(&job)?;
        Ok(site.record_of(&job)?.inTime)
    };
    wait_for("an answer in time", 2 * PATIENCE, || match in_time() {
        Ok(false) => None,
        answered => Some(answered),
    })??;
    assert_eq!(site.stake_of(ONE)?, U256::from(STAKE));
    relay.stop()
}
