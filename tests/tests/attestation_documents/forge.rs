//! Payloads and envelopes of which every part can be exchanged.

use nacre_emulator::pki::{Extension, Key};

use crate::case::IMAGE;
use crate::cbor::{array, bytes, map, text, uint};

pub(crate) fn image_pcr(index: u8) -> [u8; 48] {
    IMAGE.get(usize::from(index)).copied().unwrap_or([0; 48])
}

/// The payload's entries, key and value already encoded.
#[derive(Clone)]
pub(crate) struct Payload(pub(crate) Vec<(Vec<u8>, Vec<u8>)>);

impl Payload {
    /// As AWS writes it: an outer map of indefinite length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        [&[0xbf][..], &self.entries(), &[0xff]].concat()
    }

    pub(crate) fn encode_definite(&self) -> Vec<u8> {
        map(&self.0)
    }

    pub(crate) fn entries(&self) -> Vec<u8> {
        self.0
            .iter()
            .flat_map(|(key, value)| [key.as_slice(), value].concat())
            .collect()
    }

    pub(crate) fn set(mut self, field: &str, value: Vec<u8>) -> Self {
        let key = text(field);
        self.0
            .iter_mut()
            .filter(|(name, _)| *name == key)
            .for_each(|(_, old)| old.clone_from(&value));
        self
    }

    pub(crate) fn without(mut self, field: &str) -> Self {
        self.0.retain(|(name, _)| *name != text(field));
        self
    }

    pub(crate) fn and(mut self, key: Vec<u8>, value: Vec<u8>) -> Self {
        self.0.push((key, value));
        self
    }
}

/// The four parts of a COSE_Sign1, each already encoded.
pub(crate) struct Envelope {
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// The protected header `{1: -35}`.
pub(crate) const ES384: &[u8] = b"\xa1\x01\x38\x22";

impl Envelope {
    pub(crate) fn signed(protected: &[u8], payload: &[u8], key: &Key) -> Self {
        let message = array(&[
            text("Signature1"),
            bytes(protected),
            bytes(b""),
            bytes(payload),
        ]);
        Self {
            protected: bytes(protected),
            unprotected: map(&[]),
            payload: bytes(payload),
            signature: bytes(&key.sign_fixed(&message)),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        array(&[
            self.protected.clone(),
            self.unprotected.clone(),
            self.payload.clone(),
            self.signature.clone(),
        ])
    }

    /// The last 96 bytes, r and s.
    pub(crate) fn scalars(mut self, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let start = self.signature.len() - 96;
        change(&mut self.signature[start..]);
        self.encode()
    }
}

/// The registers `0..count` with these values for the first ones, zero for the others.
pub(crate) fn registers(count: u8, first: &[[u8; 48]]) -> Vec<u8> {
    let value = |index: u8| first.get(usize::from(index)).copied().unwrap_or([0; 48]);
    map(&(0..count)
        .map(|index| (uint(index.into()), bytes(&value(index))))
        .collect::<Vec<_>>())
}

pub(crate) fn unknown_extension(critical: bool) -> Extension {
    Extension::Other {
        oid: "1.3.6.1.4.1.55555.1".to_owned(),
        critical,
        value: vec![5, 0],
    }
}
