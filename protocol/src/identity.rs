//! The identity statement (DESIGN §3.1): which keys belong to one boot of an enclave.
//!
//! Deterministic CBOR (RFC 8949 §4.2) with integer keys. The reader takes exactly the bytes that the writer makes, so
//! that one statement has one hash.

use minicbor::{Decoder, Encoder};
use sha2::{Digest as _, Sha256};

use crate::ids::BootId;

/// Prefix of the hash in `user_data`.
const DOMAIN: &[u8] = b"nacre/identity/v1\x00";

/// Longest encoded statement that is looked at.
pub const MAX_STATEMENT: usize = 256;

/// The public halves of the keys an enclave made at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityStatement {
    /// SHA-256 of the TLS key's SubjectPublicKeyInfo in DER.
    pub tls_spki_sha256: [u8; 32],
    /// Receipt key: secp256k1 public key, uncompressed X‖Y.
    pub receipt_key: [u8; 64],
    /// X25519 public key for HPKE (RFC 9180).
    pub hpke_key: [u8; 32],
    /// Random, drawn at boot.
    pub boot_id: BootId,
}

/// Bytes that are not an identity statement in its one encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// Not the map of the five fields.
    #[error("not an identity statement: {0}")]
    Malformed(&'static str),
    /// A version that this reader does not know.
    #[error("identity statement version {0} is unknown")]
    Version(u64),
    /// Decodes, but is not the deterministic encoding.
    #[error("the identity statement is not deterministic CBOR")]
    NotDeterministic,
}

impl IdentityStatement {
    /// The deterministic encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let mut encoder = Encoder::new(&mut out);
        let written = encoder.map(5).and_then(|e| {
            e.u8(1)?.u8(1)?;
            e.u8(2)?.bytes(&self.tls_spki_sha256)?;
            e.u8(3)?.bytes(&self.receipt_key)?;
            e.u8(4)?.bytes(&self.hpke_key)?;
            e.u8(5)?.bytes(self.boot_id.as_bytes())?;
            Ok(())
        });
        match written {
            Ok(()) => out,
            Err(e) => match e.into_write() {
                Some(never) => match never {},
                None => unreachable!("no custom encoder is called"),
            },
        }
    }

    /// Reads a statement; any byte out of place is an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > MAX_STATEMENT {
            return Err(StatementError::Malformed("longer than 256 bytes"));
        }
        let statement = Self::decode_fields(bytes)?;
        if statement.encode() == bytes {
            Ok(statement)
        } else {
            Err(StatementError::NotDeterministic)
        }
    }

    /// What an attestation document's `user_data` holds for this statement.
    pub fn user_data(&self) -> [u8; 32] {
        Self::user_data_of(&self.encode())
    }

    /// The same for a statement that is still bytes.
    pub fn user_data_of(statement: &[u8]) -> [u8; 32] {
        Sha256::new_with_prefix(DOMAIN)
            .chain_update(statement)
            .finalize()
            .into()
    }

    fn decode_fields(bytes: &[u8]) -> Result<Self, StatementError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.map().map_err(|_| MALFORMED)? != Some(5) {
            return Err(StatementError::Malformed("not a map of five"));
        }
        expect_key(&mut decoder, 1)?;
        let version = decoder.u64().map_err(|_| MALFORMED)?;
        if version != 1 {
            return Err(StatementError::Version(version));
        }
        Ok(Self {
            tls_spki_sha256: field(&mut decoder, 2)?,
            receipt_key: field(&mut decoder, 3)?,
            hpke_key: field(&mut decoder, 4)?,
            boot_id: BootId::from_random(field(&mut decoder, 5)?),
        })
    }
}

const MALFORMED: StatementError = StatementError::Malformed("not the CBOR of five fields");

fn expect_key(decoder: &mut Decoder<'_>, key: u64) -> Result<(), StatementError> {
    match decoder.u64() {
        Ok(got) if got == key => Ok(()),
        _ => Err(StatementError::Malformed("keys are not 1 to 5 in order")),
    }
}

fn field<const N: usize>(decoder: &mut Decoder<'_>, key: u64) -> Result<[u8; N], StatementError> {
    expect_key(decoder, key)?;
    let bytes = decoder.bytes().map_err(|_| MALFORMED)?;
    bytes
        .try_into()
        .map_err(|_| StatementError::Malformed("a field has the wrong length"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement() -> IdentityStatement {
        IdentityStatement {
            tls_spki_sha256: [1; 32],
            receipt_key: [2; 64],
            hpke_key: [3; 32],
            boot_id: BootId::from_random([4; 16]),
        }
    }

    #[test]
    fn encodes_as_the_design_says() {
        let expected = [
            hex::encode([0xa5, 0x01, 0x01, 0x02, 0x58, 0x20]),
            "01".repeat(32),
            hex::encode([0x03, 0x58, 0x40]),
            "02".repeat(64),
            hex::encode([0x04, 0x58, 0x20]),
            "03".repeat(32),
            hex::encode([0x05, 0x50]),
            "04".repeat(16),
        ]
        .concat();
        assert_eq!(hex::encode(statement().encode()), expected);
        assert_eq!(
            IdentityStatement::decode(&statement().encode()),
            Ok(statement())
        );
    }

    #[test]
    fn one_statement_has_one_encoding() {
        let good = statement().encode();
        // 1 as a two-byte integer.
        let mut long = good.clone();
        long.splice(2..3, [0x18, 0x01]);
        assert_eq!(
            IdentityStatement::decode(&long),
            Err(StatementError::NotDeterministic)
        );
        let mut trailing = good.clone();
        trailing.push(0);
        assert_eq!(
            IdentityStatement::decode(&trailing),
            Err(StatementError::NotDeterministic)
        );
        let mut version = good;
        version[2] = 2;
        assert_eq!(
            IdentityStatement::decode(&version),
            Err(StatementError::Version(2))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(statement) = IdentityStatement::decode(&bytes) {
                prop_assert_eq!(statement.encode(), bytes);
            }
        }

        #[test]
        fn every_flipped_bit_changes_it(at in 0usize..150, bit in 0u8..8) {
            let mut bytes = statement().encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_ne!(IdentityStatement::decode(&bytes), Ok(statement()));
        }
    }
}
