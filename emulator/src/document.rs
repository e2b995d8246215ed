//! The attestation document and its envelope.
//!
//! AWS describes the document in CDDL and sends it with these habits, which every document
//! since August 2025 shows and which are kept here to the byte: the payload's outer map is of
//! indefinite length, everything inside it is definite; the keys stand in the order of the
//! description; the timestamp is the creation time in milliseconds; the registers shown are the
//! locked ones, lowest first; an absent optional field is `null`. The envelope is an untagged
//! `COSE_Sign1` (RFC 9052 §4.2) with the protected header `{1: -35}` and nothing unprotected.

use coset::iana::Algorithm;
use coset::{CborSerializable as _, CoseSign1Builder, HeaderBuilder};

use crate::cbor;
use crate::nsm::Pcr;
use crate::pki::Key;

/// What one document says.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// The module that speaks, `i-<17 hex>-enc<16 hex>`.
    pub module_id: &'a str,
    /// When it speaks, in milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The locked registers and their indexes, in the order they shall be written.
    pub pcrs: Vec<(u8, Pcr)>,
    /// The certificate whose key signs, DER.
    pub certificate: &'a [u8],
    /// Its issuers, root first, DER.
    pub cabundle: Vec<&'a [u8]>,
    /// What the enclave asked to have included: a public key,
    pub public_key: Option<&'a [u8]>,
    /// any data,
    pub user_data: Option<&'a [u8]>,
    /// and a nonce.
    pub nonce: Option<&'a [u8]>,
}

impl Document<'_> {
    /// The payload's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::to_vec(|w| {
            w.begin_map()?;
            w.str("module_id")?.str(self.module_id)?;
            w.str("digest")?.str("SHA384")?;
            w.str("timestamp")?.u64(self.timestamp_ms)?;
            w.str("pcrs")?.map(self.pcrs.len() as u64)?;
            for (index, value) in &self.pcrs {
                w.u8(*index)?.bytes(value)?;
            }
            w.str("certificate")?.bytes(self.certificate)?;
            w.str("cabundle")?.array(self.cabundle.len() as u64)?;
            for certificate in &self.cabundle {
                w.bytes(certificate)?;
            }
            for (name, value) in [
                ("public_key", self.public_key),
                ("user_data", self.user_data),
                ("nonce", self.nonce),
            ] {
                w.str(name)?;
                match value {
                    Some(bytes) => w.bytes(bytes)?,
                    None => w.null()?,
                };
            }
            w.end()?.ok()
        })
    }

    /// The document as the device returns it: encoded and signed.
    #[must_use]
    pub fn sign(&self, key: &Key) -> Vec<u8> {
        sign_payload(self.encode(), key)
    }
}

/// Wraps any payload in the envelope that the device uses, signed with ES384.
#[expect(
    clippy::expect_used,
    reason = "these header, payload and signature are plain values that always encode"
)]
#[must_use]
pub fn sign_payload(payload: Vec<u8>, key: &Key) -> Vec<u8> {
    CoseSign1Builder::new()
        .protected(HeaderBuilder::new().algorithm(Algorithm::ES384).build())
        .payload(payload)
        .create_signature(&[], |message| key.sign_fixed(message).to_vec())
        .build()
        .to_vec()
        .expect("an envelope of plain values encodes")
}
