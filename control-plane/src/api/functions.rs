//! `/v1/functions`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nacre_protocol::api::{CreateVersion, Function, Page, Version};
use nacre_protocol::ids::FunctionName;
use tracing::Instrument as _;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{IfMatch, InBody, InPath, InQuery, PageQuery};
use crate::error::Error;
use crate::platform::Answer;

/// Makes a version of a function out of blobs that were put before: the OCI manifest and its layers. The function is the
/// one that `nacre.toml` names; it is made if it is new. The same digest again is the same version.
#[utoipa::path(
    post,
    path = "/v1/functions",
    operation_id = "createVersion",
    tag = "functions",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h")),
    request_body = CreateVersion,
    responses(
        (status = 201, description = "The version", body = Version),
        (status = 400, description = "`json-syntax`, `body-incomplete`, `idempotency-key-invalid`"),
        (status = 409, description = "`idempotency-key-reused`, `function-name-taken`: another organisation has a function of this name"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `blob-missing`, `layer-size`, `bundle-invalid`, `manifest-invalid`, `model-missing`"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn create(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    body: InBody<CreateVersion>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let organisation = key.organisation;
    let work = async move {
        let version = platform.create_version(&organisation, body.value, once.as_ref());
        version.await
    };
    Ok(to_its_end(work).await?)
}

/// Lists functions by name.
#[utoipa::path(
    get,
    path = "/v1/functions",
    operation_id = "listFunctions",
    tag = "functions",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of functions", body = Page<Function>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["functions:read"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.functions(&key.organisation, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}

/// One function with its versions and its live deployment.
#[utoipa::path(
    get,
    path = "/v1/functions/{name}",
    operation_id = "getFunction",
    tag = "functions",
    params(("name" = String, Path, description = "The function's name")),
    responses(
        (status = 200, description = "The function", body = Function),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`function-not-found`"),
    ),
    security(("api_key" = ["functions:read"])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(name): InPath<FunctionName>,
) -> Result<Response, Refusal> {
    Ok(ok(&platform.function(&key.organisation, name).await?))
}

/// Deletes a function: its deployment ends, its versions and log go, its blobs are collected.
#[utoipa::path(
    delete,
    path = "/v1/functions/{name}",
    operation_id = "deleteFunction",
    tag = "functions",
    params(("name" = String, Path, description = "The function's name"), ("If-Match" = Option<String>, Header, description = "`ETag` of `GET /v1/functions/{name}`: refused with 412 if the function, its versions or its deployment changed since")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 400, description = "`path-invalid`, `if-match-invalid`"),
        (status = 404, description = "`function-not-found`"),
        (status = 412, description = "`precondition-failed`"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn delete(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(name): InPath<FunctionName>,
    IfMatch(only_if): IfMatch,
) -> Result<StatusCode, Refusal> {
    let work = async move {
        let deleted = platform.delete_function(&key.organisation, &name, &only_if);
        deleted.await
    };
    to_its_end(work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does the work even if the caller goes away meanwhile, so that whoever waits for its effect is woken.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::spawn(work.in_current_span()).await;
    done.unwrap_or(Err(Error::Internal("the work of a request broke off")))
}
