//! Changes of what is asked, and of what is asked about it.

use super::super::payload::{USER_FIELDS, Value};
use super::super::question::{Pin, Set, usual_pcr};
use super::super::{Forgery, NOW_MS};
use super::payload::set;
use super::{at, second};

/// Zeros in PCR0 to PCR2, by the bits of the number; and in a set of the policy too, if `place` is odd.
pub(super) fn image(forgery: &mut Forgery, place: u8, number: u32) {
    let is_zeroed = |index: u64| index < 3 && (number >> index & 1 == 1 || number & 8 != 0);
    if let Some(pcrs) = forgery.payload.pcrs_mut() {
        for (_, value) in pcrs.iter_mut().filter(|pcr| is_zeroed(pcr.0)) {
            value.fill(0);
        }
    }
    if place % 2 == 1
        && let Some(set) = forgery.question.sets.first_mut()
    {
        for (_, value) in set.pcrs.iter_mut().filter(|pcr| is_zeroed((*pcr.0).into())) {
            value.fill(0);
        }
    }
}

/// The first or the last millisecond of a certificate's validity, or the one beside it; the document is as old as it was.
pub(super) fn ask_at_an_edge(forgery: &mut Forgery, place: u8, number: u32) {
    let certificate = at(forgery, place);
    let millis = |second: i64| second.max(0).unsigned_abs() * 1000;
    let first = millis(certificate.not_before.second);
    let last = millis(certificate.not_after.second) + 999;
    let at_ms = match number % 4 {
        0 => first,
        1 => last,
        2 => first.saturating_sub(1),
        _ => last + 1,
    };
    ask(forgery, at_ms);
}

pub(super) fn ask_later(forgery: &mut Forgery, place: u8, number: u32) {
    let at_ms = match place % 8 {
        0 => u64::MAX,
        1 => 0,
        2 => u64::from(number),
        _ => NOW_MS + u64::from(number) % 6_000_000,
    };
    match place & 0x80 {
        0 => ask(forgery, at_ms),
        // The document stays where it was.
        _ => forgery.question.at_ms = at_ms,
    }
}

pub(super) fn ask(forgery: &mut Forgery, at_ms: u64) {
    let before = forgery.question.at_ms;
    forgery.question.at_ms = at_ms;
    if let Some(Value::Timestamp(made)) = forgery.payload.value_mut("timestamp") {
        *made = made.wrapping_sub(before).wrapping_add(at_ms);
    }
}

pub(super) fn pin(forgery: &mut Forgery, place: u8, _: u32) {
    forgery.question.pin = match place % 8 {
        0 => Pin::Foreign,
        _ => Pin::Own,
    };
}

pub(super) const AGES: [u64; 6] = [0, 1, 300, 86_400, u64::MAX / 1000, u64::MAX];

pub(super) fn window(forgery: &mut Forgery, place: u8, number: u32) {
    let unsigned = |second: i64| second.max(0).unsigned_abs();
    let first = unsigned(second(forgery, place, number));
    let last = unsigned(second(forgery, (number >> 24) as u8, number / 2));
    let count = forgery.question.sets.len().max(1);
    if let Some(set) = forgery.question.sets.get_mut(usize::from(place) % count) {
        set.not_before = (number & 1 == 0).then_some(first);
        set.not_after = (number & 2 == 0).then_some(last);
    }
}

/// A register that a set of the policy names: with the document's value, or with another.
pub(super) fn named_register(forgery: &mut Forgery, place: u8, number: u32) {
    const INDEXES: [u8; 10] = [0, 1, 2, 3, 4, 8, 16, 31, 9, 32];
    let index = INDEXES[number as usize % 10];
    let value = if number & 0x100 == 0 {
        usual_pcr(index)
    } else {
        [0xee; 48]
    };
    let count = forgery.question.sets.len().max(1);
    if let Some(set) = forgery.question.sets.get_mut(usize::from(place) % count) {
        set.pcrs.insert(index, value);
    }
}

pub(super) fn more_sets(forgery: &mut Forgery, place: u8, number: u32) {
    let mut other = Set::usual();
    other.pcrs.insert((number % 3) as u8, [number as u8; 48]);
    let sets = &mut forgery.question.sets;
    match place % 8 {
        0 => sets.clear(),
        1 => sets.resize(256, other),
        2 => sets.resize(257, other),
        3 | 4 => sets.insert(0, other),
        5 => sets.push(other),
        _ => sets.push(Set::usual()),
    }
}

/// One of the enclave's own values is asked for: the document has it, or it has another.
pub(super) fn binding(forgery: &mut Forgery, place: u8, number: u32) {
    let key = USER_FIELDS[number as usize % USER_FIELDS.len()];
    let value = number.to_be_bytes().repeat(8);
    if place % 4 < 3 {
        set(forgery, key, Value::User(Some(value.clone())));
    }
    forgery.question.bound_to = Some((key, value));
}
