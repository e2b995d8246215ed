//! The corpus: questions with the answers that the rules demand.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::commands::conformance::protocol::Request;
use crate::error::CliError;

/// The corpus of this repository.
pub(super) const EMBEDDED: &[u8] =
    include_bytes!("../../../../attestation-verifier/corpus/corpus.jsonl");

/// One case: a line of the corpus.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Its name, in kebab-case.
    pub(super) name: String,
    /// What is wrong, in one sentence.
    pub(super) about: String,
    pub(super) scope: Scope,
    document: String,
    root: String,
    time_ms: u64,
    policy: Box<RawValue>,
    #[serde(deserialize_with = "Option::deserialize")]
    nonce: Option<String>,
    pub(super) expect: Expected,
}

/// What a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scope {
    /// The document, its certificates and its signature.
    Document,
    /// What the relying party's policy says of the document.
    Policy,
    /// The nonce.
    Binding,
    /// The question itself.
    Usage,
}

impl Scope {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Policy => "policy",
            Self::Binding => "binding",
            Self::Usage => "usage",
        }
    }
}

/// The answer that the rules demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    /// Result code.
    pub(super) code: u8,
    /// The rule that is broken; `trusted` where none is.
    pub(super) rule: String,
}

impl Case {
    /// The question without its answer.
    pub(super) fn request(&self, id: u64) -> Request {
        Request {
            id,
            document: self.document.clone(),
            root: self.root.clone(),
            time_ms: self.time_ms,
            policy: self.policy.clone(),
            nonce: self.nonce.clone(),
        }
    }
}

/// Reads a corpus: one case a line, each with its own name.
pub(super) fn read(text: &[u8]) -> Result<Vec<Case>, CliError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| CliError::Usage("the corpus is not UTF-8".to_owned()))?;
    let mut names = BTreeSet::new();
    let mut cases = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: String| CliError::Usage(format!("corpus, line {}: {what}", number + 1));
        let case: Case = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        if !names.insert(case.name.clone()) {
            return Err(wrong(format!("a second case {:?}", case.name)));
        }
        cases.push(case);
    }
    Ok(cases)
}
