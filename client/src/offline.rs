//! A kept receipt, checked by anyone, off line, years later.

use nacre_attestation_verifier::{ResultCode, TrustedEnclave, UnixMillis, VerificationTime};
use nacre_protocol::receipt::SignedReceipt;
use nacre_protocol::receipt_file::{MAX_RECEIPT_FILE, ReceiptFile};

use crate::appraisal::vouched_statement;
use crate::error::ClientError;
use crate::trust::Trust;

/// A receipt that proves the request and response given with it.
#[derive(Debug, Clone)]
pub struct VerifiedReceipt {
    /// What was proven.
    pub receipt: SignedReceipt,
    /// Which enclave signed: its document was checked at the receipt's own time, or the time the caller named.
    pub enclave: TrustedEnclave,
}

/// A receipt file that proves nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptFileError {
    /// Not the JSON of a receipt file.
    #[error("not a receipt file: {0}")]
    Malformed(String),
    /// Evidence or receipt was refused.
    #[error(transparent)]
    Refused(#[from] ClientError),
    /// The receipt's time lies outside what its evidence can vouch for.
    #[error(
        "the receipt says {started_ms} ms, its evidence is from {document_ms} ms: more than {limit_ms} ms apart"
    )]
    TimeApart {
        /// When the work began, by the receipt.
        started_ms: u64,
        /// When the document was made.
        document_ms: u64,
        /// The policy's limit.
        limit_ms: u64,
    },
}

impl ReceiptFileError {
    /// DESIGN §4's result code.
    pub fn result_code(&self) -> ResultCode {
        match self {
            Self::Malformed(_) => ResultCode::Malformed,
            Self::Refused(error) => error.result_code().unwrap_or(ResultCode::Binding),
            Self::TimeApart { .. } => ResultCode::Time,
        }
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "receipt-file-malformed",
            Self::Refused(error) => error.code(),
            Self::TimeApart { .. } => "receipt-time-apart",
        }
    }
}

/// Checks a receipt file against the two bodies. The evidence is appraised as an archive check at `at`, or, where the
/// caller names no time, at the receipt's own time.
pub fn verify_receipt_file(
    file: &[u8],
    request_body: &[u8],
    response_body: &[u8],
    trust: &Trust,
    at: Option<UnixMillis>,
) -> Result<VerifiedReceipt, ReceiptFileError> {
    let malformed = |what: String| ReceiptFileError::Malformed(what);
    if file.len() > MAX_RECEIPT_FILE {
        return Err(malformed("longer than 128 KiB".to_owned()));
    }
    let file: ReceiptFile = serde_json::from_slice(file).map_err(|e| malformed(e.to_string()))?;
    if file.version != 1 {
        return Err(malformed(format!("version {} is unknown", file.version)));
    }
    let receipt = SignedReceipt::from_header(&file.receipt).map_err(ClientError::from)?;
    let started_ms = receipt.receipt.started_ms;
    let at = VerificationTime::Archive(at.unwrap_or(UnixMillis(started_ms)));
    let (verified, statement) = vouched_statement(&file.evidence, trust, at)?;

    let policy = trust.policy();
    let document_ms = verified.timestamp_ms();
    let limit_ms = u64::try_from(policy.max_age().as_millis()).unwrap_or(u64::MAX);
    if started_ms.abs_diff(document_ms) > limit_ms {
        return Err(ReceiptFileError::TimeApart {
            started_ms,
            document_ms,
            limit_ms,
        });
    }
    let enclave = verified.appraise(&policy).map_err(ClientError::from)?;
    let proven = receipt.verify(
        &statement.receipt_key,
        &file.function,
        &file.request.with_body(request_body),
        &file.response.with_body(response_body),
    );
    proven.map_err(ClientError::from)?;
    Ok(VerifiedReceipt { receipt, enclave })
}
