//! What can go wrong when nodes register and report.

use nacre_attestation_verifier::VerifyError;
use nacre_protocol::identity::StatementError;
use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::InclusionError;

/// Why a node is not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// Not `host:port`.
    #[error(
        "endpoint must be host:port with a DNS name, an IPv4 address or an IPv6 address in brackets, not {0:?}"
    )]
    Endpoint(String),
    /// Memory, processors or price beyond what the market takes.
    #[error(
        "the offer's memory must be at most 2^50 bytes, its processors at most 10^8 thousandths, and its prices at most 10^12 micro-units"
    )]
    Offer,
    /// A region's name that is none.
    #[error("region must be 1 to 64 bytes")]
    Region,
    /// Never given out, used before, or older than a minute.
    #[error(
        "the nonce was not given out here within the last minute, or was used: take a new one from POST /v1/nodes/challenges"
    )]
    Nonce,
    /// The operator did not sign this registration.
    #[error("the signature is not the operator's over this registration")]
    Signature,
    /// The document is not evidence, or of an enclave that the policy does not name.
    #[error("{0} (rule {rule})", rule = .0.rule())]
    Evidence(#[from] VerifyError),
    /// Not an identity statement.
    #[error("the statement cannot be read: {0}")]
    Statement(#[from] StatementError),
    /// The document does not vouch for this statement.
    #[error("the document does not vouch for this identity statement: {0}")]
    Unvouched(VerifyError),
    /// The document was not made for this registration.
    #[error("the document was not made for this registration: {0}")]
    Leaf(#[from] InclusionError),
    /// The document has no nonce at all.
    #[error("the document was not made for this registration: it has no nonce")]
    NoNonce,
    /// Somebody else registered the node first.
    #[error("node {0} belongs to another operator")]
    Operator(NodeId),
    /// The boot registered as another node.
    #[error("this boot of the enclave is registered as another node")]
    BootTaken,
}

impl RegistrationError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Endpoint(_) => (422, "endpoint-invalid", "The endpoint is not host:port."),
            Self::Offer => (422, "offer-out-of-range", "The offer is out of range."),
            Self::Region => (422, "bad-name", "The region has no name that can be kept."),
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
            Self::Evidence(_) => (
                403,
                "evidence-refused",
                "The enclave's evidence is refused.",
            ),
            Self::Statement(_) | Self::Unvouched(_) | Self::Leaf(_) | Self::NoNonce => (
                403,
                "evidence-not-bound",
                "The evidence is not bound to this registration.",
            ),
            Self::Operator(_) => (
                403,
                "operator-mismatch",
                "The node belongs to another operator.",
            ),
            Self::BootTaken => (409, "boot-id-taken", "The boot belongs to another node."),
        }
    }
}

/// Why a node's report is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The enclave was started anew.
    #[error("the report is of another boot than the registered one: register the new boot")]
    Boot,
    /// More than a report holds.
    #[error("a report holds at most 256 events and 4096 functions")]
    TooLong,
    /// A code that is not one.
    #[error("an event's code is 1 to 64 of a-z, 0-9 and `-`, not {0:?}")]
    EventCode(String),
    /// Numbers beyond 2⁶³ − 1.
    #[error("an event's seq and at_ms must be below 2^63")]
    EventNumber,
}

impl ReportError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Boot => (409, "boot-changed", "The report is of another boot."),
            Self::TooLong => (422, "report-too-long", "The report is too long."),
            Self::EventCode(_) | Self::EventNumber => {
                (422, "event-invalid", "An event cannot be read.")
            }
        }
    }
}
