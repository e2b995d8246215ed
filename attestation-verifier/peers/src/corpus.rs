//! The corpus of documents with the answer that each must get.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Where the corpus stands, seen from this crate.
pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/corpus.jsonl");

/// One question with its right answer.
#[derive(Debug, Deserialize)]
pub struct Case {
    /// Unique, kebab-case.
    pub name: String,
    /// What is wrong, in a sentence.
    pub about: String,
    /// Which part of a verifier it is for.
    pub scope: Scope,
    /// Base64.
    pub document: String,
    /// Base64 of the DER.
    pub root: String,
    /// Milliseconds after the Unix epoch.
    pub time_ms: u64,
    /// JSON, to the byte.
    pub policy: Box<RawValue>,
    /// Base64.
    pub nonce: Option<String>,
    /// The right answer.
    pub expect: Expectation,
}

/// The part of a verifier that a case is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The document, its chain and its signature.
    Document,
    /// Age and measurements.
    Policy,
    /// What the document is bound to.
    Binding,
    /// What the caller gives: the root and the policy.
    Usage,
}

/// The right answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Expectation {
    /// A result code; 0 is trusted.
    pub code: u8,
    /// The rule that decides.
    pub rule: String,
}

impl Case {
    /// Whether the document is to be accepted.
    pub fn is_valid(&self) -> bool {
        self.expect.code == 0
    }

    /// The case as a request of the conformance protocol, without the line's end.
    ///
    /// # Errors
    ///
    /// [`serde_json::Error`], which texts and numbers do not cause.
    pub fn request(&self, id: u64) -> serde_json::Result<String> {
        serde_json::to_string(&Question {
            id,
            document: &self.document,
            root: &self.root,
            time_ms: self.time_ms,
            policy: &self.policy,
            nonce: self.nonce.as_deref(),
        })
    }
}

#[derive(Serialize)]
struct Question<'a> {
    id: u64,
    document: &'a str,
    root: &'a str,
    time_ms: u64,
    policy: &'a RawValue,
    nonce: Option<&'a str>,
}

/// Reads a corpus.
///
/// # Errors
///
/// [`io::Error`] where the file cannot be read or a line is not a case.
pub fn read(path: &Path) -> io::Result<Vec<Case>> {
    fs::read_to_string(path)?
        .lines()
        .map(|line| serde_json::from_str(line).map_err(io::Error::from))
        .collect()
}
