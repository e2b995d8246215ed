//! Errors of what goes on a chain, as the command line shows them.

use nacre_chain::registration::{RegistrationError, VerifierError};
use nacre_chain::uptime::{AccusationError, DisputeError};

use crate::error::CliError;

/// What does not fit together, by its stable code.
pub(super) fn on_chain(code: &str, message: impl Into<String>) -> CliError {
    CliError::OnChain {
        code: code.to_owned(),
        message: message.into(),
    }
}

impl From<RegistrationError> for CliError {
    fn from(error: RegistrationError) -> Self {
        on_chain(error.code(), error.to_string())
    }
}

impl From<VerifierError> for CliError {
    fn from(error: VerifierError) -> Self {
        match error {
            VerifierError::Client(error) => Self::Channel(error),
            VerifierError::Late(_) => Self::TimedOut(error.to_string()),
            other => on_chain(other.code(), other.to_string()),
        }
    }
}

impl From<AccusationError> for CliError {
    fn from(error: AccusationError) -> Self {
        on_chain(error.code(), error.to_string())
    }
}

impl From<DisputeError> for CliError {
    fn from(error: DisputeError) -> Self {
        on_chain(error.code(), error.to_string())
    }
}
