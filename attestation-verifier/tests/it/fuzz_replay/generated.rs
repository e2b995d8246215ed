//! Inputs that are made here, from a fixed seed.

use std::collections::BTreeSet;

use nacre_attestation_verifier::{Backend, RULES, ResultCode};

use super::entry::forge::Forgery;
use super::entry::forge::mutate::CHANGES;
use super::entry::{broken_rules, differential, has_edits, signed_document};

/// A small generator of numbers (splitmix64): the same everywhere, and good enough to vary inputs.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// One to three changes of a forgery, the first of each kind in turn.
fn inputs(count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut numbers = Numbers(1);
    (0..count).map(move |index| {
        let others = numbers.next() % 3;
        let others = (0..others).map(|_| numbers.next() as usize % CHANGES.len());
        let kinds: Vec<_> = [index % CHANGES.len()].into_iter().chain(others).collect();
        let mut change = |kind: usize| {
            let bytes = numbers.next().to_le_bytes();
            [vec![kind as u8], bytes[..5].to_vec()].concat()
        };
        kinds.into_iter().flat_map(&mut change).collect()
    })
}

/// Every change alone with small numbers, so that every form of a part is there; each document once.
fn forms() -> impl Iterator<Item = Vec<u8>> {
    let kinds = 0..CHANGES.len() as u8;
    let places = kinds.flat_map(|kind| (1..3).map(move |place| [kind, place]));
    let all = places
        .flat_map(|[kind, place]| (0..160).map(move |number| vec![kind, place, number, 0, 0, 0]));
    let mut seen = BTreeSet::new();
    all.filter(move |input| seen.insert(Forgery::from_bytes(input).encode().document))
}

#[test]
fn every_form_of_every_part_is_judged_as_the_model_says() {
    let verdicts: Vec<_> = forms().map(|input| signed_document(&input)).collect();
    let accepted = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
    println!("{accepted} of {} accepted", verdicts.len());
    assert!(accepted >= 100 && verdicts.len() >= 4 * accepted / 3);
}

#[test]
fn documents_signed_again_are_judged_as_their_model_says() {
    const INPUTS: usize = 2_000;
    let (mut accepted, mut reached) = (0, BTreeSet::new());
    for input in inputs(INPUTS) {
        match signed_document(&input) {
            Ok(()) => accepted += 1,
            Err(rule) => drop(reached.insert(rule)),
        }
    }
    println!(
        "{accepted} of {INPUTS} accepted, {} rules reached",
        reached.len()
    );
    let missed = RULES.iter().filter(|(rule, _)| !reached.contains(rule));
    println!("not reached: {:?}", missed.collect::<Vec<_>>());
    assert!(
        accepted >= INPUTS / 5,
        "the inputs are too wild: {accepted} accepted"
    );
    assert!(reached.len() >= 60, "the inputs are too tame: {reached:?}");
}

/// A verifier without one of these rules would accept an input that the tests above make, and they would fail. (It also
/// shows that the model is not lenient: one that listed every rule would agree with every refusal.)
#[test]
fn most_rules_alone_stand_between_some_input_and_acceptance() {
    let broken = forms()
        .chain(inputs(2_000))
        .filter(|input| !has_edits(input));
    let broken: Vec<_> = broken.map(|input| broken_rules(&input)).collect();
    let alone = broken.iter().filter(|rules| rules.len() == 1);
    let alone: BTreeSet<_> = alone.flatten().copied().collect();
    let others = RULES.iter().filter(|(rule, _)| !alone.contains(rule));
    println!(
        "{} rules, and not {:?}",
        alone.len(),
        others.collect::<Vec<_>>()
    );
    assert!(alone.len() >= 60, "{alone:?}");
}

#[test]
fn every_backend_gives_the_same_verdict_with_and_without_a_memory() {
    if Backend::ALL.len() < 2 {
        println!("one backend: what is compared is memory against none");
    }
    let mut codes = BTreeSet::new();
    for mut input in inputs(600) {
        input.insert(0, 1);
        if let Err(rule) = differential(&input) {
            codes.extend(
                RULES
                    .iter()
                    .find(|known| known.0 == rule)
                    .map(|known| known.1),
            );
        }
    }
    for code in [
        ResultCode::Malformed,
        ResultCode::Chain,
        ResultCode::Signature,
    ] {
        assert!(codes.contains(&code), "{code:?} was never given");
    }
}
