//! The payload to be made, entry by entry (AWS NSM spec §2.2).

use super::question::usual_pcr;
use super::{Form, Forms, NOW_MS, bad, good};

/// The map of claims.
#[derive(Clone)]
pub struct Payload {
    pub head: MapHead,
    pub entries: Vec<Entry>,
    pub after: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MapHead {
    /// As AWS sends it.
    Indefinite,
    Definite,
    /// A count that is this much too large.
    TooMany(u8),
    /// A count that is one too small.
    TooFew,
    /// In more bytes than it needs.
    Long,
    Odd(Form),
}

#[derive(Clone)]
pub struct Entry {
    pub key: String,
    pub value: Value,
}

#[derive(Clone)]
pub enum Value {
    Text(String),
    Timestamp(u64),
    Pcrs(Vec<(u64, Vec<u8>)>),
    /// The leaf certificate.
    Leaf,
    /// The other certificates.
    Bundle,
    /// The bundle with another certificate's bytes: a count of them, all this long.
    OddBundle {
        count: u8,
        length: u16,
    },
    User(Option<Vec<u8>>),
    /// A number inside so many arrays.
    Nested(u8),
    /// An array of so many numbers.
    Many(u16),
    /// CBOR that no claim may have, or that only a claim may have which nobody knows.
    Odd(Form),
}

impl Payload {
    pub fn valid() -> Self {
        let pcrs = (0..16).map(|index| (u64::from(index), usual_pcr(index).to_vec()));
        let user = |value: &[u8]| Value::User(Some(value.to_vec()));
        let entries = [
            (
                "module_id",
                Value::Text("i-0123456789abcdef0-enc0123456789abcdef".into()),
            ),
            ("digest", Value::Text("SHA384".into())),
            ("timestamp", Value::Timestamp(NOW_MS)),
            ("pcrs", Value::Pcrs(pcrs.collect())),
            ("certificate", Value::Leaf),
            ("cabundle", Value::Bundle),
            ("public_key", user(b"public key")),
            ("user_data", user(b"")),
            ("nonce", Value::User(None)),
        ];
        Self {
            head: MapHead::Indefinite,
            entries: entries
                .map(|(key, value)| Entry {
                    key: key.to_owned(),
                    value,
                })
                .into(),
            after: AFTER[0],
        }
    }

    /// The value of a key, if it is there.
    pub fn value(&self, key: &str) -> Option<&Value> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(&entry.value)
    }

    pub fn value_mut(&mut self, key: &str) -> Option<&mut Value> {
        let entry = self.entries.iter_mut().find(|entry| entry.key == key)?;
        Some(&mut entry.value)
    }

    /// The PCRs, unless the entry is missing or something else.
    pub fn pcrs_mut(&mut self) -> Option<&mut Vec<(u64, Vec<u8>)>> {
        match self.value_mut("pcrs") {
            Some(Value::Pcrs(pcrs)) => Some(pcrs),
            _ => None,
        }
    }
}

/// The keys that a document must have, and those that it may have.
pub const REQUIRED: [&str; 6] = [
    "module_id",
    "digest",
    "timestamp",
    "pcrs",
    "certificate",
    "cabundle",
];
pub const USER_FIELDS: [&str; 3] = ["public_key", "user_data", "nonce"];

/// What stands behind the map.
pub const AFTER: Forms = &[
    good(&[]),
    bad(&[0], &["cbor-trailing-bytes", "cbor-type"]),
    bad(&[0xff], &["cbor-trailing-bytes", "cbor-break"]),
];

/// Heads that are no map's.
pub const HEADS: Forms = &[
    bad(&[0x89], &["cbor-type"]),
    bad(&[0x49], &["cbor-type"]),
    bad(&[0xff], &["cbor-break"]),
    bad(&[0xbc], &["cbor-reserved"]),
    bad(&[0xf6], &["cbor-type"]),
];

/// Values that no known key may have, one rule each.
pub const WRONG_VALUES: Forms = &[
    bad(&[0x20], &["cbor-type"]),
    bad(&[0xf5], &["cbor-type"]),
    bad(&[0xc0, 0x60], &["cbor-type"]),
    bad(&[0xff], &["cbor-break"]),
    bad(&[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], &["cbor-type"]),
];

/// Values of a kind in an encoding that is refused: chunks, an array and a map without length, lengths in too many bytes,
/// a reserved head, text that is not UTF-8. Each key has its own kind, so the wrong kind may be what is found.
pub const WRONG_ENCODINGS: Forms = &[
    bad(
        &[0x5f, 0x41, 0, 0xff],
        &["cbor-chunked-string", "cbor-type"],
    ),
    bad(
        &[0x7f, 0x61, b'i', 0xff],
        &["cbor-chunked-string", "cbor-type"],
    ),
    bad(
        &[0x9f, 0x41, 0, 0xff],
        &["cbor-indefinite-length", "cbor-type"],
    ),
    bad(&[0xbf, 0xff], &["cbor-indefinite-length", "cbor-type"]),
    bad(&[0x58, 1, 0], &["cbor-not-shortest", "cbor-type"]),
    bad(&[0x78, 1, b'i'], &["cbor-not-shortest", "cbor-type"]),
    bad(&[0x18, 1], &["cbor-not-shortest", "cbor-type"]),
    bad(&[0x98, 1, 0x41, 0], &["cbor-not-shortest", "cbor-type"]),
    bad(&[0x5c], &["cbor-reserved", "cbor-type"]),
    bad(&[0x7c], &["cbor-reserved", "cbor-type"]),
    bad(&[0x1c], &["cbor-reserved", "cbor-type"]),
    bad(&[0x62, 0xc3, 0x28], &["cbor-utf8", "cbor-type"]),
    bad(
        &[0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &["cbor-truncated", "cbor-type"],
    ),
    bad(
        &[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &["cbor-truncated", "cbor-type"],
    ),
];

/// Values of a key that nobody knows: what may stand there, then what may not.
pub const UNKNOWN_VALUES: Forms = &[
    good(&[0]),
    good(&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
    good(&[0xbf, 1, 0x9f, 0xf9, 0, 0, 0xff, 0xff]),
    good(&[0xa1, 0x41, 0, 0xf6]),
    good(&[0xc1, 0x1a, 0x65, 0, 0, 0]),
    good(&[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]),
    good(&[0xf8, 0xff]),
    bad(&[0x5f, 0x41, 0, 0xff], &["cbor-chunked-string"]),
    bad(&[0x7f, 0x61, b'i', 0xff], &["cbor-chunked-string"]),
    bad(&[0x18, 1], &["cbor-not-shortest"]),
    bad(&[0xf8, 0x1f], &["cbor-not-shortest"]),
    bad(&[0x61, 0xff], &["cbor-utf8"]),
    bad(&[0x1d], &["cbor-reserved"]),
    bad(&[0xfc], &["cbor-reserved"]),
    bad(&[0xbf, 1, 0xff, 0xff], &["cbor-break"]),
    bad(
        &[
            0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x18, 0x17,
        ],
        &["cbor-not-shortest"],
    ),
    bad(
        &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &["cbor-truncated"],
    ),
];
