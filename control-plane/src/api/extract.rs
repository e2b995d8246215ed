//! Reading requests; every refusal is a problem of ours.

use core::fmt::Display;
use core::str::FromStr;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use nacre_protocol::api::IDEMPOTENCY_KEY;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::Shared;
use super::answer::Refusal;
use crate::error::{MAX_JSON, RequestError};
use crate::platform::{DEFAULT_PAGE, Idempotency, Key, MAX_PAGE, OnlyIf};

/// The only parameter of a path.
pub(super) struct InPath<T>(pub(super) T);

impl<T: FromStr<Err: Display> + Send> FromRequestParts<Shared> for InPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        let text = Path::<String>::from_request_parts(parts, platform).await;
        let Path(text) = text.map_err(|e| RequestError::Path(e.body_text()))?;
        let value = text
            .parse()
            .map_err(|e: T::Err| RequestError::Path(e.to_string()))?;
        Ok(Self(value))
    }
}

/// The query string.
pub(super) struct InQuery<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for InQuery<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, platform).await;
        let Query(value) = query.map_err(|e| RequestError::Query(e.body_text()))?;
        Ok(Self(value))
    }
}

/// A JSON body, with what its idempotency key needs.
pub(super) struct InBody<T> {
    /// What it says.
    pub(super) value: T,
    bytes: Bytes,
    method: String,
    path: String,
    headers: HeaderMap,
}

impl<T: DeserializeOwned> FromRequest<Shared> for InBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, platform: &Shared) -> Result<Self, Refusal> {
        let headers = request.headers().clone();
        if !is_json(&headers) {
            return Err(RequestError::ContentType.into());
        }
        // Said to be too long: not waited for.
        if declared_length(&headers).is_some_and(|length| length > MAX_JSON as u64) {
            return Err(RequestError::TooLong.into());
        }
        let method = request.method().to_string();
        let path = request.uri().path().to_owned();
        let bytes = Bytes::from_request(request, platform)
            .await
            .map_err(body_error)?;
        let value = serde_json::from_slice(&bytes).map_err(json_error)?;
        Ok(Self {
            value,
            bytes,
            method,
            path,
            headers,
        })
    }
}

impl<T> InBody<T> {
    /// The caller's idempotency key, if there is one.
    pub(super) fn once(&self, of: &Key) -> Result<Option<Idempotency>, RequestError> {
        let mut all = self.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = all.next() else {
            return Ok(None);
        };
        let key = value.to_str().map_err(|_| RequestError::IdempotencyKey)?;
        let visible = key.bytes().all(|b| b.is_ascii_graphic());
        if all.next().is_some() || !visible || !(1..=255).contains(&key.len()) {
            return Err(RequestError::IdempotencyKey);
        }
        let (method, path) = (&self.method, &self.path);
        let key = key.to_owned();
        Ok(Some(Idempotency::new(of, key, method, path, &self.bytes)))
    }
}

/// `If-Match`: what the caller takes for what is there.
pub(super) struct IfMatch(pub(super) OnlyIf);

impl FromRequestParts<Shared> for IfMatch {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Refusal> {
        let mut tags = Vec::new();
        for value in parts.headers.get_all(IF_MATCH) {
            let value = value.to_str().map_err(|_| RequestError::IfMatch)?;
            for tag in value.split(',').map(str::trim) {
                let bare = tag.strip_prefix("W/").unwrap_or(tag);
                let quoted = bare.len() >= 2 && bare.starts_with('"') && bare.ends_with('"');
                if !quoted && tag != "*" {
                    return Err(RequestError::IfMatch.into());
                }
                tags.push(tag.to_owned());
            }
        }
        Ok(Self(match tags {
            tags if tags.is_empty() => OnlyIf::Always,
            tags if tags.iter().any(|tag| tag == "*") => OnlyIf::Something,
            tags => OnlyIf::Tags(tags),
        }))
    }
}

/// What `Content-Length` says.
pub(super) fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

pub(super) fn body_error(rejection: BytesRejection) -> RequestError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        RequestError::TooLong
    } else {
        RequestError::Incomplete
    }
}

fn json_error(error: serde_json::Error) -> RequestError {
    if error.is_data() {
        RequestError::Shape(error.to_string())
    } else {
        RequestError::Syntax(error.to_string())
    }
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next` of the page before.
    #[serde(default)]
    pub(super) after: String,
    /// Most items, 1 to 1000; 100 if absent.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Items of a page unless the caller says otherwise.
pub(super) fn default_limit() -> u32 {
    DEFAULT_PAGE
}

impl PageQuery {
    /// The limit, if it is one.
    pub(super) fn limit(&self) -> Result<u32, RequestError> {
        check_limit(self.limit)
    }
}

/// A limit between 1 and [`MAX_PAGE`].
pub(super) fn check_limit(limit: u32) -> Result<u32, RequestError> {
    if (1..=MAX_PAGE).contains(&limit) {
        Ok(limit)
    } else {
        Err(RequestError::Query(format!(
            "limit must be between 1 and {MAX_PAGE}"
        )))
    }
}
