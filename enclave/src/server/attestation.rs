//! `GET /.well-known/nacre/attestation?nonce=`: evidence for this connection (DESIGN §3.2).

use bytes::Bytes;
use http::{Method, StatusCode};
use nacre_protocol::encoding::array_from_base64url;
use nacre_protocol::evidence::channel_leaf;
use nacre_protocol::problem::Problem;

use super::answer::Answer;
use crate::boot::Enclave;

/// Answers with evidence whose leaf binds the caller's nonce to the connection's exporter.
pub(super) async fn answer(
    enclave: &Enclave,
    exporter: &[u8; 32],
    method: &Method,
    query: Option<&str>,
) -> Answer {
    if method != Method::GET {
        let problem = Problem::new(405, "method-not-allowed", "This path takes GET");
        return Answer {
            allow: Some("GET"),
            ..Answer::problem(&problem)
        };
    }
    let Some(nonce) = query.and_then(nonce) else {
        let problem = Problem::new(400, "nonce-malformed", "The nonce is missing or malformed");
        let detail = "ask for ?nonce= and 32 random bytes in base64url without padding";
        return Answer::problem(&problem.with_detail(detail));
    };
    match enclave
        .freshness
        .evidence(channel_leaf(&nonce, exporter))
        .await
    {
        Ok(evidence) => {
            enclave.counters.attestation();
            let body = serde_json::to_vec(&evidence).unwrap_or_default();
            Answer::json(StatusCode::OK, Bytes::from(body))
        }
        Err(error) => {
            let problem = Problem::new(
                503,
                "attestation-unavailable",
                "No attestation at the moment",
            );
            Answer::problem(&problem.with_detail(error.to_string()))
        }
    }
}

/// The query must be the nonce and nothing else.
fn nonce(query: &str) -> Option<[u8; 32]> {
    array_from_base64url(query.strip_prefix("nonce=")?).ok()
}
