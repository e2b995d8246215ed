//! A fuzzer's bytes as changes of a forgery.
//!
//! Six bytes are one change: what, where, and a number (little-endian). A fixed width lets a fuzzer change one of them,
//! put one in and take one out without giving the others another meaning. At most [`MOST_CHANGES`] are made.

mod chain;
mod payload;
mod question;

use chain::*;
use payload::*;
use question::*;

use super::certificate::Certificate;
use super::envelope::{self, PayloadForm};
use super::{Edit, Forgery, Form, Forms, Part};
use super::{certificate_forms as forms, payload as claims};

/// Bytes of a change.
pub const CHANGE_BYTES: usize = 6;

/// More changes than this tell nothing new.
pub const MOST_CHANGES: usize = 8;

impl Forgery {
    /// The valid forgery, changed as the bytes say.
    pub fn from_bytes(data: &[u8]) -> Self {
        let mut forgery = Self::valid();
        for change in data.chunks_exact(CHANGE_BYTES).take(MOST_CHANGES) {
            let &[what, place, v0, v1, v2, v3] = change else {
                continue;
            };
            let number = u32::from_le_bytes([v0, v1, v2, v3]);
            CHANGES[usize::from(what) % CHANGES.len()](&mut forgery, place, number);
        }
        forgery
    }
}

type Change = fn(&mut Forgery, u8, u32);

/// What can be changed. New changes are added at the end: seeds name them by their place.
pub const CHANGES: &[Change] = &[
    |forgery, _, number| forgery.envelope.head = pick(envelope::HEADS, number),
    |forgery, _, number| forgery.envelope.protected = pick(envelope::PROTECTED, number),
    |forgery, _, number| forgery.envelope.unprotected = pick(envelope::UNPROTECTED, number),
    |forgery, _, number| forgery.envelope.after = pick(envelope::AFTER, number),
    payload_form,
    document_signature,
    |forgery, _, number| forgery.envelope.signer = Some((number % 8) as u8),
    map_head,
    |forgery, _, number| forgery.payload.after = pick(claims::AFTER, number),
    swap_entries,
    remove_entry,
    repeat_entry,
    unknown_key,
    unknown_key_shape,
    many_keys,
    |forgery, place, number| odd_value(forgery, place, claims::WRONG_VALUES, number),
    |forgery, place, number| odd_value(forgery, place, claims::WRONG_ENCODINGS, number),
    module_id,
    digest,
    timestamp,
    user_field,
    register_value,
    register_missing,
    register_more,
    register_length,
    image,
    odd_bundle,
    |forgery, place, number| at(forgery, place).version = pick(forms::VERSIONS, number),
    |forgery, place, number| at(forgery, place).serial = pick(forms::SERIALS, number),
    |forgery, place, number| at(forgery, place).inner_algorithm = pick(forms::ALGORITHMS, number),
    |forgery, place, number| at(forgery, place).outer_algorithm = pick(forms::ALGORITHMS, number),
    |forgery, place, number| at(forgery, place).issuer = Some(name(number)),
    |forgery, place, number| at(forgery, place).subject = name(number),
    not_before,
    not_after,
    time_form,
    |forgery, place, number| at(forgery, place).key_algorithm = pick(forms::KEY_ALGORITHMS, number),
    point,
    trailing,
    |forgery, place, number| {
        at(forgery, place).unique_identifier = pick(forms::UNIQUE_IDENTIFIERS, number)
    },
    basic_constraints,
    key_usage,
    |forgery, place, number| {
        at(forgery, place)
            .more_extensions
            .push(pick(forms::EXTENSIONS, number))
    },
    |forgery, place, _| at(forgery, place).repeats_extension = true,
    certificate_signature,
    |forgery, place, number| at(forgery, place).signer = Some((number % 8) as u8),
    key,
    insert_authority,
    remove_certificate,
    repeat_certificate,
    swap_certificates,
    ask_at_an_edge,
    ask_later,
    pin,
    |forgery, _, number| forgery.question.max_age_s = AGES[number as usize % AGES.len()],
    |forgery, _, number| forgery.question.allow_debug = number.is_multiple_of(2),
    window,
    named_register,
    more_sets,
    binding,
    edit,
];

/// One of the forms: any of them if the number is even, a good one if it is odd and there is one.
fn pick(forms: Forms, number: u32) -> Form {
    let is_good = |form: &&Form| number.is_multiple_of(2) || form.breaks.is_empty();
    let candidates: Vec<_> = forms.iter().filter(is_good).collect();
    match candidates.len() {
        0 => forms[number as usize / 2 % forms.len()],
        count => *candidates[number as usize / 2 % count],
    }
}

fn at(forgery: &mut Forgery, place: u8) -> &mut Certificate {
    let count = forgery.chain.len();
    &mut forgery.chain[usize::from(place) % count]
}

fn payload_form(forgery: &mut Forgery, _: u8, number: u32) {
    forgery.envelope.payload = match number % 4 {
        0 => PayloadForm::Chunked,
        1 => PayloadForm::Text,
        2 => PayloadForm::Detached,
        _ => PayloadForm::Long,
    };
}

fn document_signature(forgery: &mut Forgery, place: u8, number: u32) {
    use envelope::SignatureForm;
    forgery.envelope.signature = match place % 12 {
        0..=3 => SignatureForm::Negated,
        4 => SignatureForm::Flipped(number as u16),
        5 => SignatureForm::Length(number as u8),
        6 => SignatureForm::Length([0, 48, 95, 97][number as usize % 4]),
        7 => SignatureForm::ZeroR,
        8 => SignatureForm::ZeroS,
        9 => SignatureForm::OrderR,
        10 => SignatureForm::OrderS,
        _ => SignatureForm::Der,
    };
}

/// Seconds at the edges of what is asked, and of what times can be.
fn second(forgery: &Forgery, place: u8, number: u32) -> i64 {
    /// The last that can be written.
    const LAST: i64 = 253_402_300_799;
    let now = ((forgery.question.at_ms / 1000) as i64).min(LAST - 200_000);
    match place / 16 {
        0 | 1 => now,
        2 => now + 1,
        3 => now - 1,
        // The last second of 2049, and the next.
        4 => 2_524_607_999,
        5 => 2_524_608_000,
        6 => LAST,
        7 => -1,
        // The first that can be written.
        8 => -631_152_000,
        // 29 February 2000.
        9 => 951_782_400 + i64::from(number % 86_400),
        _ => now + i64::from(number % 200_000) - 100_000,
    }
    .max(-631_152_000)
}

fn edit(forgery: &mut Forgery, place: u8, number: u32) {
    let [at_low, at_high, what, with] = number.to_le_bytes();
    let part = match place % 8 {
        0..=3 => Part::ToBeSigned(place / 8 % 4),
        4 => Part::Certificate(place / 8 % 4),
        5 | 6 => Part::Payload,
        _ => Part::Document,
    };
    forgery.edits.push(Edit {
        part,
        at: u16::from_le_bytes([at_low, at_high]),
        what,
        with,
    });
}
