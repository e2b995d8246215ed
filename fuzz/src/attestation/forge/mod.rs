//! Documents made to order by a fuzzer's bytes.
//!
//! A valid document, the question that is asked about it (time, root, policy, nonce) and the PKI behind it are a
//! [`Forgery`]: a model in which every part can be replaced ([`mutate`]). Everything is signed after it was changed
//! ([`encode`]), so that a fuzzer gets past the signatures and reaches the rules behind them. Because the model knows
//! what it is, it also knows which rules of DESIGN §4 it breaks ([`broken`]): that list is written here a second time,
//! naively and without the verifier's code.

pub mod broken;
pub mod certificate;
pub mod certificate_forms;
pub mod ecdsa;
pub mod encode;
mod encode_certificate;
pub mod envelope;
pub mod mutate;
pub mod payload;
pub mod question;

use certificate::Certificate;
use envelope::Envelope;
use payload::Payload;
use question::Question;

/// When an unchanged document was made and is looked at: 2025-06-15T15:06:40Z.
pub const NOW_MS: u64 = 1_750_000_000_000;

/// A document to be made, and what is asked about it.
#[derive(Clone)]
pub struct Forgery {
    pub question: Question,
    /// The root first, the leaf last.
    pub chain: Vec<Certificate>,
    pub payload: Payload,
    pub envelope: Envelope,
    /// Changes of bytes, of which the model knows nothing.
    pub edits: Vec<Edit>,
}

impl Forgery {
    /// A document with nothing wrong, about which the right question is asked.
    pub fn valid() -> Self {
        Self {
            question: Question::right(),
            chain: vec![
                Certificate::root(),
                Certificate::intermediate(),
                Certificate::leaf(),
            ],
            payload: Payload::valid(),
            envelope: Envelope::valid(),
            edits: Vec::new(),
        }
    }
}

/// Bytes for one part, and the rules of which one is broken by them; none where they are as good as any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub bytes: &'static [u8],
    pub breaks: &'static [&'static str],
}

/// The forms of one part; the first is the usual one.
pub type Forms = &'static [Form];

/// Bytes that may stand there.
pub const fn good(bytes: &'static [u8]) -> Form {
    Form { bytes, breaks: &[] }
}

/// Bytes that may not.
pub const fn bad(bytes: &'static [u8], breaks: &'static [&'static str]) -> Form {
    Form { bytes, breaks }
}

/// A change of bytes.
#[derive(Clone, Copy)]
pub struct Edit {
    pub part: Part,
    pub at: u16,
    /// What is done there.
    pub what: u8,
    pub with: u8,
}

/// Where bytes can be changed. What contains the part is signed afterwards, except for the last two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What is signed in the certificate that is so far from the leaf.
    ToBeSigned(u8),
    /// A finished certificate.
    Certificate(u8),
    Payload,
    Document,
}

impl Edit {
    /// Changes the bytes if they are the part that is meant.
    fn apply(&self, part: Part, bytes: &mut Vec<u8>) {
        if part != self.part || bytes.is_empty() {
            return;
        }
        let at = usize::from(self.at) % bytes.len();
        match self.what % 6 {
            0 => bytes[at] ^= 1 << (self.with % 8),
            1 => bytes[at] = self.with,
            2 => bytes[at] = bytes[at].wrapping_add(self.with),
            3 => bytes.insert(at, self.with),
            4 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
    }
}
