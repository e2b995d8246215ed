//! The conformance protocol: one JSON object a line on standard input, one answer a line on standard output.

use std::any::Any;
use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// Answers every request on standard input. A check that panics has refused: its answer says so in `detail`, with
/// [`PANICKED`] before the panic's own words.
///
/// # Errors
///
/// [`io::Error`] where the streams fail or a line is not a request.
pub fn serve(mut check: impl FnMut(&Request) -> Verdict) -> io::Result<()> {
    panic::set_hook(Box::new(|_| {}));
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let verdict = panic::catch_unwind(AssertUnwindSafe(|| check(&request)))
            .unwrap_or_else(|panic| Verdict::refused(format!("{PANICKED}{}", words(&*panic))));
        let answer = Answer {
            id: request.id,
            verdict,
        };
        serde_json::to_writer(&mut output, &answer)?;
        writeln!(output)?;
        output.flush()?;
    }
    Ok(())
}

/// How the detail of a refusal begins that was a panic.
pub const PANICKED: &str = "panicked: ";

/// What a verifier is asked.
#[derive(Debug, Deserialize)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u64,
    /// The document's bytes.
    #[serde(deserialize_with = "from_base64")]
    pub document: Vec<u8>,
    /// The DER of the root to trust.
    #[serde(deserialize_with = "from_base64")]
    pub root: Vec<u8>,
    /// The time of verification, in milliseconds after the Unix epoch.
    pub time_ms: u64,
    /// The policy as JSON, to the byte.
    pub policy: Box<RawValue>,
    /// The nonce that the document must hold; none where nothing is asked about it.
    #[serde(default, deserialize_with = "from_optional_base64")]
    pub nonce: Option<Vec<u8>>,
}

impl Request {
    /// The time of verification in whole seconds after the Unix epoch.
    pub fn seconds(&self) -> u64 {
        self.time_ms / 1000
    }
}

/// What a verifier answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    /// That of the request.
    pub id: u64,
    /// Its judgement.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A judgement, in the words that the verifier has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Verdict {
    /// A result code, and the rule that decided.
    Code {
        /// 0 is trusted.
        code: u8,
        /// The rule's name.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// In words.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Yes or no, of a verifier that has no codes.
    Verdict {
        /// Whether the document is accepted.
        accepted: bool,
        /// In words.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// The library accepts the document and has no function for a part of the question.
    Unsupported {
        /// That part.
        unsupported: String,
    },
}

impl Verdict {
    /// An acceptance without a code.
    pub fn accepted() -> Self {
        Self::Verdict {
            accepted: true,
            detail: None,
        }
    }

    /// A refusal without a code.
    pub fn refused(detail: impl ToString) -> Self {
        Self::Verdict {
            accepted: false,
            detail: Some(detail.to_string()),
        }
    }

    /// No answer: the library cannot be asked this.
    pub fn unsupported(part: &str) -> Self {
        Self::Unsupported {
            unsupported: part.to_owned(),
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(without words)")
}

/// Reads padded standard base64.
///
/// # Errors
///
/// The deserializer's, where it is none.
pub fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD
        .decode(text)
        .map_err(serde::de::Error::custom)
}

fn from_optional_base64<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| BASE64_STANDARD.decode(text))
        .transpose()
        .map_err(serde::de::Error::custom)
}
