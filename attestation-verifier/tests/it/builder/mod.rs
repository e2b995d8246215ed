//! Documents made to order: a valid one of AWS's shape, in which a test then breaks one thing.
//!
//! Everything is signed after it was changed, so that a refusal is the changed thing's own. Keys come from fixed seeds
//! and signatures are deterministic (RFC 6979): the same order gives the same bytes.

pub(crate) mod cbor;
pub(crate) mod certificate;
pub(crate) mod der;

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, Roots, UnixMillis, VerificationTime, VerifiedEvidence, VerifyError,
    verify,
};
use p384::ecdsa::signature::Signer;
use p384::ecdsa::{Signature, SigningKey};
use sha2::{Digest, Sha384};

use certificate::CertificateOrder;

/// The time at which the ordered documents are made and verified: 2025-06-15T15:06:40Z.
pub(crate) const NOW_MS: u64 = 1_750_000_000_000;

/// A document to be made.
#[derive(Clone)]
pub(crate) struct DocumentOrder {
    /// The root first.
    pub(crate) bundle: Vec<CertificateOrder>,
    pub(crate) leaf: CertificateOrder,
    /// Bytes after the leaf certificate.
    pub(crate) after_leaf: Vec<u8>,
    /// Keys and values of the payload, encoded. `certificate` and `cabundle` are filled in when the document is made.
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether the payload's map has no length.
    pub(crate) indefinite: bool,
    pub(crate) after_payload: Vec<u8>,
}

impl DocumentOrder {
    /// A valid document with two CA certificates, which is enough for every rule.
    pub(crate) fn valid() -> Self {
        let entries = [
            (
                "module_id",
                cbor::text("i-0123456789abcdef0-enc0123456789abcdef"),
            ),
            ("digest", cbor::text("SHA384")),
            ("timestamp", cbor::uint(NOW_MS)),
            (
                "pcrs",
                cbor::pcrs((0..16).map(|index| (index, pcr_value(index)))),
            ),
            ("certificate", Vec::new()),
            ("cabundle", Vec::new()),
            ("public_key", cbor::bytes(b"public key")),
            ("user_data", cbor::bytes(b"")),
            ("nonce", cbor::NULL.to_vec()),
        ];
        Self {
            bundle: vec![CertificateOrder::root(), CertificateOrder::intermediate()],
            leaf: CertificateOrder::leaf(),
            after_leaf: Vec::new(),
            entries: entries.map(|(key, value)| (cbor::text(key), value)).into(),
            indefinite: true,
            after_payload: Vec::new(),
        }
    }

    /// A valid document whose leaf the root signs: less to verify where a test verifies often.
    pub(crate) fn short() -> Self {
        let mut order = Self::valid();
        order.bundle.truncate(1);
        order.leaf.issuer = order.bundle[0].subject.clone();
        order
    }

    /// Replaces the value of a key that the payload has.
    pub(crate) fn set(&mut self, key: &str, value: Vec<u8>) {
        let key = cbor::text(key);
        self.entries
            .iter_mut()
            .find(|entry| entry.0 == key)
            .unwrap()
            .1 = value;
    }

    /// Takes a key out of the payload.
    pub(crate) fn remove(&mut self, key: &str) {
        let key = cbor::text(key);
        self.entries.retain(|entry| entry.0 != key);
    }

    /// Adds a key to the payload.
    pub(crate) fn add(&mut self, key: &str, value: Vec<u8>) {
        self.entries.push((cbor::text(key), value));
    }

    /// Replaces PCRs; the others stay as they are.
    pub(crate) fn set_pcrs(&mut self, changed: &[(u8, [u8; 48])]) {
        let value = |index| changed.iter().find(|pcr| pcr.0 == index).map(|pcr| pcr.1);
        let pcrs = (0..32).filter_map(|index| {
            let value = value(index).or((index < 16).then(|| pcr_value(index)))?;
            Some((index, value))
        });
        self.set("pcrs", cbor::pcrs(pcrs.collect::<Vec<_>>()));
    }

    /// The certificates as DER, the root first and the leaf last.
    pub(crate) fn certificates(&self) -> Vec<Vec<u8>> {
        let orders: Vec<_> = self.bundle.iter().chain([&self.leaf]).collect();
        let issuers = [0].into_iter().chain(0..);
        orders
            .iter()
            .zip(issuers)
            .map(|(order, issuer)| order.make(&signing_key(orders[issuer].key_seed)))
            .collect()
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut bundle = self.certificates();
        let mut leaf = bundle.pop().unwrap();
        leaf.extend_from_slice(&self.after_leaf);
        let mut payload = match self.indefinite {
            true => vec![0xbf],
            false => cbor::head(5, self.entries.len() as u64),
        };
        for (key, value) in &self.entries {
            payload.extend_from_slice(key);
            match () {
                () if !value.is_empty() => payload.extend_from_slice(value),
                () if *key == cbor::text("certificate") => payload.extend(cbor::bytes(&leaf)),
                () => payload.extend(cbor::array(bundle.iter().map(|der| cbor::bytes(der)))),
            }
        }
        if self.indefinite {
            payload.push(0xff);
        }
        payload.extend_from_slice(&self.after_payload);
        payload
    }

    /// The document, signed by the leaf's key.
    pub(crate) fn make(&self) -> Vec<u8> {
        let payload = self.payload();
        let signature = self.sign(&payload);
        Envelope::new(payload, signature.to_bytes().to_vec()).make()
    }

    /// The leaf key's signature over a payload.
    pub(crate) fn sign(&self, payload: &[u8]) -> Signature {
        signing_key(self.leaf.key_seed).sign(&signed_bytes(payload))
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::development(self.certificates().remove(0)).unwrap()
    }

    pub(crate) fn verify(&self) -> Result<VerifiedEvidence, VerifyError> {
        self.verify_at(NOW_MS)
    }

    pub(crate) fn verify_at(&self, at_ms: u64) -> Result<VerifiedEvidence, VerifyError> {
        verify(
            &self.make(),
            &self.roots(),
            VerificationTime::Live(UnixMillis(at_ms)),
        )
    }
}

/// The four elements of an envelope, encoded, and what stands around them.
#[derive(Clone)]
pub(crate) struct Envelope {
    /// A tag and the array's head.
    pub(crate) head: Vec<u8>,
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Vec<u8>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

impl Envelope {
    pub(crate) fn new(payload: Vec<u8>, signature: Vec<u8>) -> Self {
        Self {
            head: vec![0x84],
            protected: cbor::bytes(&PROTECTED),
            unprotected: vec![0xa0],
            payload: cbor::bytes(&payload),
            signature: cbor::bytes(&signature),
            after: Vec::new(),
        }
    }

    pub(crate) fn make(&self) -> Vec<u8> {
        [
            &self.head,
            &self.protected,
            &self.unprotected,
            &self.payload,
            &self.signature,
            &self.after,
        ]
        .map(Vec::as_slice)
        .concat()
    }
}

/// `{1: -35}`.
pub(crate) const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x38, 0x22];

/// The Sig_structure of RFC 9052 §4.4, written out by hand.
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let parts = [
        cbor::text("Signature1"),
        cbor::bytes(&PROTECTED),
        cbor::bytes(b""),
        cbor::bytes(payload),
    ];
    cbor::array(parts)
}

/// A key that depends on nothing but its seed.
pub(crate) fn signing_key(seed: u8) -> SigningKey {
    let mut scalar = Sha384::digest([b"nacre test key", &[seed][..]].concat());
    // Below the curve's order, which begins with 0xff.
    scalar[0] &= 0x7f;
    SigningKey::from_slice(&scalar).unwrap()
}

/// The value that a PCR of an ordered document has.
pub(crate) fn pcr_value(index: u8) -> [u8; 48] {
    [index + 1; 48]
}

/// The measurements of an ordered document that was not changed.
pub(crate) fn own_measurements() -> Measurements {
    let pcr = |index| Pcr(pcr_value(index));
    Measurements::new(pcr(0), pcr(1), pcr(2))
}

pub(crate) fn own_policy() -> Policy {
    Policy::new(vec![own_measurements()]).unwrap()
}
