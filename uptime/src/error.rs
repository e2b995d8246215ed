//! Why a watcher does not watch.

use std::path::Path;

use nacre_attestation_verifier::ResultCode;
use nacre_client::ClientError;
use nacre_protocol::problem::Problem;
use nacre_protocol::uptime::ScheduleError;
use nacre_transport::BindError;

use crate::evidence::EvidenceError;
use crate::watch::ChainFailure;

/// What went wrong in the watcher itself. What goes wrong at a node is an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The words of the command are off, beyond what the parser sees.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file holds something else than it should.
    #[error("{path}: {what}")]
    Content {
        /// Which.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Another watcher works in this folder.
    #[error("another watcher works in {0}: each needs a folder of its own")]
    Locked(String),
    /// The folder's slots and epochs have other lengths.
    #[error("{0} was begun with slots and epochs of other lengths: take another folder")]
    OtherSchedule(String),
    /// The lengths make no schedule.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// An endpoint.
    #[error(transparent)]
    Endpoint(#[from] ClientError),
    /// A kept record shows nothing.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The address for metrics cannot be listened on.
    #[error("metrics: {0}")]
    Metrics(#[from] BindError),
    /// The control plane cannot be reached.
    #[error("cannot reach the control plane at {url}: {reason}")]
    Unreachable {
        /// Its address.
        url: String,
        /// Why.
        reason: String,
    },
    /// The control plane refused.
    #[error("{0}")]
    Platform(Problem),
    /// The contract, or the way to it.
    #[error("the chain: {0}")]
    Chain(#[from] ChainFailure),
    /// The operating system.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

impl WatchError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }

    pub(crate) fn content(path: &Path, what: impl ToString) -> Self {
        Self::Content {
            path: path.display().to_string(),
            what: what.to_string(),
        }
    }

    /// DESIGN §4's result code, where evidence was refused.
    pub fn result_code(&self) -> Option<ResultCode> {
        match self {
            Self::Evidence(error) => Some(error.result_code()),
            Self::Endpoint(error) => error.result_code(),
            _ => None,
        }
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::File { .. } => "file",
            Self::Content { .. } => "file-content",
            Self::Locked(_) => "watcher-locked",
            Self::OtherSchedule(_) => "watcher-schedule-differs",
            Self::Schedule(_) => "schedule-invalid",
            Self::Endpoint(error) => error.code(),
            Self::Evidence(error) => error.code(),
            Self::Unreachable { .. } => "control-plane-unreachable",
            Self::Platform(problem) => &problem.code,
            Self::Chain(failure) => &failure.code,
            Self::Metrics(_) => "metrics-address",
            Self::System(_) => "failed",
        }
    }
}
