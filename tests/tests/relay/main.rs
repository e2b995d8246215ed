//! Contracts ask, `nacre-relay` has their jobs run, and brings what enclaves signed: on a chain of this machine, with a whole
//! platform beside it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod contracts;
#[path = "../observability/documented.rs"]
mod documented;
mod draw;
#[allow(dead_code, reason = "others add numbers up")]
#[path = "../observability/exposition.rs"]
mod exposition;
mod inputs;
mod killed;
mod net;
mod nodes;
mod prices;
mod process;
mod proxy;
mod site;

use std::collections::BTreeMap;

use anyhow::ensure;
use nacre_protocol::digest::Digest;
use serde_json::Value;

use crate::net::{Net, ONE, OTHER};
use crate::site::{Asked, PATIENCE, Site};

/// Says in one line that a test is left out, where this machine has no anvil.
macro_rules! net_or_leave {
    () => {
        match Net::start()? {
            Some(net) => net,
            None => {
                eprintln!("left out: anvil is not installed (make contracts)");
                return Ok(());
            }
        }
    };
}
pub(crate) use net_or_leave;

#[test]
fn a_contract_asks_and_its_callback_is_told() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    let asked = site.ask(Asked::default())?;
    let output = site.answer(&asked)?;
    site.example
        .check(&serde_json::from_slice::<Value>(&output)?)?;
    assert_eq!(
        site.told(&asked)?,
        std::slice::from_ref(&output),
        "the callback has the same bytes, once"
    );
    let result = site.result_of(&asked)?;
    assert_eq!(result.outputHash.0, *Digest::of(&output).as_bytes());
    assert_eq!(result.status, 0);
    assert_eq!(site.transactions(ONE)?, 1);
    relay.stop()
}

#[test]
fn of_two_relays_one_pays() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let one = site.relay("one", &[])?;
    let jobs: Vec<_> = (0..8)
        .map(|_| site.ask(Asked::default()))
        .collect::<Result<_, _>>()?;
    for asked in &jobs {
        site.answer(asked)?;
    }
    // The other finds all of them answered.
    let other = site.relay("other", &[])?;
    let late = site.ask(Asked::default())?;
    site.answer(&late)?;
    let all = jobs.len() as u64 + 1;
    ensure!(
        site.transactions(ONE)? + site.transactions(OTHER)? <= all + 1,
        "more was paid for than was asked"
    );
    for asked in jobs.iter().chain([&late]) {
        assert_eq!(site.told(asked)?.len(), 1);
    }
    one.stop()?;
    other.stop()
}

#[test]
fn what_is_not_worth_it_is_left_with_its_reason() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &["--input-wait", "1"])?;
    let stranger = Digest::of(b"nobody's function");
    let cases = [
        (
            Asked {
                fee: 0,
                ..Asked::default()
            },
            "fee-below-cost",
        ),
        (
            Asked {
                function: Some(stranger),
                ..Asked::default()
            },
            "function-unknown",
        ),
        (
            Asked {
                input: Some(b"no job's input".to_vec()),
                ..Asked::default()
            },
            "input-malformed",
        ),
        (
            Asked {
                only_hash: true,
                ..Asked::default()
            },
            "input-unavailable",
        ),
    ];
    for (asked, reason) in cases {
        site.ask(asked)?;
        relay.until_left(reason)?;
    }
    site.answer(&site.ask(Asked::default())?)?;
    assert_eq!(site.transactions(ONE)?, 1);
    relay.stop()
}

#[test]
fn a_reorganisation_takes_a_request_away_and_brings_it_back() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    let first = site.ask(Asked::default())?;
    let output = site.answer(&first)?;
    // The latest block goes, and with it the answer where it is in that one: it comes again, the same.
    site.net.reorganise(1)?;
    assert_eq!(site.answer(&first)?, output);
    // The request goes too. What was sent for it is of no use any more, and is in nobody's way.
    site.net.reorganise(4)?;
    let second = site.ask(Asked::default())?;
    site.answer(&second)?;
    relay.stop()
}

#[test]
fn its_numbers_are_documented_and_it_says_whether_it_is_well() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let relay = site.relay("one", &[])?;
    site.answer(&site.ask(Asked::default())?)?;
    relay.until_it_says("nacre_relay_mined_total 1", PATIENCE)?;
    let said = BTreeMap::from([("relay", exposition::parse(&relay.ask("/metrics")?.1)?)]);
    documented::is_exactly(&said, |name| name.starts_with("nacre_relay_"))?;
    assert_eq!(relay.ask("/healthz")?, (200, "ok\n".to_owned()));
    relay.stop()
}
