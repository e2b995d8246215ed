//! Ethereum nodes that lie, stall or are behind: the relay goes on, and pays for nothing twice.

use std::time::Duration;

use anyhow::ensure;
use nacre_tests::platform::wait_for;

use crate::net::{Net, ONE};
use crate::net_or_leave;
use crate::proxy::{Mode, Proxy};
use crate::site::{Asked, AskedJob, Site};

impl Site {
    /// All of these are answered, each was told once, and each was paid for once.
    fn are_answered_and_paid_once(&self, jobs: &[AskedJob]) -> anyhow::Result<()> {
        for job in jobs {
            self.answer(job)?;
            ensure!(self.told(job)?.len() == 1);
        }
        let paid = self.transactions(ONE)?;
        ensure!(
            paid == jobs.len() as u64,
            "{paid} transactions for {} jobs",
            jobs.len()
        );
        Ok(())
    }

    fn head(&self) -> anyhow::Result<u64> {
        use alloy::providers::Provider as _;
        let head = self.net.provider.get_block_number();
        Ok(self.net.runtime.block_on(head.into_future())?)
    }
}

#[test]
fn of_three_nodes_any_one_may_lie_stall_or_be_behind() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let nodes = [(); 3].map(|()| Proxy::before(&site.net, Mode::Honest));
    let nodes = nodes.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let urls: Vec<_> = nodes.iter().map(|node| node.url.clone()).collect();
    let relay = site
        .plan_with("one", ONE, &urls, site.platform.ready("control_plane"))?
        .with(&["--rpc-quorum", "2"])
        .start()?;
    let mut jobs = vec![site.ask(Asked::default())?];
    site.are_answered_and_paid_once(&jobs)?;
    let faults = [Mode::Lies, Mode::Stalls, Mode::Behind(site.head()?)];
    for (node, fault) in nodes.iter().zip(faults) {
        node.becomes(fault);
        for _ in 0..2 {
            jobs.push(site.ask(Asked::default())?);
        }
        site.are_answered_and_paid_once(&jobs)?;
        node.becomes(Mode::Honest);
    }
    // All but one: nothing is believed, so nothing is paid for.
    nodes[0].becomes(Mode::Lies);
    nodes[1].becomes(Mode::Behind(site.head()?));
    let late = site.ask(Asked::default())?;
    let failures = relay.number("nacre_relay_failures_total")?.unwrap_or(0.0);
    wait_for("it does not believe them", Duration::from_secs(60), || {
        let now = relay.number("nacre_relay_failures_total").ok()??;
        (now >= failures + 3.0).then_some(())
    })?;
    ensure!(site.answer_now(&late)?.is_none());
    nodes[0].becomes(Mode::Honest);
    jobs.push(late);
    site.are_answered_and_paid_once(&jobs)?;
    relay.stop()
}

#[test]
fn an_only_node_that_stalls_or_goes_back_in_time_is_waited_for() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let node = Proxy::before(&site.net, Mode::Honest)?;
    let urls = [node.url.clone()];
    let relay = site
        .plan_with("one", ONE, &urls, site.platform.ready("control_plane"))?
        .start()?;
    let mut jobs = vec![site.ask(Asked::default())?];
    site.are_answered_and_paid_once(&jobs)?;
    for fault in [Mode::Behind(site.head()?), Mode::Stalls] {
        node.becomes(fault);
        let first = site.head()?;
        jobs.push(site.ask(Asked::default())?);
        // Some blocks that it does not hear of.
        wait_for("blocks", Duration::from_secs(30), || {
            let head = site.head().ok()?;
            (head >= first + 4).then_some(())
        })?;
        node.becomes(Mode::Honest);
        site.are_answered_and_paid_once(&jobs)?;
    }
    relay.stop()
}

/// A liar can have it wait, and run in vain; it cannot have it pay for what nobody asked.
#[test]
fn an_only_node_that_lies_costs_nothing() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let node = Proxy::before(&site.net, Mode::Honest)?;
    let urls = [node.url.clone()];
    let relay = site
        .plan_with("one", ONE, &urls, site.platform.ready("control_plane"))?
        .start()?;
    let first = site.ask(Asked::default())?;
    site.answer(&first)?;
    node.becomes(Mode::Lies);
    let failures = relay.number("nacre_relay_failures_total")?.unwrap_or(0.0);
    let second = site.ask(Asked::default())?;
    wait_for("it notices", Duration::from_secs(60), || {
        let now = relay.number("nacre_relay_failures_total").ok()??;
        (now > failures).then_some(())
    })?;
    assert_eq!(site.transactions(ONE)?, 1);
    node.becomes(Mode::Honest);
    site.are_answered_and_paid_once(&[first, second])?;
    relay.stop()
}
