//! Answers and refusals as HTTP.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use nacre_protocol::problem::PROBLEM_JSON;
use serde::Serialize;

use crate::error::Error;
use crate::meters::Refused;
use crate::platform::Answer;

/// What a handler returns when it refuses.
pub(super) struct Refusal(Error);

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refuse(&self.0)
    }
}

/// A problem, as problem+json.
pub(super) fn refuse(error: &Error) -> Response {
    let problem = error.problem();
    if error.is_ours() {
        tracing::error!(error = %error, "request failed");
    }
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = (status, Body::from(body)).into_response();
    response.extensions_mut().insert(Refused::for_error(error));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"nacre\""),
        );
    }
    if let Error::RateLimited { after_s } = error {
        headers.insert(RETRY_AFTER, HeaderValue::from(*after_s));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response.extensions_mut().insert(Code(problem.code));
    response
}

/// The code of a refusal, beside the answer.
#[derive(Debug, Clone)]
pub(super) struct Code(pub(super) String);

/// 200 with JSON.
pub(super) fn ok(body: &impl Serialize) -> Response {
    json(StatusCode::OK, body)
}

/// A status with JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => raw(status, bytes.into()),
        Err(_) => refuse(&Error::Internal("an answer does not become JSON")),
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        raw(status, self.body.into())
    }
}

fn raw(status: StatusCode, body: Body) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], body).into_response()
}
