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

#[cfg(test)]
mod tests {
    use minicbor::data::Token;
    use minicbor::decode::Tokenizer;

    use crate::testing::{DevNsm, Wanted};

    const NOW: u64 = 1_790_000_000_000;

    fn tokens(bytes: &[u8]) -> Vec<Token<'_>> {
        Tokenizer::new(bytes).collect::<Result<_, _>>().unwrap()
    }

    /// The description of AWS's documents since August 2025, token by token; `len` stands for a
    /// byte string by its length, where the content is not fixed.
    #[test]
    fn the_payload_has_awss_shape() {
        let mut module = DevNsm::new([[1; 48], [2; 48], [3; 48]], NOW);
        let document = module.attest(
            Wanted {
                user_data: Some(b"data"),
                nonce: None,
                public_key: Some(b"key"),
            },
            NOW,
        );
        let envelope = tokens(&document);
        let [
            Token::Array(4),
            Token::Bytes(protected),
            Token::Map(0),
            Token::Bytes(payload),
            Token::Bytes(signature),
        ] = envelope[..]
        else {
            panic!("not an untagged COSE_Sign1: {envelope:?}");
        };
        assert_eq!(protected, b"\xa1\x01\x38\x22");
        assert_eq!(signature.len(), 96);

        let found = tokens(payload);
        let mut found = found.iter();
        let mut expect = |expected: &[Token<'_>]| {
            for token in expected {
                assert_eq!(found.next(), Some(token));
            }
        };
        let module_id = module.module().module_id();
        expect(&[
            Token::BeginMap,
            Token::String("module_id"),
            Token::String(&module_id),
        ]);
        expect(&[Token::String("digest"), Token::String("SHA384")]);
        // A time in milliseconds needs all eight bytes, and the tokenizer says how it was written.
        expect(&[
            Token::String("timestamp"),
            Token::U64(NOW),
            Token::String("pcrs"),
            Token::Map(16),
        ]);
        let pcr4 =
            crate::nsm::extended(&[0; 48], module_id.split("-enc").next().unwrap().as_bytes());
        for index in 0..16 {
            let value = match index {
                0..=2 => [index + 1; 48],
                4 => pcr4,
                _ => [0; 48],
            };
            expect(&[Token::U8(index), Token::Bytes(&value)]);
        }
        let chain = module.module().chain();
        expect(&[Token::String("certificate"), Token::Bytes(chain.leaf())]);
        expect(&[Token::String("cabundle"), Token::Array(4)]);
        for certificate in chain.cabundle() {
            expect(&[Token::Bytes(certificate)]);
        }
        expect(&[Token::String("public_key"), Token::Bytes(b"key")]);
        expect(&[Token::String("user_data"), Token::Bytes(b"data")]);
        expect(&[Token::String("nonce"), Token::Null, Token::Break]);
        assert_eq!(found.next(), None);
        // Nothing is written longer than need be: a reader of AWS's bytes sees the same heads.
        assert_eq!(payload[0], 0xbf);
        assert_eq!(&document[..6], b"\x84\x44\xa1\x01\x38\x22");
    }

    #[test]
    fn locked_registers_join_the_document() {
        let mut module = DevNsm::new([[1; 48]; 3], NOW);
        let value = module.extend(16, b"function");
        module.extend(17, b"open");
        module.lock(16);
        let document = module.attest(Wanted::default(), NOW);
        let envelope = tokens(&document);
        let Token::Bytes(payload) = envelope[3] else {
            panic!()
        };
        let payload = tokens(payload);
        let pcrs = payload
            .iter()
            .position(|token| *token == Token::String("pcrs"))
            .unwrap();
        assert_eq!(payload[pcrs + 1], Token::Map(17));
        assert_eq!(
            payload[pcrs + 2 + 32..pcrs + 2 + 34],
            [Token::U8(16), Token::Bytes(&value)]
        );
    }

    #[test]
    fn both_halves_of_the_s_range_occur() {
        let mut module = DevNsm::new([[1; 48]; 3], NOW);
        let high = (0..32u8)
            .filter(|nonce| {
                let document = module.attest(
                    Wanted {
                        nonce: Some(&[*nonce]),
                        ..Wanted::default()
                    },
                    NOW,
                );
                document[document.len() - 48] >= 0x80
            })
            .count();
        assert!((1..32).contains(&high), "{high} of 32");
    }
}
