//! Gas prices that jump, keys that expire, many jobs at once: what is waited for is waited for, and nothing is paid twice.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alloy::primitives::U256;
use alloy::providers::Provider as _;
use anyhow::{Context as _, ensure};
use nacre_failpoint::{HIT, Moment, NEXT, Point, Step};
use nacre_tests::platform::wait_for;
use serde_json::Value;

use crate::contracts::Times;
use crate::net::{Net, ONE, OWNER};
use crate::net_or_leave;
use crate::site::{Asked, AskedJob, Ground, PATIENCE, Site};

const GWEI: u128 = 1_000_000_000;

/// How many jobs are asked for at once, where nothing is said.
const MANY: u64 = 60;
/// How many are, in the environment.
const JOBS: &str = "NACRE_RELAY_JOBS";
/// Most memory that a relay may take then, in KiB.
const MEMORY: u64 = 256 << 10;

impl Site {
    fn base_fee_becomes(&self, wei: u128) -> anyhow::Result<()> {
        let asked = self
            .net
            .ask("anvil_setNextBlockBaseFeePerGas", (format!("{wei:#x}"),));
        let _: Value = self.net.runtime.block_on(asked)?;
        Ok(())
    }

    /// Waits for a block in which gas costs so much.
    fn until_a_gas_costs(&self, wei: u128) -> anyhow::Result<()> {
        wait_for("a dear block", PATIENCE, || {
            let head = self.net.provider.get_block_by_number(Default::default());
            let head = self.net.runtime.block_on(head.into_future()).ok()??;
            let base = head.header.base_fee_per_gas?;
            (u128::from(base) >= wei).then_some(())
        })
    }

    fn blocks_come_every(&self, seconds: u64) -> anyhow::Result<()> {
        let asked = self.net.ask("evm_setIntervalMining", (seconds,));
        let _: Value = self.net.runtime.block_on(asked)?;
        Ok(())
    }

    /// What a gas cost in the transaction that answered a job, wei.
    fn price_of(&self, job: &AskedJob) -> anyhow::Result<u128> {
        let contract = nacre_chain::contracts::JobRelay::new(self.contract(), &self.net.provider);
        self.net.runtime.block_on(async {
            let filter = contract.Answered_filter().topic1(job.id).from_block(0);
            let (_, log) = filter.query().await?.pop().context("no answer")?;
            let hash = log.transaction_hash.context("no transaction")?;
            let receipt = self.net.provider.get_transaction_receipt(hash).await?;
            Ok(receipt.context("no receipt")?.effective_gas_price)
        })
    }
}

#[test]
fn an_answer_waits_until_gas_costs_no_more_than_it_may() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let most = 20 * GWEI;
    let relay = site.relay("one", &["--max-fee-per-gas", &most.to_string()])?;
    site.base_fee_becomes(100 * GWEI)?;
    site.until_a_gas_costs(80 * GWEI)?;
    let job = site.ask(Asked::default())?;
    let first = Instant::now();
    site.answer(&job)?;
    // It falls by an eighth a block.
    ensure!(first.elapsed() > Duration::from_secs(5), "it did not wait");
    ensure!(site.price_of(&job)? <= most);
    assert_eq!(site.transactions(ONE)?, 1);
    relay.stop()
}

#[test]
fn an_answer_that_waits_in_the_pool_offers_more() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let most = 200 * GWEI;
    let arguments = ["--max-fee-per-gas", &most.to_string(), "--patience", "2"];
    let relay = site.relay("one", &arguments)?;
    let job = site.ask(Asked::default())?;
    // No block takes it until gas costs far more than it offers.
    site.blocks_come_every(0)?;
    relay.until_it_says("nacre_relay_transactions_total 1", PATIENCE)?;
    site.base_fee_becomes(100 * GWEI)?;
    site.blocks_come_every(1)?;
    site.answer(&job)?;
    let price = site.price_of(&job)?;
    ensure!(price > 5 * GWEI && price <= most, "{price}");
    let replaced = relay.number("nacre_relay_replacements_total")?;
    ensure!(replaced.is_some_and(|replaced| replaced >= 1.0));
    assert_eq!(site.transactions(ONE)?, 1);
    relay.stop()
}

#[test]
fn an_answer_whose_key_has_expired_waits_for_the_key() -> anyhow::Result<()> {
    const LIFETIME: u64 = 3_600 + 200;
    let ground = Ground {
        times: Times {
            key_lifetime: LIFETIME,
            ..Times::default()
        },
        ..Ground::default()
    };
    let site = Site::on(net_or_leave!(), &ground)?;
    let folder = site.dir.path().join("failpoints");
    std::fs::create_dir(&folder)?;
    let point = Point {
        step: Step::KeepAnswer,
        moment: Moment::After,
    };
    std::fs::write(folder.join(NEXT), point.to_string())?;
    let mut relay = site.plan("one", ONE)?.mortal(&folder).start()?;
    let job = site.ask(Asked::default())?;
    wait_for("it has the answer", PATIENCE, || match relay.has_left() {
        Ok(false) => None,
        left => Some(left),
    })??;
    ensure!(std::fs::remove_file(folder.join(HIT)).is_ok());
    // The chain's clock passes the key's end while nobody sends.
    let ahead = site.net.ask("evm_increaseTime", (210,));
    let _: Value = site.net.runtime.block_on(ahead)?;
    let relay = site.relay("one", &[])?;
    let head = || {
        site.net
            .runtime
            .block_on(site.net.provider.get_block_number().into_future())
    };
    let first = head()?;
    wait_for("some blocks", PATIENCE, || {
        (head().ok()? >= first + 5).then_some(())
    })?;
    assert_eq!(
        site.transactions(ONE)?,
        0,
        "no gas for an answer that would be refused"
    );
    assert_eq!(
        relay.number("nacre_relay_jobs{what=\"proven\"}")?,
        Some(1.0),
        "it waits"
    );
    let brought = site.contracts.bring(&site.net, &site.platform, OWNER);
    site.net.runtime.block_on(brought)?;
    site.answer(&job)?;
    assert_eq!(site.transactions(ONE)?, 1);
    relay.stop()
}

#[test]
fn many_jobs_at_once_are_all_answered_and_none_is_paid_for_twice() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &["--max-hourly-cost", "100000000000000000000"])?;
    let many = match std::env::var(JOBS) {
        Ok(jobs) => jobs.parse()?,
        Err(_) => MANY,
    };
    let begun = Instant::now();
    let jobs = site.ask_often(&Asked::default(), many)?;
    let (mut most, mut told) = (0, Vec::new());
    let patience = PATIENCE + Duration::from_millis(500) * u32::try_from(many)?;
    wait_for("all answers", patience, || {
        most = most.max(memory(relay.pid()).ok()?);
        told = site.told_of_all().ok()?;
        (told.len() as u64 >= many).then_some(())
    })?;
    let took = begun.elapsed();
    let each: BTreeSet<U256> = told.iter().map(|(id, _)| *id).collect();
    let all: BTreeSet<U256> = jobs.iter().map(|job| job.id).collect();
    assert_eq!(each, all);
    assert_eq!(told.len() as u64, many, "each is told once");
    assert_eq!(site.transactions(ONE)?, many, "one transaction a job");
    ensure!(most < MEMORY, "{most} KiB");
    eprintln!(
        "{many} jobs in {:.1} s, at most {most} KiB",
        took.as_secs_f64()
    );
    relay.stop()
}

/// What a process has in memory, KiB.
fn memory(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}
