//! Seeds of jobs: inputs, results, receipts, envelopes, and the request that runs one.

use nacre_protocol::job::{JobInput, JobResult};

use super::Seeds;
use crate::targets::jobs::{
    BODY, CHAIN_RESULT, INPUT, RECEIPT, TERMS, chain_terms, result, sealed, sealed_to,
};

pub(super) fn add(seeds: &mut Seeds) {
    job_input(seeds);
    job_result(seeds);
    job_receipt(seeds);
    chain_result(seeds);
    sealed_job(seeds);
    sealed_result(seeds);
    run_job_query(seeds);
}

fn job_input(seeds: &mut Seeds) {
    let good = INPUT.encode();
    let empty = JobInput {
        content_type: "",
        body: b"",
        ..INPUT
    };
    let wordy = "x".repeat(257);
    let wordy = JobInput {
        content_type: &wordy,
        ..INPUT
    };
    seeds.add_all(
        "job_input",
        [
            ("ok-json", good.clone()),
            ("ok-empty", empty.encode()),
            ("refused-syntax.version", with(&good, 2, 2)),
            ("refused-syntax.key", with(&good, 3, 3)),
            ("refused-syntax.trailing", [&good[..], &[0]].concat()),
            ("refused-syntax.short", good[..good.len() - 1].to_vec()),
            ("refused-syntax.content-type", wordy.encode()),
            ("refused-syntax.indefinite", with(&good, 0, 0xbf)),
        ],
    );
}

fn job_result(seeds: &mut Seeds) {
    let good = result(BODY, BODY).encode();
    let teapot = JobResult {
        status: 418,
        ..result(BODY, BODY)
    };
    seeds.add_all(
        "job_result",
        [
            ("ok-result", good.clone()),
            ("refused-receipt.body", result(b"other", BODY).encode()),
            ("refused-receipt.status", teapot.encode()),
            ("refused-syntax.trailing", [&good[..], &[0]].concat()),
            ("refused-syntax.version", with(&good, 2, 2)),
            ("refused-syntax.short", good[..200].to_vec()),
        ],
    );
}

fn job_receipt(seeds: &mut Seeds) {
    let good = RECEIPT.encode();
    let last = good.len() - 1;
    let high_v = with(&good, last, good[last] + 4);
    seeds.add_all(
        "job_receipt",
        [
            ("ok-cbor", good.clone()),
            ("ok-header", RECEIPT.to_header().into_bytes()),
            ("refused-signature.v", high_v),
            ("refused-signature.job", with(&good, 6, 0xff)),
            ("refused-syntax.version", with(&good, 2, 2)),
            ("refused-syntax.trailing", [&good[..], &[0]].concat()),
            ("refused-syntax.text", b"AAAA".to_vec()),
        ],
    );
}

fn chain_result(seeds: &mut Seeds) {
    let good = CHAIN_RESULT.encode();
    let last = good.len() - 1;
    // Map, version, two strings of 32 bytes with heads of two, each after its key.
    let (input, status) = (6, 3 + 2 * 35 + 1);
    seeds.add_all(
        "chain_result",
        [
            ("ok-cbor", good.clone()),
            ("ok-header", CHAIN_RESULT.to_header().into_bytes()),
            ("refused-signature.v", with(&good, last, good[last] ^ 7)),
            ("refused-signature.input", with(&good, input, !good[input])),
            ("refused-signature.status", with(&good, status, 1)),
            ("refused-syntax.status", with(&good, status, 2)),
            ("refused-syntax.version", with(&good, 2, 2)),
            ("refused-syntax.trailing", [&good[..], &[0]].concat()),
            ("refused-syntax.short", good[..last].to_vec()),
            ("refused-syntax.text", b"AAAA".to_vec()),
        ],
    );
}

fn sealed_job(seeds: &mut Seeds) {
    let good = sealed_to(&[1]);
    let last = good.len() - 1;
    // Map, version, key, array of one, array of three, head of a string of 32, the key's id.
    let (entries, id) = (4, 8);
    seeds.add_all(
        "sealed_job",
        [
            ("ok-one", good.clone()),
            ("ok-three", sealed_to(&[1, 2, 3])),
            ("refused-not-a-recipient", sealed_to(&[2, 3])),
            ("refused-not-a-recipient.id", with(&good, id, !good[id])),
            ("refused-cannot-open.tag", with(&good, last, !good[last])),
            (
                "refused-cannot-open.encapsulated",
                with(&good, id + 34, !good[id + 34]),
            ),
            (
                "refused-cannot-open.wrapped",
                with(&good, id + 68, !good[id + 68]),
            ),
            ("refused-syntax.nobody", with(&good, entries, 0x80)),
            ("refused-syntax.version", with(&good, 2, 2)),
            ("refused-syntax.trailing", [&good[..], &[0]].concat()),
            ("refused-syntax.order", swapped(&sealed_to(&[1, 2]))),
        ],
    );
}

/// An envelope of two recipients with the two in the wrong order.
fn swapped(sealed: &[u8]) -> Vec<u8> {
    // Each is an array of three with strings of 32, 32 and 48 bytes, whose heads have two bytes.
    const ENTRY: usize = 1 + 34 + 34 + 50;
    let (head, rest) = sealed.split_at(5);
    let (first, rest) = rest.split_at(ENTRY);
    let (second, rest) = rest.split_at(ENTRY);
    [head, second, first, rest].concat()
}

fn sealed_result(seeds: &mut Seeds) {
    let good = sealed(&result(BODY, BODY));
    let last = good.len() - 1;
    seeds.add_all(
        "sealed_result",
        [
            ("ok-result", good.clone()),
            ("refused-receipt.body", sealed(&result(b"other", BODY))),
            ("refused-cannot-open.status", with(&good, 5, 201)),
            ("refused-cannot-open.tag", with(&good, last, !good[last])),
            ("refused-syntax.version", with(&good, 2, 2)),
            ("refused-syntax.short", good[..80].to_vec()),
            ("refused-syntax.trailing", [&good[..], &[0]].concat()),
        ],
    );
}

fn run_job_query(seeds: &mut Seeds) {
    let function = format!("function={}", TERMS.function);
    let key = format!("result_key={}", "A".repeat(43));
    for (verdict, query) in [
        ("ok-plain", format!("{function}&deadline_ms=1")),
        (
            "ok-sealed",
            format!("{key}&{function}&deadline_ms=18446744073709551615"),
        ),
        (
            "ok-chain",
            format!("{function}&deadline_ms=1&chain={}", chain_terms()),
        ),
        (
            "refused-syntax.chain",
            format!("{function}&deadline_ms=1&chain=1"),
        ),
        ("refused-syntax.none", String::new()),
        ("refused-syntax.no-deadline", function.clone()),
        (
            "refused-syntax.twice",
            format!("{function}&deadline_ms=1&deadline_ms=1"),
        ),
        (
            "refused-syntax.number",
            format!("{function}&deadline_ms=+1"),
        ),
        (
            "refused-syntax.unknown",
            format!("{function}&deadline_ms=1&retry=1"),
        ),
    ] {
        seeds.add("run_job_query", verdict, query);
    }
    seeds.add("run_job_query", "refused-not-text", [0xff]);
}

fn with(bytes: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] = byte;
    changed
}
