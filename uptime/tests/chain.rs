//! The contracts of `relay-contracts/` read what this crate writes: both are held against the same vectors.
//!
//! The file is what this crate computes; forge's tests compute it again in Solidity. After a change of format, write it anew
//! with `NACRE_WRITE_VECTORS=1 cargo test -p nacre-uptime --test chain`.

#![allow(clippy::unwrap_used, reason = "a test ends where its setting fails")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use k256::ecdsa::SigningKey;
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::{EthAddress, sign_digest};
use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Tree;
use nacre_protocol::receipt::{InferenceReceipt, RequestParts, sign_batch};
use nacre_protocol::uptime::{
    DownReason, Epoch, Outcome, PostReveal, Row, Schedule, Slot, Verdict, Window, scores_root,
};
use nacre_protocol::verified_enclave::{ContractDomain, hex0x};
use nacre_uptime::chain::{commit_digest, seal};
use nacre_uptime::commit::sign_epoch;
use nacre_uptime::{
    Drain, DrainTerms, EpochInput, Terms, WatcherInput, WatcherKey, WindowTally, excused_slots,
    judge_epoch,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};

const EPOCH: Epoch = Epoch(3_000_077);

fn node(n: u8) -> NodeId {
    NodeId::from_random([n; 16])
}

fn hashes(path: &[[u8; 32]]) -> Vec<String> {
    path.iter().map(|hash| hex0x(hash)).collect()
}

fn account(key: &SigningKey) -> EthAddress {
    EthAddress::of_key(key.verifying_key())
}

fn secret(byte: u8) -> SigningKey {
    SigningKey::from_slice(&[byte; 32]).unwrap()
}

/// One watcher's words on one epoch, and everything on the way from a node's row to what goes on chain.
fn words(rng: &mut StdRng) -> Value {
    let schedule = Schedule::default();
    let key = WatcherKey::from_seed(&[7; 32]);
    let rows: Vec<_> = (1..=5)
        .map(|n| Row {
            node: node(n),
            outcomes: (0..60).map(|_| rng.random_range(0..=10)).collect(),
            evidence_root: rng.random(),
        })
        .collect();
    let (commit, reveal) = sign_epoch(&key, &schedule, EPOCH, rows.clone()).unwrap();
    let tree = Tree::new(rows.iter().map(Row::leaf).collect()).unwrap();
    let rows = rows.iter().zip(0..).map(|(row, index)| {
        json!({
            "node": hex0x(row.node.as_bytes()),
            "outcomes": hex0x(&row.outcomes),
            "evidenceRoot": hex0x(&row.evidence_root),
            "leaf": hex0x(&row.leaf()),
            "index": index,
            "path": hashes(&tree.path(index).unwrap()),
        })
    });
    let domain = ContractDomain {
        chain_id: serde_json::from_value(json!(31_337)).unwrap(),
        verifying_contract: EthAddress::from_bytes([0xc0; 20]),
    };
    let chain_key = secret(0x17);
    let watcher = account(&chain_key);
    let sealed = seal(&domain, &watcher, &reveal.salt, &commit.commitment);
    let digest = commit_digest(&domain, &watcher, EPOCH, &sealed);
    json!({
        "epoch": EPOCH.0,
        "watcherId": hex0x(key.id().as_bytes()),
        "salt": hex0x(&reveal.salt),
        "root": hex0x(&scores_root(&reveal.rows).unwrap()),
        "commitment": hex0x(&commit.commitment),
        "chainId": 31_337,
        "contract": domain.verifying_contract,
        "watcher": watcher,
        "seal": hex0x(&sealed),
        "sealSignature": hex0x(&sign_digest(&chain_key, &digest)),
        "rows": rows.collect::<Vec<_>>(),
    })
}

/// A canary's receipt whose salt is the watcher's nonce.
fn answer() -> Value {
    let schedule = Schedule::default();
    let key = WatcherKey::from_seed(&[7; 32]);
    let slot = Slot(schedule.first_slot(EPOCH).0 + 31);
    let nonce = key.epoch_secret(EPOCH).nonce(&node(3), slot, 1);
    let request = RequestParts {
        method: "POST",
        path: "/v2/models/canary/infer",
        content_type: "application/json",
        inference_header_length: "",
        body: br#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":[1.5]}]}"#,
    };
    let of = |request_hash, started_ms| InferenceReceipt {
        function_digest: Digest::of(b"canary"),
        request_hash,
        response_hash: [0x5a; 32],
        started_ms,
        compute_micros: 321,
        status: 200,
    };
    let started_ms = schedule.slot_start(slot) + 4_321;
    let batch = [
        (of([1; 32], started_ms), [0; 32]),
        (of([2; 32], started_ms), [0; 32]),
        (of(request.hash(&nonce), started_ms), nonce),
    ];
    let receipt_key = secret(0x42);
    let signed = sign_batch(&receipt_key, &batch).unwrap().remove(2);
    json!({
        "node": hex0x(node(3).as_bytes()),
        "slot": slot.0,
        "attempt": 1,
        "nonce": hex0x(&nonce),
        "method": request.method,
        "path": request.path,
        "contentType": request.content_type,
        "inferenceHeaderLength": request.inference_header_length,
        "body": hex0x(request.body),
        "requestHash": hex0x(&signed.receipt.request_hash),
        "functionDigest": hex0x(signed.receipt.function_digest.as_bytes()),
        "responseHash": hex0x(&signed.receipt.response_hash),
        "startedMs": signed.receipt.started_ms,
        "computeMicros": signed.receipt.compute_micros,
        "status": signed.receipt.status,
        "index": signed.index,
        "size": signed.size,
        "proof": hashes(&signed.path),
        "signature": hex0x(&signed.signature),
        "receiptKey": account(&receipt_key),
    })
}

/// What several watchers' rows come to.
fn verdicts(rng: &mut StdRng) -> Value {
    let schedule = Schedule::default();
    let cases = (0..12).map(|case| {
        let watchers = rng.random_range(1..=5);
        let stakes: Vec<u64> = (0..watchers)
            .map(|_| rng.random_range(1_000..1_003))
            .collect();
        let said: Vec<(_, PostReveal)> = (0..watchers)
            .map(|seed| {
                let key = WatcherKey::from_seed(&[seed + 1; 32]);
                let row = Row {
                    node: node(1),
                    // Mostly down in some cases, mostly up in others.
                    outcomes: (0..60)
                        .map(|_| match rng.random_range(0..10) {
                            0 => Outcome::Unseen.to_byte(),
                            n if n < case => Outcome::Up.to_byte(),
                            _ => Outcome::Down(DownReason::Timeout).to_byte(),
                        })
                        .collect(),
                    evidence_root: [seed; 32],
                };
                let (commit, reveal) = sign_epoch(&key, &schedule, EPOCH, vec![row]).unwrap();
                (commit, reveal)
            })
            .collect();
        let watchers = said
            .iter()
            .zip(&stakes)
            .map(|((commit, reveal), stake)| WatcherInput {
                watcher: reveal.watcher,
                stake: *stake,
                commitment: Some(&commit.commitment),
                reveal: Some(reveal),
            });
        let verdict = judge_epoch(&EpochInput {
            schedule,
            epoch: EPOCH,
            watchers: watchers.collect(),
            overturned: &BTreeSet::new(),
        });
        let verdicts = &verdict.nodes[&node(1)];
        let outcomes = said
            .iter()
            .map(|(_, reveal)| hex0x(&reveal.rows[0].outcomes));
        json!({
            "stakes": stakes,
            "outcomes": outcomes.collect::<Vec<_>>(),
            "down": verdicts.iter().filter(|v| **v == Verdict::Down).count(),
        })
    });
    cases.collect()
}

/// What missing slots cost.
fn penalties(rng: &mut StdRng) -> Value {
    let schedule = Schedule::default();
    let terms = Terms::new(schedule.window_slots()).unwrap();
    let cases = [0, 1, 43, 44, 45, 432, 8_640].into_iter().map(|missing| {
        let stake: u64 = rng.random();
        let tally = WindowTally {
            missing,
            ..WindowTally::default()
        };
        let slash = tally.slash(node(1), Window(0), stake, &terms);
        json!({
            "stake": stake.to_string(),
            "missing": missing,
            "below": slash.is_some(),
            "amount": terms.amount(stake, missing).to_string(),
        })
    });
    cases.collect()
}

/// What announced drains excuse, where each fits its month's budget.
fn drains() -> Value {
    let terms = DrainTerms::default();
    let month = terms.month_slots;
    let begin = 700 * month;
    let drain = |from, to| Drain {
        announced: Slot(begin - 10_000),
        from: Slot(from),
        to: Slot(to),
    };
    let spans = [
        drain(begin + 100, begin + 401),
        drain(begin + 350, begin + 777),
        drain(begin + month - 500, begin + month + 300),
    ];
    let excused = excused_slots(&spans, &terms, Slot(begin)..Slot(begin + 2 * month));
    json!({
        "noticeSlots": terms.notice_slots,
        "budgetSlots": terms.budget_slots,
        "monthSlots": month,
        "announcedSlot": begin - 10_000,
        "from": spans.iter().map(|span| span.from.0).collect::<Vec<_>>(),
        "to": spans.iter().map(|span| span.to.0).collect::<Vec<_>>(),
        "excused": excused.len(),
        "inFirstMonth": excused.iter().filter(|slot| slot.0 < begin + month).count(),
        "edges": [begin + 99, begin + 100, begin + 776, begin + 777, begin + month - 1, begin + month + 299, begin + month + 300],
        "excusedAtEdges": [false, true, true, false, true, true, false],
    })
}

fn times() -> Value {
    let schedule = Schedule::default();
    json!({
        "slotMs": schedule.slot_ms(),
        "epochSlots": schedule.epoch_slots(),
        "windowSlots": schedule.window_slots(),
        "commitsFrom": schedule.commits_from(EPOCH),
        "revealsFrom": schedule.reveals_from(EPOCH),
        "closedFrom": schedule.closed_from(EPOCH),
        "window": schedule.window_of(EPOCH).0,
    })
}

#[test]
fn the_contracts_vectors_are_what_this_crate_computes() {
    let mut rng = StdRng::seed_from_u64(6);
    let computed = json!({
        "words": words(&mut rng),
        "answer": answer(),
        "verdicts": verdicts(&mut rng),
        "penalties": penalties(&mut rng),
        "drains": drains(),
        "times": times(),
    });
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../relay-contracts/test/vectors/uptime.json");
    if std::env::var_os("NACRE_WRITE_VECTORS").is_some() {
        let mut text = serde_json::to_string_pretty(&computed).unwrap();
        text.push('\n');
        std::fs::write(&path, text).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(kept, computed, "{} is not what is computed", path.display());
}
