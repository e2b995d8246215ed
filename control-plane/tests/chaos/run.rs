//! One run: load, kills, quiet, and the look at what is kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nacre_emulator::testing::DevNsm;
use nacre_failpoint::{Moment, Point, Process, Step};
use nacre_protocol::api::Version;
use nacre_protocol::ids::JobId;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::callers::{self, Kind};
use crate::deck::{Deck, Kill};
use crate::fleet::{Fleet, wait_until};
use crate::invariants::violations;
use crate::kept::{Kept, pending};
use crate::report::Tally;
use crate::signer::Signer;
use crate::site::{PATIENCE, Site, now_ms};
use crate::support::IMAGE;
use crate::{hooks, nodes};

/// Kills unless `NACRE_CHAOS_KILLS` says otherwise.
const KILLS: usize = 20;
const CALLERS: u64 = 12;
const NODES: u8 = 3;
const LANES: usize = 3;
/// How long a point is waited for before the next is tried.
const TURN: Duration = Duration::from_secs(5);
/// Jobs of the time in which they are forgotten.
const FORGOTTEN: u8 = 6;

/// Runs it, and fails if anything does not fit.
pub(crate) fn run(what: &str, postgres: Option<String>, replicas: usize) {
    let seed = number("NACRE_CHAOS_SEED").unwrap_or(1);
    let kills = number("NACRE_CHAOS_KILLS").map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    let began = Instant::now();
    let runtime = Runtime::new().unwrap();
    let mut nsm = DevNsm::new(IMAGE, now_ms());
    let site = Arc::new(runtime.block_on(Site::new(postgres, replicas, &nsm)));
    let mut fleet = Fleet::start(Arc::clone(&site));
    let mut signers: Vec<_> = (1..=NODES).map(Signer::new).collect();
    let version = runtime.block_on(site.set_up(&mut nsm, &mut signers));
    *site.hook.write().unwrap() = runtime.block_on(hooks::listen(Arc::clone(&site)));
    let load = Load::start(&runtime, &site, signers, &version, seed);

    let points = Point::of(Process::ControlPlane).filter(|point| point.step != Step::ForgetJobs);
    let mut deck = Deck::new(seed, points, replicas, 6);
    let mut tally = Tally::default();
    while tally.kills() < kills {
        match deck.draw() {
            Kill::At(point) if fleet.kill_at(point, TURN) => {
                *tally.at.entry(point).or_default() += 1
            }
            Kill::At(point) => {
                tally.missed += 1;
                deck.put_back(point);
            }
            Kill::Anywhere { process, answers } => {
                let wanted = site.answers.load(Ordering::SeqCst) + answers;
                assert!(wait_until(PATIENCE, || site.answers.load(Ordering::SeqCst) >= wanted));
                fleet.kill(process);
                tally.anywhere += 1;
            }
        }
    }
    load.end_callers();
    assert!(quiet(&runtime, &site), "something is left to do");
    forget(&runtime, &site, &mut fleet, &version, &mut tally);
    load.end_nodes(&runtime);
    fleet.stop();

    let kept = runtime.block_on(Kept::read(&site.database(), &site.objects()));
    let told = site.told();
    tally.print(what, seed, began.elapsed(), &told, &kept);
    let found = violations(&told, &kept, now_ms());
    assert!(found.is_empty(), "{found:#?}");
    assert!(
        site.postgres.is_some() || kept.staged.is_empty(),
        "{:?}",
        kept.staged
    );
    let all = Point::of(Process::ControlPlane);
    let never: Vec<_> = all.filter(|point| !tally.at.contains_key(point)).collect();
    let long = kills >= 2 * Point::of(Process::ControlPlane).count();
    assert!(!long || never.is_empty(), "nobody died at {never:?}");
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())?;
    Some(text.parse().expect("a number"))
}

/// Those who lay jobs in, and those who run them.
struct Load {
    site: Arc<Site>,
    callers: Vec<JoinHandle<()>>,
    lanes: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(
        runtime: &Runtime,
        site: &Arc<Site>,
        signers: Vec<Signer>,
        version: &Version,
        seed: u64,
    ) -> Self {
        let callers = (0..CALLERS).map(|n| {
            let seed = seed.wrapping_mul(1_000).wrapping_add(n);
            runtime.spawn(callers::lay_in_on_and_on(
                Arc::clone(site),
                version.clone(),
                seed,
            ))
        });
        let callers = callers.collect();
        let signers = signers.into_iter().map(Arc::new);
        let lanes = signers.flat_map(|signer| (0..LANES).map(move |_| Arc::clone(&signer)));
        let lanes =
            lanes.map(|signer| runtime.spawn(nodes::work_on_and_on(Arc::clone(site), signer)));
        Self {
            site: Arc::clone(site),
            callers,
            lanes: lanes.collect(),
        }
    }

    fn end_callers(&self) {
        self.site.enough.store(true, Ordering::SeqCst);
        assert!(wait_until(PATIENCE, || self
            .callers
            .iter()
            .all(JoinHandle::is_finished)));
    }

    fn end_nodes(self, runtime: &Runtime) {
        self.site.over.store(true, Ordering::SeqCst);
        for task in self.callers.into_iter().chain(self.lanes) {
            runtime.block_on(task).unwrap();
        }
    }
}

/// Waits until every job has ended, everybody was told, and what was to be deleted is.
fn quiet(runtime: &Runtime, site: &Site) -> bool {
    wait_until(PATIENCE, || {
        runtime.block_on(pending(&site.database(), now_ms())) == 0
    })
}

/// Jobs that are kept for a second only: they go without a trace, though one process dies just before and one just after.
fn forget(
    runtime: &Runtime,
    site: &Arc<Site>,
    fleet: &mut Fleet,
    version: &Version,
    tally: &mut Tally,
) {
    fleet.restart_with(&["--job-retention-s=1"]);
    for moment in [Moment::Before, Moment::After] {
        let ids: Vec<_> = (1..=FORGOTTEN)
            .map(|n| JobId::from_random([n; 16]))
            .collect();
        for id in &ids {
            runtime.block_on(async {
                callers::lay_in(site, version, *id, Kind::Plain, false).await;
                callers::follow(site, *id, Kind::Plain, 0).await;
            });
        }
        let old = now_ms() + 1_500;
        assert!(wait_until(PATIENCE, || now_ms() > old));
        let step = Step::ForgetJobs;
        let point = Point { step, moment };
        assert!(fleet.kill_at_start(point), "nobody came to {point}");
        *tally.at.entry(point).or_default() += 1;
        assert!(quiet(runtime, site), "something is left to do");
        let mut told = site.told();
        for id in &ids {
            told.jobs.remove(id);
            told.taken.remove(id);
        }
    }
}
