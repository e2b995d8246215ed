//! `/v1/functions/{name}/canary`, `/promote` and `/rollback`

use axum::extract::State;
use nacre_protocol::api::Deployment;
use nacre_protocol::api::market::{Promote, RollBack, SetCanary};
use nacre_protocol::ids::FunctionName;

use super::Shared;
use super::answer::Refusal;
use super::auth::KeyHolder;
use super::extract::{InBody, InPath};
use super::functions::to_its_end;
use crate::platform::Answer;

/// Puts a version on trial: its replicas come beside those in force, and as soon as they answer they get their part of
/// the requests. The same digest again changes that part; another digest takes its place.
#[utoipa::path(
    post,
    path = "/v1/functions/{name}/canary",
    operation_id = "setCanary",
    tag = "deployments",
    params(
        ("name" = String, Path, description = "The function's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h"),
    ),
    request_body = SetCanary,
    responses(
        (status = 201, description = "The deployment on trial", body = Deployment),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`, `idempotency-key-invalid`"),
        (status = 404, description = "`function-not-found`, `version-not-found`"),
        (status = 409, description = "`not-deployed`, `same-version`, `idempotency-key-reused`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `canary-weight`"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn set_canary(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(name): InPath<FunctionName>,
    body: InBody<SetCanary>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let of = key.organisation;
    let work = async move {
        let done = platform.set_canary(&of, &name, body.value, once.as_ref());
        done.await
    };
    Ok(to_its_end(work).await?)
}

/// Makes the version on trial the live one, by a rolling update.
#[utoipa::path(
    post,
    path = "/v1/functions/{name}/promote",
    operation_id = "promoteCanary",
    tag = "deployments",
    params(
        ("name" = String, Path, description = "The function's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h"),
    ),
    request_body = Promote,
    responses(
        (status = 200, description = "The deployment that was on trial, live now", body = Deployment),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`, `idempotency-key-invalid`"),
        (status = 404, description = "`function-not-found`"),
        (status = 409, description = "`not-deployed`, `no-other-version`, `idempotency-key-reused`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn promote(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(name): InPath<FunctionName>,
    body: InBody<Promote>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let of = key.organisation;
    let work = async move { platform.promote(&of, &name, once.as_ref()).await };
    Ok(to_its_end(work).await?)
}

/// Ends the trial if there is one; otherwise goes back to the version before the live one, under the terms in force.
#[utoipa::path(
    post,
    path = "/v1/functions/{name}/rollback",
    operation_id = "rollBack",
    tag = "deployments",
    params(
        ("name" = String, Path, description = "The function's name"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h"),
    ),
    request_body = RollBack,
    responses(
        (status = 200, description = "The deployment that is live now", body = Deployment),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`, `idempotency-key-invalid`"),
        (status = 404, description = "`function-not-found`"),
        (status = 409, description = "`not-deployed`, `no-other-version`, `not-that-deployment`, `idempotency-key-reused`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn roll_back(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(name): InPath<FunctionName>,
    body: InBody<RollBack>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let of = key.organisation;
    let work = async move {
        let done = platform.roll_back(&of, &name, body.value, once.as_ref());
        done.await
    };
    Ok(to_its_end(work).await?)
}
