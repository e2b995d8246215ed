//! `ETag` and `If-None-Match` (RFC 9110 §8.8.3, §13.1.2): who has an answer already is told so, without its body.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::refuse;
use crate::error::Error;
use crate::platform::etag;

/// The middleware: a tag for each JSON answer to GET, and 304 for whoever has it. Other answers have one where their handler
/// gave them one.
pub(super) async fn pass(request: Request, next: Next) -> Response {
    let get = request.method() == Method::GET;
    let known = tags(request.headers());
    let response = next.run(request).await;
    if !get || response.status() != StatusCode::OK {
        return response;
    }
    let response = match tagged(response).await {
        Ok(response) => response,
        Err(error) => return refuse(&error),
    };
    let same = match response.headers().get(ETAG) {
        Some(tag) => known
            .iter()
            .any(|one| one == "*" || one.as_bytes() == tag.as_bytes()),
        None => false,
    };
    if same {
        not_modified(response)
    } else {
        response
    }
}

/// The tags that the caller has, or `*`. Whether they are weak makes no difference here (RFC 9110 §13.1.2).
fn tags(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(IF_NONE_MATCH).iter();
    let all = all.filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/").to_owned())
        .collect()
}

async fn tagged(response: Response) -> Result<Response, Error> {
    let headers = response.headers();
    let json = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    if !json || headers.contains_key(ETAG) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    // JSON answers are made whole before they are sent.
    let body = to_bytes(body, usize::MAX).await;
    let body = body.map_err(|_| Error::Internal("an answer broke off"))?;
    if let Ok(tag) = HeaderValue::try_from(etag(&body)) {
        parts.headers.insert(ETAG, tag);
    }
    let private = HeaderValue::from_static("private, no-cache");
    parts.headers.entry(CACHE_CONTROL).or_insert(private);
    Ok(Response::from_parts(parts, body.into()))
}

fn not_modified(response: Response) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::empty())
}
