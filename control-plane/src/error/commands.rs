//! Why an operator's command is not carried out.

/// A command that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// Never given out, used before, or older than a minute.
    #[error(
        "the nonce was not given out here within the last minute, or was used: take a new one from POST /v1/nodes/challenges"
    )]
    Nonce,
    /// Not the operator's word, or no such node.
    #[error("the signature is not that of the node's operator over exactly this")]
    Signature,
    /// Too far ahead.
    #[error("a node leaves within 30 days")]
    Until,
}

impl CommandError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Nonce => (
                403,
                "nonce-invalid",
                "The nonce is unknown, used or too old.",
            ),
            Self::Signature => (
                403,
                "signature-invalid",
                "The operator's signature is wrong.",
            ),
            Self::Until => (422, "drain-too-late", "The node leaves too late."),
        }
    }
}
