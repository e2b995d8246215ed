//! The COSE_Sign1 to be made, element by element (RFC 9052 §4.2).

use super::{Form, Forms, bad, good};

/// The four elements, and what stands around them.
#[derive(Clone)]
pub struct Envelope {
    /// A tag and the array's head.
    pub head: Form,
    pub protected: Form,
    pub unprotected: Form,
    /// The payload's head.
    pub payload: PayloadForm,
    /// `None`: the leaf's key signs.
    pub signer: Option<u8>,
    pub signature: SignatureForm,
    pub after: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PayloadForm {
    Plain,
    /// In one chunk.
    Chunked,
    /// As text.
    Text,
    /// `null`: the payload is detached.
    Detached,
    /// A length in more bytes than it needs.
    Long,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SignatureForm {
    Good,
    /// (r, n − s), which holds as well.
    Negated,
    /// With another bit.
    Flipped(u16),
    /// Of another length.
    Length(u8),
    ZeroR,
    ZeroS,
    OrderR,
    OrderS,
    /// In DER, as X.509 has it.
    Der,
}

impl Envelope {
    pub fn valid() -> Self {
        Self {
            head: HEADS[0],
            protected: PROTECTED[0],
            unprotected: UNPROTECTED[0],
            payload: PayloadForm::Plain,
            signer: None,
            signature: SignatureForm::Good,
            after: AFTER[0],
        }
    }
}

/// Without a tag, as AWS sends it, and with the one of COSE_Sign1; then other tags, no array, and other counts.
pub const HEADS: Forms = &[
    good(&[0x84]),
    good(&[0xd2, 0x84]),
    bad(&[0xd1, 0x84], &["cbor-type"]),
    bad(&[0xd2, 0xd2, 0x84], &["cbor-type"]),
    bad(&[0xd8, 0x12, 0x84], &["cbor-not-shortest"]),
    bad(&[0xd8, 0x3d, 0xd2, 0x84], &["cbor-type"]),
    bad(&[0x83], &["envelope-elements"]),
    bad(&[0x85], &["envelope-elements"]),
    bad(
        &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &["envelope-elements"],
    ),
    bad(&[0x98, 4], &["cbor-not-shortest"]),
    bad(&[0x9f], &["cbor-indefinite-length"]),
    bad(&[0xa4], &["cbor-type"]),
    bad(&[], &["cbor-type"]),
];

const HEADER: &[&str] = &["protected-header"];

/// `{1: -35}`, then ES256, EdDSA, a key id beside it, the key twice, the number in two bytes more, nothing, and no string.
pub const PROTECTED: Forms = &[
    good(&[0x44, 0xa1, 1, 0x38, 0x22]),
    bad(&[0x43, 0xa1, 1, 0x26], HEADER),
    bad(&[0x43, 0xa1, 1, 0x27], HEADER),
    bad(&[0x46, 0xa2, 1, 0x38, 0x22, 4, 0x40], HEADER),
    bad(&[0x47, 0xa2, 1, 0x38, 0x22, 1, 0x38, 0x22], HEADER),
    bad(&[0x45, 0xa1, 1, 0x39, 0, 0x22], HEADER),
    bad(&[0x40], HEADER),
    bad(&[0xa1, 1, 0x38, 0x22], &["cbor-type"]),
    bad(&[0x58, 4, 0xa1, 1, 0x38, 0x22], &["cbor-not-shortest"]),
];

pub const UNPROTECTED: Forms = &[
    good(&[0xa0]),
    bad(&[0xa1, 4, 0x40], &["unprotected-header"]),
    bad(&[0xbf, 0xff], &["cbor-indefinite-length"]),
    bad(&[0x40], &["cbor-type"]),
    bad(&[0xf6], &["cbor-type"]),
];

pub const AFTER: Forms = &[
    good(&[]),
    bad(&[0], &["cbor-trailing-bytes"]),
    bad(&[0xff], &["cbor-trailing-bytes"]),
    bad(&[0xf6], &["cbor-trailing-bytes"]),
];
