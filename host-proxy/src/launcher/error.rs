//! Why there is no enclave.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use nacre_image::eif::EifError;
use nacre_transport::BindError;

use super::{HowEnded, NitroError};

/// Why there is no enclave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No place for its sockets.
    #[error("cannot make a private directory for the enclave's sockets: {0}")]
    RuntimeDir(#[source] io::Error),
    /// The image is broken, or is none.
    #[error("{}: {path} cannot be launched: {source}", .source.code())]
    Image {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        source: EifError,
    },
    /// The host cannot listen where the enclave will connect to it.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The Nitro driver, or what this instance has for it.
    #[error(transparent)]
    Nitro(#[from] NitroError),
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended before it was ready.
    #[error("the {name} ended before it was ready ({status}){}", last_words(.last_line))]
    Exited {
        /// Which.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The last line of its standard error.
        last_line: String,
    },
    /// A program said something else than `ready`.
    #[error("the {name} printed {line:?} where its first line must be `ready`")]
    FirstLine {
        /// Which.
        name: &'static str,
        /// What it said.
        line: String,
    },
    /// A program took too long.
    #[error("the {name} was not ready within {}s{}", .limit.as_secs(), last_words(.last_line))]
    Deadline {
        /// Which.
        name: &'static str,
        /// The limit.
        limit: Duration,
        /// The last line of its standard error.
        last_line: String,
    },
    /// It ran and never answered on its control channel.
    #[error("the enclave ran, but did not answer on its control channel within {}s", .0.as_secs())]
    NeverAnswered(Duration),
    /// It ended before it answered.
    #[error("the enclave never answered: {0}")]
    Ended(HowEnded),
}

impl LaunchError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::RuntimeDir(_) => "runtime-directory",
            Self::Image { source, .. } => source.code(),
            Self::Listen(_) => "cannot-listen",
            Self::Nitro(error) => error.code(),
            Self::Spawn { .. } => "program-not-started",
            Self::Exited { .. } => "program-ended",
            Self::FirstLine { .. } => "program-not-ready",
            Self::Deadline { .. } => "boot-timeout",
            Self::NeverAnswered(_) => "never-answered",
            Self::Ended(_) => "ended-before-answer",
        }
    }

    /// Whether another try must fail in the same way until a person has done something.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Image { .. } => true,
            Self::Nitro(error) => error.is_lasting(),
            _ => false,
        }
    }
}

fn last_words(line: &str) -> String {
    if line.is_empty() {
        String::new()
    } else {
        format!(": {line}")
    }
}
