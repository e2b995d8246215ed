//! Why an exchange ended before every case was answered.

use std::process::ExitStatus;
use std::time::Duration;

use crate::commands::conformance::protocol::MAX_ANSWER;

/// What the program under test did, other than answering.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Ending {
    /// It closed its output.
    #[error("the program stopped answering: {}", how(.0))]
    Exited(Option<ExitStatus>),
    /// It took too long.
    #[error("no answer within {} s (every answer must be flushed)", .0.as_secs())]
    Late(Duration),
    /// A line that is longer than any answer.
    #[error("a line of more than {MAX_ANSWER} bytes")]
    TooLong,
    /// A line that is not an answer.
    #[error("not an answer: {0}")]
    Malformed(String),
    /// An answer to another request than the next one.
    #[error("an answer with id {found} where {expected} was next")]
    OutOfOrder { expected: u64, found: String },
    /// A line after the last answer.
    #[error("a line that nothing asked for, after the last answer")]
    Unasked,
    /// Its output cannot be read.
    #[error("its output cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The user stopped it.
    #[error("stopped before the end")]
    Interrupted,
}

impl Ending {
    /// Stable kebab-case code.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Exited(_) => "program-exited",
            Self::Late(_) => "answer-late",
            Self::TooLong => "answer-too-long",
            Self::Malformed(_) => "answer-malformed",
            Self::OutOfOrder { .. } => "answer-out-of-order",
            Self::Unasked => "answer-unasked",
            Self::Unreadable(_) => "output-unreadable",
            Self::Interrupted => "interrupted",
        }
    }
}

fn how(status: &Option<ExitStatus>) -> String {
    match status {
        Some(status) => status.to_string(),
        None => "it closed its output and runs on".to_owned(),
    }
}
