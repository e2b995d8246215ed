//! From the model to bytes, signatures included.

use super::certificate::KeyChoice;
use super::ecdsa::{self, key};
use super::encode_certificate::{signature_value, to_be_signed, unsigned};
use super::envelope::{self, PayloadForm};
use super::payload::{MapHead, Value};
use super::{Forgery, Part};
use crate::builder::{cbor, der};

/// What was made of a forgery.
pub struct Encoded {
    pub document: Vec<u8>,
    /// The root first, the leaf last.
    pub certificates: Vec<Vec<u8>>,
}

impl Forgery {
    pub fn encode(&self) -> Encoded {
        let certificates = self.certificates();
        let mut payload = self.payload(&certificates);
        self.edit(Part::Payload, &mut payload);
        let mut document = self.envelope(&payload);
        self.edit(Part::Document, &mut document);
        Encoded {
            document,
            certificates,
        }
    }

    /// The key that a certificate is for. The leaf's child is the document, which contains it; so its key cannot depend
    /// on what it signs.
    pub fn key_of(&self, position: usize) -> KeyChoice {
        let choice = self.chain[position].key;
        let child = self.chain.get(position + 1);
        match child {
            Some(child) if child.signer.is_none() => choice,
            _ => KeyChoice::Number(number(choice)),
        }
    }

    fn edit(&self, part: Part, bytes: &mut Vec<u8>) {
        for edit in &self.edits {
            edit.apply(part, bytes);
        }
    }

    /// From the leaf up, because a key may depend on what it signs.
    fn certificates(&self) -> Vec<Vec<u8>> {
        let mut made = Vec::new();
        let mut own = key(number(
            self.chain
                .last()
                .map_or(KeyChoice::Number(0), |leaf| leaf.key),
        ))
        .clone();
        for (position, certificate) in self.chain.iter().enumerate().rev() {
            let from_leaf = (self.chain.len() - 1 - position) as u8;
            let parent = position.saturating_sub(1);
            let issuer = certificate.issuer.unwrap_or(self.chain[parent].subject);
            let mut tbs = to_be_signed(certificate, issuer, &own.point);
            self.edit(Part::ToBeSigned(from_leaf), &mut tbs);
            let (parents_key, signature) = match self.key_of(parent) {
                _ if position == 0 => (own.clone(), own.sign(&tbs)),
                KeyChoice::Number(parent) => (key(parent).clone(), key(parent).sign(&tbs)),
                KeyChoice::Doubling => ecdsa::doubling(&tbs),
                KeyChoice::Cancelling => ecdsa::cancelling(&tbs),
            };
            let signature = certificate
                .signer
                .map_or(signature, |other| key(other).sign(&tbs));
            let mut whole = [
                der::sequence(&[
                    &tbs,
                    certificate.outer_algorithm.bytes,
                    &signature_value(certificate.signature, signature),
                    certificate.after_signature.bytes,
                ]),
                certificate.after.bytes.to_vec(),
            ]
            .concat();
            self.edit(Part::Certificate(from_leaf), &mut whole);
            made.push(whole);
            own = parents_key;
        }
        made.reverse();
        made
    }

    fn payload(&self, certificates: &[Vec<u8>]) -> Vec<u8> {
        let entries = self.payload.entries.len() as u64;
        let mut bytes = match self.payload.head {
            MapHead::Indefinite => vec![0xbf],
            MapHead::Definite => cbor::head(5, entries),
            MapHead::TooMany(more) => cbor::head(5, entries + u64::from(more)),
            MapHead::TooFew => cbor::head(5, entries.saturating_sub(1)),
            MapHead::Long => vec![0xb9, 0, entries as u8],
            MapHead::Odd(form) => form.bytes.to_vec(),
        };
        for entry in &self.payload.entries {
            bytes.extend(cbor::text(&entry.key));
            bytes.extend(value(&entry.value, certificates));
        }
        if self.payload.head == MapHead::Indefinite {
            bytes.push(0xff);
        }
        bytes.extend_from_slice(self.payload.after.bytes);
        bytes
    }

    fn envelope(&self, payload: &[u8]) -> Vec<u8> {
        let leaf = self.key_of(self.chain.len() - 1);
        let signer = key(self.envelope.signer.unwrap_or(number(leaf)));
        let signature =
            document_signature(self.envelope.signature, signer.sign(&signed_bytes(payload)));
        [
            self.envelope.head.bytes,
            self.envelope.protected.bytes,
            self.envelope.unprotected.bytes,
            &payload_element(self.envelope.payload, payload),
            &cbor::bytes(&signature),
            self.envelope.after.bytes,
        ]
        .concat()
    }
}

/// The number of a key that depends on nothing else.
pub fn number(choice: KeyChoice) -> u8 {
    match choice {
        KeyChoice::Number(number) => number,
        KeyChoice::Doubling | KeyChoice::Cancelling => 6,
    }
}

/// The Sig_structure of RFC 9052 §4.4.
pub fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let parts = [
        cbor::text("Signature1"),
        cbor::bytes(b"\xa1\x01\x38\x22"),
        cbor::bytes(b""),
        cbor::bytes(payload),
    ];
    cbor::array(parts)
}

fn document_signature(form: envelope::SignatureForm, mut signature: [u8; 96]) -> Vec<u8> {
    use envelope::SignatureForm;
    match form {
        SignatureForm::Good => {}
        SignatureForm::Negated => signature = ecdsa::negated(&signature),
        SignatureForm::Flipped(bit) => signature[usize::from(bit / 8) % 96] ^= 1 << (bit % 8),
        SignatureForm::Length(length) => {
            let mut bytes = signature.to_vec();
            bytes.resize(usize::from(length), 1);
            return bytes;
        }
        SignatureForm::ZeroR => signature[..48].fill(0),
        SignatureForm::ZeroS => signature[48..].fill(0),
        SignatureForm::OrderR => signature[..48].copy_from_slice(&ecdsa::ORDER),
        SignatureForm::OrderS => signature[48..].copy_from_slice(&ecdsa::ORDER),
        SignatureForm::Der => {
            let (r, s) = signature.split_at(48);
            return der::sequence(&[&unsigned(r), &unsigned(s)]);
        }
    }
    signature.to_vec()
}

fn payload_element(form: PayloadForm, payload: &[u8]) -> Vec<u8> {
    match form {
        PayloadForm::Plain => cbor::bytes(payload),
        PayloadForm::Chunked => [&[0x5f], cbor::bytes(payload).as_slice(), &[0xff]].concat(),
        PayloadForm::Text => [&cbor::head(3, payload.len() as u64), payload].concat(),
        PayloadForm::Detached => cbor::NULL.to_vec(),
        PayloadForm::Long => [
            &[0x5a],
            (payload.len() as u32).to_be_bytes().as_slice(),
            payload,
        ]
        .concat(),
    }
}

fn value(value: &Value, certificates: &[Vec<u8>]) -> Vec<u8> {
    match (value, certificates) {
        (Value::Text(text), _) => cbor::text(text),
        (Value::Timestamp(at), _) => cbor::uint(*at),
        (Value::Pcrs(pcrs), _) => cbor::map(
            pcrs.iter()
                .map(|(index, value)| (cbor::uint(*index), cbor::bytes(value))),
        ),
        (Value::Leaf, [.., leaf]) => cbor::bytes(leaf),
        (Value::Bundle, [bundle @ .., _]) => cbor::array(bundle.iter().map(|der| cbor::bytes(der))),
        (Value::Leaf | Value::Bundle, []) => panic!("a chain has a leaf"),
        (Value::OddBundle { count, length }, _) => {
            cbor::array((0..*count).map(|_| cbor::bytes(&vec![0x30; usize::from(*length)])))
        }
        (Value::User(None), _) => cbor::NULL.to_vec(),
        (Value::User(Some(bytes)), _) => cbor::bytes(bytes),
        (Value::Nested(depth), _) => [vec![0x81; usize::from(*depth)], vec![0]].concat(),
        (Value::Many(count), _) => cbor::array((0..*count).map(|_| vec![0])),
        (Value::Odd(form), _) => form.bytes.to_vec(),
    }
}
