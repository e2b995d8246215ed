//! The lines of the protocol: JSON in UTF-8, one object a line.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Longest request line, bytes: a policy and a document that are both far too long still fit.
pub(super) const MAX_REQUEST: usize = 1 << 20;
/// Longest answer line, bytes.
pub(super) const MAX_ANSWER: usize = 64 << 10;

/// One question to a verifier.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// Comes back in the answer.
    pub(super) id: u64,
    /// The attestation document: base64 with padding (RFC 4648 §4).
    pub(super) document: String,
    /// The only trusted root: its DER in base64.
    pub(super) root: String,
    /// The time at which to judge, milliseconds since the Unix epoch.
    pub(super) time_ms: u64,
    /// The policy, as it is written; it may be wrong on purpose.
    pub(super) policy: Box<RawValue>,
    /// The nonce that the document must carry, base64; null where nothing is asked of it. Never left out, so that
    /// nobody forgets it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) nonce: Option<String>,
}

/// One answer as it is written. Exactly one of `code`, `accepted`, `unsupported` and `error` is there. Unknown members
/// are passed over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The request's; null only where the request could not be read.
    pub(super) id: Option<u64>,
    /// A result code: 0 trusted, 2 usage, 10 malformed, 11 chain, 12 signature, 13 time, 14 measurements, 15 binding.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) code: Option<i64>,
    /// From a verifier without codes: whether it accepts.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) accepted: Option<bool>,
    /// The part of the request that the verifier has no means to take.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) unsupported: Option<String>,
    /// Why there is no verdict.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) error: Option<String>,
    /// The rule that was broken, by the corpus' names; `trusted` with code 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rule: Option<String>,
    /// Words for a reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

/// A member that may be left out, but is not null: `"accepted": null` is not a verdict.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    member: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}

/// Reads a line that holds one object. serde would also take an array, its elements by position.
pub(super) fn from_object<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, String> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err("expected an object".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// A result code, 0 for trusted.
    Code(i64),
    /// Accepted or not, without a reason.
    Accepted(bool),
    /// The verifier cannot be asked this.
    Unsupported(String),
    /// The verifier broke down over it.
    Error(String),
}

impl Answer {
    /// The verdict; `None` where the answer has none, or more than one.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let verdicts = [
            self.code.map(Verdict::Code),
            self.accepted.map(Verdict::Accepted),
            self.unsupported.clone().map(Verdict::Unsupported),
            self.error.clone().map(Verdict::Error),
        ];
        let mut verdicts = verdicts.into_iter().flatten();
        match (verdicts.next(), verdicts.next()) {
            (Some(verdict), None) => Some(verdict),
            _ => None,
        }
    }
}
