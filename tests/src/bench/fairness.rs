//! What callers from one address cost the others.
//!
//! A few well-behaved callers open fresh attested connections while one address does its worst. The attackers share the
//! machine with the enclave and the callers, so a part of what they cost is their own work; on a machine of their own
//! they would take less of the callers' time, and no more of the enclave's.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use super::attested::{Outcome, Target, load};
use crate::attacker::{Attack, Attackers};

/// Well-behaved callers at once.
const CALLERS: usize = 8;
const WINDOW: Duration = Duration::from_secs(8);

const CASES: [(&str, Option<Attack>); 7] = [
    ("nobody else", None),
    ("1 connection asks in a loop", Some(Attack::AskInALoop(1))),
    (
        "1,024 connections ask in a loop",
        Some(Attack::AskInALoop(1024)),
    ),
    (
        "512 at once connect, ask and close in a loop",
        Some(Attack::ConnectInALoop(512)),
    ),
    (
        "2,048 at once connect, ask and close in a loop",
        Some(Attack::ConnectInALoop(2048)),
    ),
    (
        "6,000 connect and say nothing (there are 4,000 places)",
        Some(Attack::SayNothing(6000)),
    ),
    (
        "512 connections ask and never read",
        Some(Attack::NeverRead(512)),
    ),
];

/// One kind of attack, and how the others fared.
#[derive(Debug)]
pub struct Case {
    name: &'static str,
    others: Outcome,
    asked: (u64, u64),
}

/// Measures all of them.
pub fn measure(runtime: &Runtime, target: &Target, node: &str) -> anyhow::Result<Vec<Case>> {
    let node = node.parse().context("the node's address")?;
    let mut cases = Vec::new();
    for (name, attack) in CASES {
        let attackers = attack.map(|attack| Attackers::start(node, attack));
        let attackers = attackers.transpose()?;
        let others = runtime.block_on(load(target, CALLERS, WINDOW))?;
        let asked = attackers.map_or((0, 0), |a| (a.answered(), a.refused()));
        let case = Case {
            name,
            others,
            asked,
        };
        cases.push(case);
    }
    Ok(cases)
}

/// The figures as a table.
pub fn render(cases: Vec<Case>) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "\n{CALLERS} well-behaved callers in a closed loop for {} s, while one other address does its worst from the same \
         machine, ms:\n",
        WINDOW.as_secs()
    )?;
    writeln!(
        text,
        "| the other address | callers' connections/s | p50 | p99 | longest | failed | attacker's questions answered / refused |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for mut case in cases {
        let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| case.others.millis(share));
        let (answered, refused) = case.asked;
        writeln!(
            text,
            "| {} | {:.0} | {p50:.0} | {p99:.0} | {longest:.0} | {} | {answered} / {refused} |",
            case.name,
            case.others.per_second(),
            case.others.failed.len(),
        )?;
    }
    Ok(text)
}
