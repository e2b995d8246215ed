//! Why a call did not happen, or its answer was not taken.

use nacre_attestation_verifier::{ResultCode, VerifyError};
use nacre_protocol::identity::StatementError;
use nacre_protocol::merkle::InclusionError;
use nacre_protocol::receipt::{ReceiptError, ReceiptSyntaxError};

use crate::body::CollectError;

/// What went wrong between the caller and the enclave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No endpoint is known for the function.
    #[error("no endpoint is known: is the function deployed and ready?")]
    NoEndpoint,
    /// The endpoint is not `host:port`.
    #[error("{0:?} is not an endpoint: write host:port")]
    EndpointSyntax(String),
    /// The endpoint cannot be reached.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// `host:port`.
        endpoint: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The TLS handshake failed.
    #[error("TLS handshake with {endpoint}: {source}")]
    Tls {
        /// `host:port`.
        endpoint: String,
        /// What rustls or the peer said.
        source: std::io::Error,
    },
    /// The peer did not answer in time.
    #[error("{what} took longer than {limit_ms} ms")]
    Timeout {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit_ms: u64,
    },
    /// The connection broke, or the peer broke HTTP.
    #[error("connection to the enclave: {0}")]
    Http(#[from] hyper::Error),
    /// A body was larger than the client takes.
    #[error("the answer is larger than {limit} bytes")]
    AnswerTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The peer gave no evidence.
    #[error("the peer gives no evidence: it answered {status} at the attestation endpoint")]
    NoEvidence {
        /// HTTP status.
        status: u16,
    },
    /// What the peer gave as evidence is not evidence.
    #[error("the peer's evidence cannot be read: {0}")]
    EvidenceSyntax(String),
    /// The attestation document or the policy's appraisal of it.
    #[error(transparent)]
    Evidence(#[from] VerifyError),
    /// The identity statement is not one.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The document vouches for a statement with another receipt key than its own.
    #[error("the document's public key is not the statement's receipt key")]
    ReceiptKey,
    /// The evidence is for another TLS key than this connection's.
    #[error("the evidence is for another TLS key: someone stands between, or it was copied")]
    TlsKey,
    /// The evidence was not made for this connection.
    #[error("the evidence was not made for this connection: {0}")]
    Channel(#[from] InclusionError),
    /// An answer about a function came without a receipt.
    #[error("the answer ({status}) has no receipt")]
    NoReceipt {
        /// HTTP status.
        status: u16,
    },
    /// The receipt header cannot be read.
    #[error(transparent)]
    ReceiptSyntax(#[from] ReceiptSyntaxError),
    /// The receipt does not prove the answer.
    #[error("the answer's receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// The enclave used another salt than the caller's.
    #[error("the receipt is salted with another salt than the caller's")]
    Salt,
}

impl ClientError {
    /// Why an answer of at most `limit` bytes was not read.
    pub(crate) fn of_answer(error: CollectError, limit: usize) -> Self {
        match error {
            CollectError::TooLarge => Self::AnswerTooLarge { limit },
            CollectError::Broken(error) => Self::Http(error),
        }
    }

    /// DESIGN §4's result code, where evidence or receipt was refused; `None` for errors of the network.
    pub fn result_code(&self) -> Option<ResultCode> {
        match self {
            Self::Evidence(e) => Some(e.code()),
            Self::EvidenceSyntax(_) | Self::NoEvidence { .. } => Some(ResultCode::Malformed),
            Self::Statement(_)
            | Self::ReceiptKey
            | Self::TlsKey
            | Self::Channel(_)
            | Self::NoReceipt { .. }
            | Self::ReceiptSyntax(_)
            | Self::Receipt(_)
            | Self::Salt => Some(ResultCode::Binding),
            _ => None,
        }
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoEndpoint => "no-endpoint",
            Self::EndpointSyntax(_) => "endpoint-syntax",
            Self::Connect { .. } => "connect-failed",
            Self::Tls { .. } => "tls-failed",
            Self::Timeout { .. } => "timeout",
            Self::Http(_) => "connection-broken",
            Self::AnswerTooLarge { .. } => "answer-too-large",
            Self::NoEvidence { .. } => "no-evidence",
            Self::EvidenceSyntax(_) => "evidence-malformed",
            Self::Evidence(e) => e.rule(),
            Self::Statement(_) => "statement-malformed",
            Self::ReceiptKey => "receipt-key-mismatch",
            Self::TlsKey => "tls-key-mismatch",
            Self::Channel(_) => "channel-mismatch",
            Self::NoReceipt { .. } => "receipt-missing",
            Self::ReceiptSyntax(_) => "receipt-malformed",
            Self::Receipt(_) => "receipt-refused",
            Self::Salt => "receipt-salt-mismatch",
        }
    }
}
