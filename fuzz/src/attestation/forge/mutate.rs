//! A fuzzer's bytes as changes of a forgery.
//!
//! Six bytes are one change: what, where, and a number (little-endian). A fixed width lets a fuzzer change one of them,
//! put one in and take one out without giving the others another meaning. At most [`MOST_CHANGES`] are made.

use super::certificate::{
    self, BasicConstraints, Certificate, KeyChoice, KeyUsage, Name, Point, TimeForm,
};
use super::envelope::{self, PayloadForm};
use super::payload::{self, Entry, MapHead, REQUIRED, USER_FIELDS, Value};
use super::question::{Pin, Set, usual_pcr};
use super::{Edit, Forgery, Form, Forms, NOW_MS, Part};

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
    |forgery, _, number| forgery.payload.after = pick(payload::AFTER, number),
    swap_entries,
    remove_entry,
    repeat_entry,
    unknown_key,
    unknown_key_shape,
    many_keys,
    |forgery, place, number| odd_value(forgery, place, payload::WRONG_VALUES, number),
    |forgery, place, number| odd_value(forgery, place, payload::WRONG_ENCODINGS, number),
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
    |forgery, place, number| at(forgery, place).version = pick(certificate::VERSIONS, number),
    |forgery, place, number| at(forgery, place).serial = pick(certificate::SERIALS, number),
    |forgery, place, number| {
        at(forgery, place).inner_algorithm = pick(certificate::ALGORITHMS, number)
    },
    |forgery, place, number| {
        at(forgery, place).outer_algorithm = pick(certificate::ALGORITHMS, number)
    },
    |forgery, place, number| at(forgery, place).issuer = Some(name(number)),
    |forgery, place, number| at(forgery, place).subject = name(number),
    not_before,
    not_after,
    time_form,
    |forgery, place, number| {
        at(forgery, place).key_algorithm = pick(certificate::KEY_ALGORITHMS, number)
    },
    point,
    trailing,
    |forgery, place, number| {
        at(forgery, place).unique_identifier = pick(certificate::UNIQUE_IDENTIFIERS, number)
    },
    basic_constraints,
    key_usage,
    |forgery, place, number| {
        at(forgery, place)
            .more_extensions
            .push(pick(certificate::EXTENSIONS, number))
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

fn map_head(forgery: &mut Forgery, place: u8, number: u32) {
    forgery.payload.head = match place % 8 {
        0..=3 => MapHead::Definite,
        4 => MapHead::TooMany(number as u8 % 8 + 1),
        5 => MapHead::TooFew,
        6 => MapHead::Long,
        _ => MapHead::Odd(pick(payload::HEADS, number)),
    };
}

fn swap_entries(forgery: &mut Forgery, place: u8, number: u32) {
    let entries = &mut forgery.payload.entries;
    if let Some(last) = entries.len().checked_sub(1) {
        entries.swap(
            usize::from(place) % (last + 1),
            number as usize % (last + 1),
        );
    }
}

/// One that must be there if the number is even, otherwise one that may be.
fn remove_entry(forgery: &mut Forgery, place: u8, number: u32) {
    let key = match number.is_multiple_of(2) {
        true => REQUIRED[usize::from(place) % REQUIRED.len()],
        false => USER_FIELDS[usize::from(place) % USER_FIELDS.len()],
    };
    forgery.payload.entries.retain(|entry| entry.key != key);
}

fn repeat_entry(forgery: &mut Forgery, place: u8, number: u32) {
    let entries = &mut forgery.payload.entries;
    if entries.is_empty() {
        return;
    }
    let entry = entries[usize::from(place) % entries.len()].clone();
    entries.insert(number as usize % (entries.len() + 1), entry);
}

fn unknown_key(forgery: &mut Forgery, place: u8, number: u32) {
    let value = match place % 4 {
        0 => Value::Nested((number % 12) as u8),
        1 => Value::Many((number % 300) as u16),
        // As large as a document may be, and larger.
        2 if number.is_multiple_of(2) => Value::User(Some(vec![0; number as usize % 16_384])),
        _ => Value::Odd(pick(payload::UNKNOWN_VALUES, number)),
    };
    add(forgery, &format!("new {}", number % 64), value);
}

fn unknown_key_shape(forgery: &mut Forgery, place: u8, number: u32) {
    let key = match place % 8 {
        0 => String::new(),
        1 => "k".repeat(64),
        2 => "k".repeat(65),
        3 => format!("k\u{7f}{number}"),
        4 => format!("\u{e4}\u{1f980}{number}"),
        5 => "nitrotpm_pcrs".to_owned(),
        6 => "PCRS".to_owned(),
        _ => "k".repeat(number as usize % 80 + 1),
    };
    add(forgery, &key, Value::Timestamp(u64::from(number)));
}

fn many_keys(forgery: &mut Forgery, _: u8, number: u32) {
    for key in 0..[22, 23, 24, 40][number as usize % 4] {
        add(forgery, &format!("key {key}"), Value::User(None));
    }
}

fn add(forgery: &mut Forgery, key: &str, value: Value) {
    let key = key.to_owned();
    forgery.payload.entries.push(Entry { key, value });
}

fn odd_value(forgery: &mut Forgery, place: u8, forms: Forms, number: u32) {
    let entries = &mut forgery.payload.entries;
    let known = entries.iter_mut().filter(|entry| {
        let key = &*entry.key;
        REQUIRED.contains(&key) || USER_FIELDS.contains(&key)
    });
    let mut known: Vec<_> = known.collect();
    let count = known.len().max(1);
    if let Some(entry) = known.get_mut(usize::from(place) % count) {
        entry.value = Value::Odd(forms[number as usize % forms.len()]);
    }
}

fn set(forgery: &mut Forgery, key: &str, new: Value) {
    if let Some(value) = forgery.payload.value_mut(key) {
        *value = new;
    }
}

fn module_id(forgery: &mut Forgery, place: u8, number: u32) {
    let text = match place % 8 {
        0 => String::new(),
        1 => "i".repeat(256),
        2 => "i".repeat(257),
        3 => format!("i-{number}\n"),
        4 => format!("i-{number}\u{85}"),
        _ => format!("i-{number:x}-enc\u{e4}"),
    };
    set(forgery, "module_id", Value::Text(text));
}

fn digest(forgery: &mut Forgery, _: u8, number: u32) {
    let text = ["SHA256", "SHA512", "sha384", "SHA384 ", ""][number as usize % 5];
    set(forgery, "digest", Value::Text(text.to_owned()));
}

fn timestamp(forgery: &mut Forgery, place: u8, number: u32) {
    let at = forgery.question.at_ms;
    let oldest = at.saturating_sub(forgery.question.max_age_s.saturating_mul(1000));
    let made = match place % 12 {
        0 => oldest,
        1 => oldest.saturating_sub(1),
        2 => at.saturating_add(30_000),
        3 => at.saturating_add(30_001),
        4 => 0,
        5 => 1,
        6 => u64::MAX,
        7 => u64::from(number),
        _ => at.saturating_sub(u64::from(number) % 300_000),
    };
    set(forgery, "timestamp", Value::Timestamp(made));
}

fn user_field(forgery: &mut Forgery, place: u8, number: u32) {
    let key = USER_FIELDS[usize::from(place) % USER_FIELDS.len()];
    let length = match number % 8 {
        0 => 1025,
        1 => 1024,
        2 => 0,
        3 => return set(forgery, key, Value::User(None)),
        _ => number as usize % 600,
    };
    set(forgery, key, Value::User(Some(vec![number as u8; length])));
}

fn register_value(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut()
        && let Some(count) = pcrs.len().checked_sub(1)
    {
        let value = &mut pcrs[usize::from(place) % (count + 1)].1;
        if let Some(byte) = value.get_mut(number as usize % 48) {
            *byte ^= (number >> 8) as u8;
        }
    }
}

fn register_missing(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut() {
        match number % 16 {
            0 => pcrs.clear(),
            _ => pcrs.retain(|pcr| pcr.0 != u64::from(place % 16)),
        }
    }
}

fn register_more(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut() {
        match place % 8 {
            0 => pcrs.push((u64::from(number), vec![1; 48])),
            1 => pcrs.push((32, vec![1; 48])),
            2 => pcrs.extend((16..32).map(|index| (index, vec![1; 48]))),
            3 => pcrs.extend((16..33).map(|index| (index, vec![1; 48]))),
            _ => pcrs.push((
                u64::from(number % 40),
                usual_pcr((number % 40) as u8).to_vec(),
            )),
        }
    }
}

fn register_length(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut()
        && let Some(last) = pcrs.len().checked_sub(1)
    {
        let length = [0, 32, 47, 49, 64, number as usize % 100][number as usize % 6];
        pcrs[usize::from(place) % (last + 1)].1.resize(length, 7);
    }
}

/// Zeros in PCR0 to PCR2, by the bits of the number; and in a set of the policy too, if `place` is odd.
fn image(forgery: &mut Forgery, place: u8, number: u32) {
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

fn odd_bundle(forgery: &mut Forgery, place: u8, number: u32) {
    let count = [0, 1, 8, 9][usize::from(place) % 4];
    let length = [0, 1, 1024, 1025][number as usize % 4];
    set(forgery, "cabundle", Value::OddBundle { count, length });
}

fn name(number: u32) -> Name {
    match number % 4 {
        0 => Name::Odd(pick(certificate::NAMES, number / 4)),
        _ => Name::Common((number / 4 % 8) as u8),
    }
}

/// Seconds at the edges of what is asked, and of what times can be.
fn second(forgery: &Forgery, place: u8, number: u32) -> u64 {
    /// The last that can be written.
    const LAST: u64 = 253_402_300_799;
    let now = (forgery.question.at_ms / 1000).min(LAST - 200_000);
    match place / 16 {
        0 | 1 => now,
        2 => now + 1,
        3 => now.saturating_sub(1),
        // The last second of 2049, and the next.
        4 => 2_524_607_999,
        5 => 2_524_608_000,
        6 => LAST,
        7 => 0,
        8 => 951_782_400 + u64::from(number % 86_400),
        _ => (now + u64::from(number % 200_000)).saturating_sub(100_000),
    }
}

fn not_before(forgery: &mut Forgery, place: u8, number: u32) {
    let second = second(forgery, place, number);
    at(forgery, place).not_before.second = second;
}

fn not_after(forgery: &mut Forgery, place: u8, number: u32) {
    let second = second(forgery, place, number);
    at(forgery, place).not_after.second = second;
}

fn time_form(forgery: &mut Forgery, place: u8, number: u32) {
    let certificate = at(forgery, place);
    let form = match number / 2 % 5 {
        0 => TimeForm::Generalized,
        1 => TimeForm::Fraction,
        2 => TimeForm::NoSeconds,
        3 => TimeForm::Offset,
        _ => TimeForm::Month13,
    };
    match number.is_multiple_of(2) {
        true => certificate.not_before.form = form,
        false => certificate.not_after.form = form,
    }
}

fn point(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).point = match number % 4 {
        0 => Point::Of((number / 4 % 8) as u8),
        _ => Point::Odd(pick(certificate::POINTS, number / 4)),
    };
}

fn trailing(forgery: &mut Forgery, place: u8, number: u32) {
    let certificate = at(forgery, place);
    let place = match number % 5 {
        0 => &mut certificate.after,
        1 => &mut certificate.after_point,
        2 => &mut certificate.after_signature,
        3 => &mut certificate.after_tbs,
        _ => &mut certificate.after_validity,
    };
    *place = pick(certificate::TRAILING, number / 5);
}

fn basic_constraints(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).basic_constraints = match number % 8 {
        0 => None,
        1 => Some(BasicConstraints::Odd(pick(
            certificate::BASIC_CONSTRAINTS,
            number / 8,
        ))),
        _ => {
            let lengths = [
                None,
                None,
                Some(0),
                Some(1),
                Some(2),
                Some(7),
                Some(128),
                Some(255),
            ];
            Some(BasicConstraints::Plain {
                critical: number & 0x300 != 0,
                is_ca: number & 0x800 != 0,
                path_length: lengths[number as usize >> 12 & 7],
            })
        }
    };
}

fn key_usage(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).key_usage = match number % 8 {
        0 => None,
        1 => Some(KeyUsage::Odd(pick(certificate::KEY_USAGES, number / 8))),
        _ => Some(KeyUsage::Bits {
            critical: number & 8 != 0,
            bits: (number >> 4) as u16 & 0x1ff,
        }),
    };
}

fn certificate_signature(forgery: &mut Forgery, place: u8, number: u32) {
    use certificate::SignatureForm;
    at(forgery, place).signature = match number % 8 {
        0..=3 => SignatureForm::Negated,
        4 => SignatureForm::Padded,
        5 => SignatureForm::Flipped((number >> 8) as u8 | 1),
        _ => SignatureForm::Odd(pick(certificate::SIGNATURES, number / 8)),
    };
}

fn key(forgery: &mut Forgery, place: u8, number: u32) {
    at(forgery, place).key = match number % 4 {
        0 => KeyChoice::Cancelling,
        1 | 2 => KeyChoice::Doubling,
        _ => KeyChoice::Number((number / 4 % 8) as u8),
    };
}

/// More CA certificates before the leaf, none of which limits the path.
fn insert_authority(forgery: &mut Forgery, place: u8, number: u32) {
    let count = [1, 1, 2, 5, 6, 7][usize::from(place) % 6];
    for next in 0..count {
        let name = (3 + (number + next) % 4) as u8;
        let validity = (1_749_859_200 + u64::from(next), 1_750_032_000);
        let position = 1.min(forgery.chain.len());
        forgery
            .chain
            .insert(position, Certificate::ca(name, validity, None));
    }
}

fn remove_certificate(forgery: &mut Forgery, place: u8, _: u32) {
    if forgery.chain.len() > 1 {
        forgery
            .chain
            .remove(usize::from(place) % forgery.chain.len());
    }
}

fn repeat_certificate(forgery: &mut Forgery, place: u8, number: u32) {
    if forgery.chain.len() < 12 {
        let certificate = at(forgery, place).clone();
        forgery
            .chain
            .insert(number as usize % (forgery.chain.len() + 1), certificate);
    }
}

fn swap_certificates(forgery: &mut Forgery, place: u8, number: u32) {
    let count = forgery.chain.len();
    forgery
        .chain
        .swap(usize::from(place) % count, number as usize % count);
}

/// The first or the last millisecond of a certificate's validity, or the one beside it; the document is as old as it was.
fn ask_at_an_edge(forgery: &mut Forgery, place: u8, number: u32) {
    let certificate = at(forgery, place);
    let (first, last) = (
        certificate.not_before.second * 1000,
        certificate.not_after.second * 1000 + 999,
    );
    let at_ms = match number % 4 {
        0 => first,
        1 => last,
        2 => first.saturating_sub(1),
        _ => last + 1,
    };
    ask(forgery, at_ms);
}

fn ask_later(forgery: &mut Forgery, place: u8, number: u32) {
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

fn ask(forgery: &mut Forgery, at_ms: u64) {
    let before = forgery.question.at_ms;
    forgery.question.at_ms = at_ms;
    if let Some(Value::Timestamp(made)) = forgery.payload.value_mut("timestamp") {
        *made = made.wrapping_sub(before).wrapping_add(at_ms);
    }
}

fn pin(forgery: &mut Forgery, place: u8, _: u32) {
    forgery.question.pin = match place % 8 {
        0 => Pin::Foreign,
        _ => Pin::Own,
    };
}

const AGES: [u64; 6] = [0, 1, 300, 86_400, u64::MAX / 1000, u64::MAX];

fn window(forgery: &mut Forgery, place: u8, number: u32) {
    let (first, last) = (
        second(forgery, place, number),
        second(forgery, (number >> 24) as u8, number / 2),
    );
    let count = forgery.question.sets.len().max(1);
    if let Some(set) = forgery.question.sets.get_mut(usize::from(place) % count) {
        set.not_before = (number & 1 == 0).then_some(first);
        set.not_after = (number & 2 == 0).then_some(last);
    }
}

/// A register that a set of the policy names: with the document's value, or with another.
fn named_register(forgery: &mut Forgery, place: u8, number: u32) {
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

fn more_sets(forgery: &mut Forgery, place: u8, number: u32) {
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
fn binding(forgery: &mut Forgery, place: u8, number: u32) {
    let key = USER_FIELDS[number as usize % USER_FIELDS.len()];
    let value = number.to_be_bytes().repeat(8);
    if place % 4 < 3 {
        set(forgery, key, Value::User(Some(value.clone())));
    }
    forgery.question.bound_to = Some((key, value));
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
