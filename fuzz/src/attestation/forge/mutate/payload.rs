//! Changes of the payload.

use super::super::Forgery;
use super::super::Forms;
use super::super::payload::{self, Entry, MapHead, REQUIRED, USER_FIELDS, Value};
use super::super::question::usual_pcr;
use super::pick;

pub(super) fn map_head(forgery: &mut Forgery, place: u8, number: u32) {
    forgery.payload.head = match place % 8 {
        0..=3 => MapHead::Definite,
        4 => MapHead::TooMany(number as u8 % 8 + 1),
        5 => MapHead::TooFew,
        6 => MapHead::Long,
        _ => MapHead::Odd(pick(payload::HEADS, number)),
    };
}

pub(super) fn swap_entries(forgery: &mut Forgery, place: u8, number: u32) {
    let entries = &mut forgery.payload.entries;
    if let Some(last) = entries.len().checked_sub(1) {
        entries.swap(
            usize::from(place) % (last + 1),
            number as usize % (last + 1),
        );
    }
}

/// One that must be there if the number is even, otherwise one that may be.
pub(super) fn remove_entry(forgery: &mut Forgery, place: u8, number: u32) {
    let key = match number.is_multiple_of(2) {
        true => REQUIRED[usize::from(place) % REQUIRED.len()],
        false => USER_FIELDS[usize::from(place) % USER_FIELDS.len()],
    };
    forgery.payload.entries.retain(|entry| entry.key != key);
}

pub(super) fn repeat_entry(forgery: &mut Forgery, place: u8, number: u32) {
    let entries = &mut forgery.payload.entries;
    if entries.is_empty() {
        return;
    }
    let entry = entries[usize::from(place) % entries.len()].clone();
    entries.insert(number as usize % (entries.len() + 1), entry);
}

pub(super) fn unknown_key(forgery: &mut Forgery, place: u8, number: u32) {
    let value = match place % 4 {
        0 => Value::Nested((number % 12) as u8),
        1 => Value::Many((number % 300) as u16),
        // As large as a document may be, and larger.
        2 => Value::User(Some(vec![0; number as usize % 20_000])),
        _ => Value::Odd(pick(payload::UNKNOWN_VALUES, number)),
    };
    add(forgery, &format!("new {}", number % 64), value);
}

pub(super) fn unknown_key_shape(forgery: &mut Forgery, place: u8, number: u32) {
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

pub(super) fn many_keys(forgery: &mut Forgery, _: u8, number: u32) {
    for key in 0..[22, 23, 24, 40][number as usize % 4] {
        add(forgery, &format!("key {key}"), Value::User(None));
    }
}

pub(super) fn add(forgery: &mut Forgery, key: &str, value: Value) {
    let key = key.to_owned();
    forgery.payload.entries.push(Entry { key, value });
}

pub(super) fn odd_value(forgery: &mut Forgery, place: u8, forms: Forms, number: u32) {
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

pub(super) fn set(forgery: &mut Forgery, key: &str, new: Value) {
    if let Some(value) = forgery.payload.value_mut(key) {
        *value = new;
    }
}

pub(super) fn module_id(forgery: &mut Forgery, place: u8, number: u32) {
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

pub(super) fn digest(forgery: &mut Forgery, _: u8, number: u32) {
    let text = ["SHA256", "SHA512", "sha384", "SHA384 ", ""][number as usize % 5];
    set(forgery, "digest", Value::Text(text.to_owned()));
}

pub(super) fn timestamp(forgery: &mut Forgery, place: u8, number: u32) {
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

pub(super) fn user_field(forgery: &mut Forgery, place: u8, number: u32) {
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

pub(super) fn register_value(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut()
        && let Some(count) = pcrs.len().checked_sub(1)
    {
        let value = &mut pcrs[usize::from(place) % (count + 1)].1;
        if let Some(byte) = value.get_mut(number as usize % 48) {
            *byte ^= (number >> 8) as u8;
        }
    }
}

pub(super) fn register_missing(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut() {
        match number % 16 {
            0 => pcrs.clear(),
            _ => pcrs.retain(|pcr| pcr.0 != u64::from(place % 16)),
        }
    }
}

pub(super) fn register_more(forgery: &mut Forgery, place: u8, number: u32) {
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

pub(super) fn register_length(forgery: &mut Forgery, place: u8, number: u32) {
    if let Some(pcrs) = forgery.payload.pcrs_mut()
        && let Some(last) = pcrs.len().checked_sub(1)
    {
        let length = [0, 32, 47, 49, 64, number as usize % 100][number as usize % 6];
        pcrs[usize::from(place) % (last + 1)].1.resize(length, 7);
    }
}

pub(super) fn odd_bundle(forgery: &mut Forgery, place: u8, number: u32) {
    let count = [0, 1, 8, 9][usize::from(place) % 4];
    let length = [0, 1, 1024, 1025][number as usize % 4];
    set(forgery, "cabundle", Value::OddBundle { count, length });
}
