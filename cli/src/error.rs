//! Errors of the command line: what to tell the user, and the exit status.

use nacre_attestation_verifier::{PolicyError, ResultCode, RootsError, VerifyError};
use nacre_chain::error::ChainError;
use nacre_client::proxy::ProxyError;
use nacre_client::sealed::SealedJobError;
use nacre_client::{ClientError, KserveError, ReceiptFileError};
use nacre_protocol::bundle::BundleError;
use nacre_protocol::manifest::ManifestError;
use nacre_protocol::problem::Problem;
use nacre_uptime::WatchError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// The words of the command are off, beyond what the parser sees.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        path: String,
        source: std::io::Error,
    },
    /// The control plane cannot be reached.
    #[error("cannot reach the control plane at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    /// The control plane refused.
    #[error("{0}")]
    Platform(Problem),
    /// Something did not happen in time.
    #[error("{0}")]
    TimedOut(String),
    /// A deployment failed.
    #[error("{0}")]
    Deployment(String),
    /// The function's directory.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The function's files.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Evidence was refused.
    #[error(transparent)]
    Evidence(#[from] VerifyError),
    /// The policy is none.
    #[error("policy: {0}")]
    Policy(#[from] PolicyError),
    /// The root is none.
    #[error("root: {0}")]
    Roots(#[from] RootsError),
    /// The attested channel.
    #[error(transparent)]
    Channel(#[from] ClientError),
    /// The proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A kept receipt.
    #[error(transparent)]
    Receipt(#[from] ReceiptFileError),
    /// The watcher.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The emulator.
    #[error(transparent)]
    Emulate(#[from] nacre_emulator::emulate::EmulateError),
    /// The function answered with an error.
    #[error("the function answered {status} ({code}): {message}")]
    Function {
        status: u16,
        code: String,
        message: String,
    },
    /// A job ended without a result.
    #[error("{message}")]
    Job { code: String, message: String },
    /// A job was not sealed, or its result not taken.
    #[error(transparent)]
    SealedJob(#[from] SealedJobError),
    /// What was to go on a chain does not fit together.
    #[error("{message}")]
    OnChain { code: String, message: String },
    /// Contracts, or the nodes of their chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// An enclave image.
    #[error(transparent)]
    Image(#[from] nacre_image::ImageError),
    /// Anything else.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl CliError {
    /// A file error that says which file.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }

    /// Stable kebab-case code.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::File { .. } => "file",
            Self::Unreachable { .. } => "control-plane-unreachable",
            Self::Platform(problem) => &problem.code,
            Self::TimedOut(_) => "timed-out",
            Self::Deployment(_) => "deployment-failed",
            Self::Manifest(_) => "manifest-invalid",
            Self::Bundle(_) => "bundle-invalid",
            Self::Evidence(error) => error.rule(),
            Self::Policy(_) => "policy-invalid",
            Self::Roots(_) => "root-invalid",
            Self::Channel(error) => error.code(),
            Self::Proxy(error) => error.code(),
            Self::Receipt(error) => error.code(),
            Self::Watch(error) => error.code(),
            Self::Emulate(error) => error.code(),
            Self::Function { code, .. } => code,
            Self::Job { code, .. } => code,
            Self::SealedJob(error) => error.code(),
            Self::OnChain { code, .. } => code,
            Self::Chain(error) => error.code(),
            Self::Image(error) => error.code(),
            Self::Other(_) => "failed",
        }
    }

    /// The exit status: 10 to 15 are the result codes of an attestation, the rest is in `nacre help`.
    pub(crate) fn exit_status(&self) -> u8 {
        let attestation = match self {
            Self::Evidence(error) => Some(error.code()),
            Self::Policy(error) => Some(error.code()),
            Self::Roots(error) => Some(error.code()),
            Self::Channel(error) => error.result_code(),
            Self::Receipt(error) => Some(error.result_code()),
            Self::SealedJob(SealedJobError::Open(_) | SealedJobError::Syntax(_)) => {
                Some(ResultCode::Binding)
            }
            Self::Image(error) => error.result_code(),
            Self::Watch(error) => error.result_code(),
            _ => None,
        };
        match (attestation, self) {
            (Some(code), _) => code.exit_status(),
            (None, Self::Usage(_) | Self::Proxy(_) | Self::Manifest(_) | Self::Bundle(_)) => {
                ResultCode::Usage.exit_status()
            }
            (None, Self::Unreachable { .. } | Self::Channel(_)) => 3,
            (None, Self::Platform(_)) => 4,
            (None, Self::Watch(WatchError::Usage(_) | WatchError::Schedule(_))) => 2,
            (None, Self::Watch(WatchError::Unreachable { .. })) => 3,
            (None, Self::Watch(WatchError::Platform(_))) => 4,
            (None, Self::Chain(error)) => match error {
                ChainError::BadRpc { .. }
                | ChainError::Settings(_)
                | ChainError::KeyFile { .. }
                | ChainError::AnvilMissing => 2,
                ChainError::Rpc(_) => 3,
                ChainError::Refused(_) => 4,
                ChainError::NotConfirmed { .. } => 5,
                ChainError::NotAnswered { .. } => 6,
                _ => 1,
            },
            (None, Self::TimedOut(_)) => 5,
            (None, Self::Function { .. } | Self::Deployment(_) | Self::Job { .. }) => 6,
            _ => 1,
        }
    }
}

impl From<KserveError> for CliError {
    fn from(error: KserveError) -> Self {
        match error {
            KserveError::Channel(error) => Self::Channel(error),
            KserveError::Refused {
                status,
                code,
                message,
            } => Self::Function {
                status,
                code,
                message,
            },
            other => Self::Other(other.into()),
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.into())
    }
}
