//! The section `chain`: from a contract's request to its callback, with anvil, the platform and the relay on this machine.
//!
//! Gas is not measured here: the contracts' own tests do that, and fail where `relay-contracts/snapshots` says otherwise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use alloy::primitives::U256;
use anyhow::{Context as _, ensure};
use nacre_chain::contracts::JobRelay;
use nacre_chain::deployment::Name;
use serde_json::Value;

use super::chain_load::{Load, sustained};
use super::report;
use crate::dev_chain::{ARGUMENTS, DevChain, FEE, drawing};
use crate::platform::{Platform, repository};

/// Requests that are asked one after the other.
const ONE_BY_ONE: usize = 40;
/// Of the contracts' gas tests.
const REQUEST: &str = "request, ETH, 32 byte input, first of its block";
const SUBMIT: &str = "submit, drawn, 32 byte output, idle callback";
const FIRST: &str = "submit, drawn, payee's first credit";
const OYSTER: &str = "respond, 32 byte output, idle callback";

/// Measures, and gives the text for SPECIFICATION.md.
///
/// # Errors
///
/// Where anvil is missing, or something is not answered.
pub fn run() -> anyhow::Result<String> {
    let platform = Platform::start_with(&ARGUMENTS)?;
    let chain = DevChain::of(&platform)?;
    // A warm function, and a payee who was paid before.
    chain.play(&drawing(3)?)?;
    let mut blocks = one_by_one(&chain)?;
    let load = sustained(&chain, &drawing(4)?)?;
    platform.stop()?;
    blocks.sort_unstable();
    text(&blocks, &load, &Gas::read()?)
}

/// From the block of each request to the block of its callback.
fn one_by_one(chain: &DevChain) -> anyhow::Result<Vec<u64>> {
    let deployment = chain.deployment()?;
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &chain.provider);
    let gate = chain.gate()?;
    let pixels = drawing(4)?;
    let mut blocks = Vec::with_capacity(ONE_BY_ONE);
    for _ in 0..ONE_BY_ONE {
        let call = gate.play(pixels.clone().into()).value(U256::from(FEE));
        let asked = chain
            .runtime
            .block_on(async { anyhow::Ok(call.send().await?.get_receipt().await?) })?;
        let asked = asked.block_number.context("a receipt without a block")?;
        let answered = || -> anyhow::Result<Option<u64>> {
            let filter = relay.Answered_filter().from_block(asked);
            let events = chain.runtime.block_on(filter.query().into_future())?;
            Ok(events.first().and_then(|(_, log)| log.block_number))
        };
        let answered = crate::platform::wait_for("an answer", crate::dev_chain::PATIENCE, || {
            answered().transpose()
        })??;
        blocks.push(answered - asked);
    }
    Ok(blocks)
}

/// What calls cost, as the contracts' tests hold them to.
struct Gas {
    request: u64,
    submit: u64,
    first: u64,
    oyster: u64,
}

impl Gas {
    fn read() -> anyhow::Result<Self> {
        let snapshots = repository().join("relay-contracts/snapshots");
        let read = |name: &str| -> anyhow::Result<BTreeMap<String, Value>> {
            let file = std::fs::read(snapshots.join(name)).context(name.to_owned())?;
            Ok(serde_json::from_slice(&file)?)
        };
        let of = |snapshot: &BTreeMap<String, Value>, call: &str| -> anyhow::Result<u64> {
            let gas = snapshot.get(call).and_then(Value::as_str);
            let gas = gas.with_context(|| format!("no gas of {call:?}"))?;
            Ok(gas.parse()?)
        };
        let (ours, theirs) = (read("JobRelay.json")?, read("OysterFlow.json")?);
        Ok(Self {
            request: of(&ours, REQUEST)?,
            submit: of(&ours, SUBMIT)?,
            first: of(&ours, FIRST)?,
            oyster: of(&theirs, OYSTER)?,
        })
    }
}

fn text(blocks: &[u64], load: &Load, gas: &Gas) -> anyhow::Result<String> {
    ensure!(!blocks.is_empty(), "nothing was asked");
    let at = |share: usize| blocks[(blocks.len() - 1) * share / 100];
    let (median, most) = (at(50), at(100));
    let within = blocks.iter().filter(|blocks| **blocks <= 2).count();
    let rate = load.per_second();
    let machine = report::machine();
    let mut text = format!(
        "Machine: {machine}. Command: `make bench-chain`. anvil with 1 s blocks, platform in process mode, `nacre-relay` and the\n\
         asking client, all on this machine; `DigitGate` asks `examples/digit` with 784 bytes.\n\n\
         | what | bound | measured | |\n|---|---|---|---|\n"
    );
    let mut row = |what: &str, bound: &str, measured: String, holds: Option<bool>| {
        let mark = match holds {
            Some(true) => "holds",
            Some(false) => "MISSED",
            None => "",
        };
        writeln!(text, "| {what} | {bound} | {measured} | {mark} |")
    };
    row(
        "from request mined to callback mined, blocks, warm function: median · most",
        "≤ 2",
        format!("{median} · {most} ({within} of {} within 2)", blocks.len()),
        Some(most <= 2),
    )?;
    row(
        "jobs a second, sustained: asked, answered and called back",
        "≥ 50",
        format!("{rate:.1}"),
        Some(rate >= 50.0),
    )?;
    row(
        "of these jobs: asked · answered once · lost",
        "",
        format!(
            "{} · {} · {}",
            load.asked,
            load.answered,
            load.asked - load.answered
        ),
        Some(load.asked == load.answered),
    )?;
    row(
        "from request mined to callback mined under that load, blocks: median · p99",
        "",
        format!("{} · {}", load.median_blocks, load.p99_blocks),
        None,
    )?;
    row(
        "gas of a request in ETH, 32 bytes, first of its block",
        "≤ 90,000",
        thousands(gas.request),
        Some(gas.request <= 90_000),
    )?;
    row(
        "gas of a submission, callback's overhead included · with the payee's first credit",
        "≤ 120,000",
        format!("{} · {}", thousands(gas.submit), thousands(gas.first)),
        Some(gas.first <= 120_000),
    )?;
    row(
        "the same, of the replica of Oyster's flow",
        "more",
        thousands(gas.oyster),
        Some(gas.submit < gas.oyster),
    )?;
    Ok(text)
}

fn thousands(number: u64) -> String {
    match number / 1_000 {
        0 => number.to_string(),
        thousands => format!("{thousands},{:03}", number % 1_000),
    }
}
