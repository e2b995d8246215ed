//! `CONFORMANCE.md`: what each verifier lets through, and what it refuses without need.

mod cases;

use std::fmt::Write;

use time::OffsetDateTime;

use self::cases::{in_short, let_through, panics, said, titles, valid_refused};
use crate::corpus::{Case, Scope};
use crate::findings::{Finding, Topic};
use crate::peer::Peer;
use crate::run::Outcome;

/// One verifier's answers to all cases, judged.
#[derive(Debug)]
pub struct Column {
    /// How the tables call it.
    pub title: String,
    /// Which public verifier it is; none for Nacre's own.
    pub peer: Option<&'static Peer>,
    /// What it answered, case by case.
    pub outcomes: Vec<Outcome>,
    /// What that means, case by case.
    pub findings: Vec<Finding>,
}

impl Column {
    /// The answers of a public verifier.
    pub fn of_peer(peer: &'static Peer, cases: &[Case], outcomes: Vec<Outcome>) -> Self {
        let judge = |(case, outcome)| Finding::of_peer(peer, case, outcome);
        Self {
            title: format!("`{}`", peer.name),
            peer: Some(peer),
            findings: cases.iter().zip(&outcomes).map(judge).collect(),
            outcomes,
        }
    }

    /// The answers of a verifier that knows the codes.
    pub fn of_own(title: &str, cases: &[Case], outcomes: Vec<Outcome>) -> Self {
        let judge = |(case, outcome)| Finding::of_coded(case, outcome);
        Self {
            title: title.to_owned(),
            peer: None,
            findings: cases.iter().zip(&outcomes).map(judge).collect(),
            outcomes,
        }
    }

    fn count(&self, cases: &[Case], wanted: impl Fn(&Case, Finding) -> bool) -> usize {
        cases
            .iter()
            .zip(&self.findings)
            .filter(|(case, finding)| wanted(case, **finding))
            .count()
    }
}

/// The whole report.
pub fn markdown(cases: &[Case], own: &[Column], peers: &[Column], today: OffsetDateTime) -> String {
    let mut page = String::new();
    page.push_str(INTRODUCTION);
    page.push_str(&verifiers(today, peers));
    page.push_str(&summary(cases, own, peers));
    page.push_str(&in_short(cases, peers));
    page.push_str(&by_topic(cases, peers));
    page.push_str(&differences(cases, own));
    page.push_str(&valid_refused(cases, peers));
    page.push_str(&panics(cases, peers));
    page.push_str(&let_through(cases, peers));
    page
}

const INTRODUCTION: &str = "\
# What other verifiers let through

The corpus in `corpus/`, put to Nacre's own verifier and to the public ones in Rust's package registry. This page is
written by a command; nobody edits it:

```sh
attestation-verifier/peers/conformance.sh
```

One verifier alone, in the same way as any other implementation in any language:
`nacre attest conformance -- target/peers/release/peer-qos-nsm`.

How to read it. A case is a document, a root, a time, a policy and perhaps a nonce, with one right answer by Nacre's
rules. Those rules are strict on purpose, and not every difference is a hole:

- *CBOR*, *COSE envelope*, *payload* and *certificates: encoding* are mostly about form. To exploit them, somebody whose
  key chains to the root must have signed odd bytes, except in the parts that no signature covers: the envelope's tag,
  its unprotected header, what follows it. Leniency there gives one piece of evidence many spellings, and gives two
  parsers the chance to read two things.
- *certificates: chain* and *document signature* are about who signed. What is accepted there by mistake is forged or
  stale evidence.
- A root is a trust anchor, and RFC 5280 (§6.1) leaves its own validity and constraints to whoever trusts it. Nacre
  checks the root like every other certificate; a library that does not may say why. The same goes for a bundle that is
  not in order: a path through it may be searched for, Nacre demands the order that AWS sends.
- Age, measurements, nonce, and what the caller itself gives (a root, a policy): a library that has no function for them
  leaves them to its caller. That is a division of labour and no fault: it is counted as *caller* and apart. Where a
  library has the function, it is held to its result.

";

fn verifiers(today: OffsetDateTime, peers: &[Column]) -> String {
    let mut text = format!(
        "## The verifiers\n\nRun on {}, release builds.\n\n| crate | version | asked by | changed in the copy |\n|---|---|---|---|\n",
        today.date()
    );
    for peer in peers.iter().filter_map(|column| column.peer) {
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} |",
            peer.name, peer.version, peer.asked, peer.changed
        );
    }
    text.push('\n');
    for peer in peers.iter().filter_map(|column| column.peer) {
        if !peer.note.is_empty() {
            let _ = writeln!(text, "- `{}`: {}", peer.name, peer.note);
        }
    }
    text.push_str(
        "\nThe copies are made by `peers/prepare.py`, which lists each text that it replaces and stops when a source is \
         not the one it knows. Nothing of these crates is in this repository or in anything that is built from it \
         otherwise. `aws-nitro-enclaves-attestation` 0.1.0 is left out: it compiles the whole of OpenSSL.\n\n",
    );
    text
}

fn summary(cases: &[Case], own: &[Column], peers: &[Column]) -> String {
    let refusals = |scope: fn(Scope) -> bool| {
        let must = |case: &&Case| !case.is_valid() && scope(case.scope);
        cases.iter().filter(must).count()
    };
    let valid = cases.iter().filter(|case| case.is_valid()).count();
    let mut text = format!(
        "## Summary\n\n{} cases: {} that the document itself must fail, {} that policy, nonce or the caller's own input \
         must fail, {valid} that are valid.\n\n\
         | verifier | document: accepted, must be refused | policy, nonce, input: accepted, has a function for it | left to the caller | valid: refused | panics | dies |\n\
         |---|---|---|---|---|---|---|\n",
        cases.len(),
        refusals(|scope| scope == Scope::Document),
        refusals(|scope| scope != Scope::Document),
    );
    for column in own.iter().chain(peers) {
        let count = |finding, document: Option<bool>| {
            column.count(cases, |case, found| {
                let scope = document.is_none_or(|is| is == (case.scope == Scope::Document));
                found == finding && scope
            })
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            column.title,
            count(Finding::Accepts, Some(true)),
            count(Finding::Accepts, Some(false)),
            count(Finding::Caller, None),
            column.count(cases, |case, found| found == Finding::Refuses
                && case.is_valid()),
            count(Finding::Panics, None),
            count(Finding::Dies, None),
        );
    }
    text.push('\n');
    text
}

fn by_topic(cases: &[Case], peers: &[Column]) -> String {
    let mut text = format!(
        "## Accepted, must be refused, by topic\n\n| topic | cases |{}\n|---|---|{}\n",
        titles(peers),
        "---|".repeat(peers.len())
    );
    for topic in Topic::ALL {
        let of_topic = |case: &Case| !case.is_valid() && Topic::of(case) == topic;
        let total = cases.iter().filter(|case| of_topic(case)).count();
        let _ = write!(text, "| {} | {total} |", topic.title());
        for column in peers {
            let accepts = column.count(cases, |case, found| {
                of_topic(case) && found == Finding::Accepts
            });
            let caller = column.count(cases, |case, found| {
                of_topic(case) && found == Finding::Caller
            });
            let cell = match caller {
                0 => accepts.to_string(),
                _ => format!("{accepts} ({caller} caller)"),
            };
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text.push('\n');
    text
}

fn differences(cases: &[Case], own: &[Column]) -> String {
    let mut text = String::from(
        "## Nacre\n\nFor Nacre's verifier only the expected code and the expected rule count as right. One verifier with \
         its memory of chains answers all cases.\n\n",
    );
    for column in own {
        let wrong: Vec<_> = cases
            .iter()
            .zip(&column.outcomes)
            .zip(&column.findings)
            .filter(|(_, finding)| **finding != Finding::Right)
            .collect();
        let _ = writeln!(
            text,
            "- {}: differs in {} of {} cases",
            column.title,
            wrong.len(),
            cases.len()
        );
        for ((case, outcome), _) in wrong {
            let _ = writeln!(
                text,
                "  - `{}`: expected {} {}, got {}",
                case.name,
                case.expect.code,
                case.expect.rule,
                said(outcome)
            );
        }
    }
    text.push('\n');
    text
}
