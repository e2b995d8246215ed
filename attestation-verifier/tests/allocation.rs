//! What a document claims about its own lengths costs no memory: only bytes that are really there are ever stored.
//!
//! A counting allocator serves this whole program, so it has one test. What is counted is every byte asked for during one
//! verification, given back or not: the peak is less. AWS-LC's own memory is not: it sees keys and signatures of one size.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::alloc::System;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use nacre_attestation_verifier::{Backend, Roots, UnixMillis, VerificationTime, Verifier};
use serde::Deserialize;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

const CORPUS: &str = include_str!("../corpus/corpus.jsonl");

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes asked for, for each byte of the document: its parts, their copies, the certificates as parsed.
const PER_BYTE: usize = 10;
/// Bytes asked for that do not depend on the document: an error's words.
const AT_MOST_BESIDES: usize = 4 * 1024;

/// Heads that announce more than there is: CBOR byte string, text, array and map of 2⁶³ − 1 and of 2³² − 1, and DER's
/// SEQUENCE, OCTET STRING and BIT STRING of 2³¹ − 1 and of 65,535 bytes.
const BOMBS: [&[u8]; 14] = [
    &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0xbb, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x5a, 0xff, 0xff, 0xff, 0xff],
    &[0x7a, 0xff, 0xff, 0xff, 0xff],
    &[0x9a, 0xff, 0xff, 0xff, 0xff],
    &[0xba, 0xff, 0xff, 0xff, 0xff],
    &[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff],
    &[0x04, 0x84, 0x7f, 0xff, 0xff, 0xff],
    &[0x03, 0x84, 0x7f, 0xff, 0xff, 0xff],
    &[0x30, 0x82, 0xff, 0xff],
    &[0x04, 0x82, 0xff, 0xff],
    &[0x03, 0x82, 0xff, 0xff],
];

#[test]
fn a_claimed_length_costs_no_memory() {
    let cases = CORPUS.lines().map(serde_json::from_str);
    let cases: Vec<Case> = cases.collect::<Result<_, _>>().unwrap();
    let judged = cases.iter().flat_map(|case| {
        let settings = Backend::ALL
            .iter()
            .filter_map(|backend| setting(case, *backend));
        settings.map(move |setting| (case, setting))
    });
    for (case, (verifier, at)) in judged {
        let document = decoded(&case.document);
        let asked = bytes_asked_for(&verifier, &document, at);
        assert!(asked <= allowed(&document), "{}: {asked} bytes", case.name);
    }

    let small = cases
        .iter()
        .find(|case| case.name == "valid-indefinite-map");
    let small = small.unwrap();
    let (verifier, at) = setting(small, Backend::default()).unwrap();
    let document = decoded(&small.document);
    for (position, bomb) in (0..document.len()).flat_map(|at| BOMBS.map(|bomb| (at, bomb))) {
        let document = with(&document, position, bomb);
        let asked = bytes_asked_for(&verifier, &document, at);
        assert!(
            asked <= allowed(&document),
            "{bomb:x?} at {position}: {asked} bytes"
        );
    }
}

/// What of a case matters here.
#[derive(Deserialize)]
struct Case {
    name: String,
    document: String,
    root: String,
    time_ms: u64,
}

fn bytes_asked_for(verifier: &Verifier, document: &[u8], at: VerificationTime) -> usize {
    let region = Region::new(ALLOCATOR);
    let verdict = verifier.verify(document, at);
    let asked = region.change().bytes_allocated;
    drop(verdict);
    asked
}

fn allowed(document: &[u8]) -> usize {
    PER_BYTE * document.len() + AT_MOST_BESIDES
}

/// A verifier that remembers nothing, and when it is asked; none where the case is about its root.
fn setting(case: &Case, backend: Backend) -> Option<(Verifier, VerificationTime)> {
    let roots = Roots::development(decoded(&case.root)).ok()?;
    let verifier = Verifier::new(roots)
        .with_backend(backend)
        .with_cache_capacity(0);
    Some((verifier, VerificationTime::Live(UnixMillis(case.time_ms))))
}

fn with(document: &[u8], position: usize, bomb: &[u8]) -> Vec<u8> {
    let rest = document.get(position + bomb.len()..).unwrap_or_default();
    [&document[..position], bomb, rest].concat()
}

fn decoded(text: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text).unwrap()
}
