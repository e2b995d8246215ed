//! `/v1/keys`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::keys::{ApiKey, CreateKey, IssuedKey, RotateKey};

use super::Shared;
use super::answer::{Refusal, json, ok};
use super::auth::KeyHolder;
use super::extract::{IfMatch, InBody, InPath, InQuery, PageQuery};
use super::functions::to_its_end;
use crate::token::KeyId;

/// Makes a key of the caller's organisation, with no scope that the caller's key lacks and for no longer than that is taken.
/// Its text is in this answer and nowhere else, so there is no idempotency key here: after a lost answer, list the keys,
/// revoke the one that nobody knows, and make another.
#[utoipa::path(
    post,
    path = "/v1/keys",
    operation_id = "createKey",
    tag = "keys",
    request_body = CreateKey,
    responses(
        (status = 201, description = "The key", body = IssuedKey),
        (status = 400, description = "`json-syntax`, `body-incomplete`"),
        (status = 403, description = "`grant-too-wide`: a scope or a time that the caller's key does not have; or `forbidden`, `scope-missing`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `key-name-invalid`, `key-scopes-missing`, `key-expiry-invalid`"),
    ),
    security(("api_key" = ["admin"])),
)]
pub(super) async fn create(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    body: InBody<CreateKey>,
) -> Result<Response, Refusal> {
    let work = async move { platform.create_key(&key, body.value).await };
    Ok(json(StatusCode::CREATED, &to_its_end(work).await?))
}

/// Lists the organisation's keys, revoked ones too, oldest first.
#[utoipa::path(
    get,
    path = "/v1/keys",
    operation_id = "listKeys",
    tag = "keys",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of keys", body = Page<ApiKey>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["admin"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.keys(&key.organisation, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}

/// One key.
#[utoipa::path(
    get,
    path = "/v1/keys/{id}",
    operation_id = "getKey",
    tag = "keys",
    params(("id" = String, Path, description = "The 16 hex digits after `nacre_`")),
    responses(
        (status = 200, description = "The key, without its secret", body = ApiKey),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`key-not-found`"),
    ),
    security(("api_key" = ["admin"])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<KeyId>,
) -> Result<Response, Refusal> {
    Ok(ok(&platform.key(&key.organisation, id).await?))
}

/// Gives a key a new secret. The present one is taken for `grace_ms` too, one day if absent, so that whoever uses the key has
/// time to change over; a secret from before the last rotation is not. Only of keys whose scopes the caller's key has.
#[utoipa::path(
    post,
    path = "/v1/keys/{id}/rotate",
    operation_id = "rotateKey",
    tag = "keys",
    params(
        ("id" = String, Path, description = "The 16 hex digits after `nacre_`"),
        ("If-Match" = Option<String>, Header, description = "`ETag` of `GET /v1/keys/{id}`: refused with 412 if somebody rotated it since"),
    ),
    request_body = RotateKey,
    responses(
        (status = 200, description = "The key with its new secret", body = IssuedKey),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`, `if-match-invalid`"),
        (status = 403, description = "`grant-too-wide`: the key has a scope or a time that the caller's does not; or `forbidden`, `scope-missing`"),
        (status = 404, description = "`key-not-found`"),
        (status = 409, description = "`key-revoked`"),
        (status = 412, description = "`precondition-failed`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `key-grace-too-long`"),
    ),
    security(("api_key" = ["admin"])),
)]
pub(super) async fn rotate(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<KeyId>,
    IfMatch(only_if): IfMatch,
    body: InBody<RotateKey>,
) -> Result<Response, Refusal> {
    let work = async move {
        let rotated = platform.rotate_key(&key, id, body.value, &only_if);
        rotated.await
    };
    Ok(ok(&to_its_end(work).await?))
}

/// Refuses a key from now on, with all its secrets.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    operation_id = "revokeKey",
    tag = "keys",
    params(("id" = String, Path, description = "The 16 hex digits after `nacre_`")),
    responses(
        (status = 204, description = "It is refused; again: the same"),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`key-not-found`"),
    ),
    security(("api_key" = ["admin"])),
)]
pub(super) async fn revoke(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<KeyId>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.revoke_key(&key.organisation, id).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
