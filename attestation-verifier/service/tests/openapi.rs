//! `openapi.json` beside this crate describes the service; it is made from the very types that the service reads and
//! writes. The enclave itself carries no code for it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use nacre_protocol::problem::Problem;
use nacre_protocol::verifier_api::{Claims, Refusal, Verdict, VerifyRequest};
use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Nacre verifier",
        description = "Verifies AWS Nitro attestation documents and signs what they say for smart contracts. Spoken over TLS that ends in an enclave: check its evidence first."
    ),
    paths(verify, attestation, healthz, readyz),
    components(schemas(VerifyRequest, Verdict, Claims, Refusal, Problem))
)]
struct Service;

/// Verifies a document and signs `VerifiedEnclave` for one contract on one chain.
///
/// The signature does not say that the enclave agrees to be this operator's: a contract must demand the receipt key's own
/// signature over operator, chain and contract.
#[utoipa::path(
    post,
    path = "/v1/verify",
    request_body = VerifyRequest,
    responses(
        (status = 200, description = "Genuine, fresh, not in debug mode; signed", body = Verdict),
        (status = 400, description = "`request-malformed` (result 2), `body-incomplete`", body = Refusal, content_type = "application/problem+json"),
        (status = 408, description = "`body-timeout`", body = Refusal, content_type = "application/problem+json"),
        (status = 413, description = "`body-too-large`: above 32 KiB", body = Refusal, content_type = "application/problem+json"),
        (status = 415, description = "`media-type` (result 2)", body = Refusal, content_type = "application/problem+json"),
        (status = 422, description = "Refused: `code` is the rule, `result` 10 to 15", body = Refusal, content_type = "application/problem+json"),
        (status = 429, description = "`rate-limited`; `Retry-After` says when", body = Refusal, content_type = "application/problem+json"),
        (status = 503, description = "`overloaded`, `clock-unavailable`", body = Refusal, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "describes a path")]
fn verify() {}

/// Evidence for this connection: document, identity statement and inclusion path.
#[utoipa::path(
    get,
    path = "/.well-known/nacre/attestation",
    params(("nonce" = String, Query, description = "32 random bytes, base64url without padding")),
    responses(
        (status = 200, description = "Evidence", body = serde_json::Value),
        (status = 400, description = "`nonce-malformed`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`attestation-unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "describes a path")]
fn attestation() {}

/// The process answers.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "Always")))]
#[expect(dead_code, reason = "describes a path")]
fn healthz() {}

/// There is attested time, so that documents can be judged.
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "Ready"),
        (status = 503, description = "`clock-unavailable`", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "describes a path")]
fn readyz() {}

#[test]
fn the_committed_document_is_that_of_the_types() {
    let made = format!("{}\n", Service::openapi().to_pretty_json().unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    if std::env::var_os("NACRE_WRITE_OPENAPI").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        committed, made,
        "openapi.json is not that of the types: run this test with NACRE_WRITE_OPENAPI=1"
    );
}
