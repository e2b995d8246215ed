//! Responses as all our servers give them: JSON, RFC 9457 problem details, and nothing that a cache may keep.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use nacre_protocol::problem::{PROBLEM_JSON, Problem};
use serde::Serialize;

/// A value as JSON.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_body(status, "application/json", body.into())
}

/// A problem under its own status.
pub fn problem(problem: &Problem) -> Response<Full<Bytes>> {
    problem_with(problem.status, problem)
}

/// A problem with members of its own (RFC 9457 §3.2).
pub fn problem_with(status: u16, problem: &impl Serialize) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    with_body(status, PROBLEM_JSON, body.into())
}

/// The path is right, the method is not.
pub fn method_not_allowed(allow: &'static str) -> Response<Full<Bytes>> {
    let first = allow.split(',').next().unwrap_or(allow);
    let title = format!("This path takes {first}");
    let mut response = problem(&Problem::new(405, "method-not-allowed", &title));
    let allow = HeaderValue::from_static(allow);
    response.headers_mut().insert(ALLOW, allow);
    response
}

/// Any body. Who is told 503 is told to come again in a second.
pub fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
