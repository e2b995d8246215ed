//! Asking a verifier enclave for its word.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use nacre_client::{AttestedConnection, ClientError, Endpoint, Trust};
use nacre_protocol::api::chain::ChainKey;
use nacre_protocol::verifier_api::{Refusal, VERIFY_PATH, Verdict, VerifyRequest};
use tokio::time::timeout;

/// Longest answer that is read, bytes.
pub const MAX_VERDICT: usize = 256 << 10;

/// A verifier that gives no word.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// It cannot be reached, or is not the verifier that is trusted.
    #[error("the verifier: {0}")]
    Client(#[from] ClientError),
    /// It did not answer in time.
    #[error("the verifier did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It refuses the document.
    #[error("the verifier refuses the document: {}", .0.problem)]
    Refused(Box<Refusal>),
    /// What it answers is no answer of a verifier.
    #[error("the verifier's answer (status {status}) is none: {reason}")]
    Malformed {
        /// HTTP status.
        status: StatusCode,
        /// What is wrong.
        reason: String,
    },
}

impl VerifierError {
    /// Stable kebab-case code; of a refusal the rule that the document breaks.
    pub fn code(&self) -> &str {
        match self {
            Self::Client(error) => error.code(),
            Self::Late(_) => "verifier-timeout",
            Self::Refused(refusal) => &refusal.problem.code,
            Self::Malformed { .. } => "verifier-malformed-answer",
        }
    }
}

/// Has a verifier verify the key's document and say so to the key's registry. The verifier is attested first: whoever stands
/// between learns nothing and changes nothing.
///
/// # Errors
///
/// [`VerifierError`].
pub async fn vouch(
    endpoint: &Endpoint,
    trust: &Trust,
    key: &ChainKey,
    limit: Duration,
) -> Result<Verdict, VerifierError> {
    let asked = timeout(limit, ask(endpoint, trust, key, limit)).await;
    asked.map_err(|_| VerifierError::Late(limit))?
}

async fn ask(
    endpoint: &Endpoint,
    trust: &Trust,
    key: &ChainKey,
    limit: Duration,
) -> Result<Verdict, VerifierError> {
    let question = VerifyRequest {
        document: key.document.clone(),
        operator: key.operator,
        chain_id: key.chain_id,
        verifying_contract: key.registry,
        nonce: None,
    };
    let body = serde_json::to_vec(&question).unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(VERIFY_PATH);
    let json = http::HeaderValue::from_static("application/json");
    request.headers_mut().insert(CONTENT_TYPE, json);

    let mut connection = AttestedConnection::open(endpoint, trust, limit).await?;
    let answer = connection.send(request).await?;
    let status = answer.status();
    let malformed = |reason: String| VerifierError::Malformed { status, reason };
    let body = Limited::new(answer.into_body(), MAX_VERDICT)
        .collect()
        .await;
    let body = body
        .map_err(|error| malformed(error.to_string()))?
        .to_bytes();
    let wrong = |error: serde_json::Error| malformed(error.to_string());
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(wrong);
    }
    let refusal = serde_json::from_slice(&body).map_err(wrong)?;
    Err(VerifierError::Refused(Box::new(refusal)))
}
