//! Probes.

use axum::extract::State;
use axum::http::StatusCode;

use super::Shared;
use super::answer::Refusal;

/// The process answers.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "probes",
    responses((status = 204, description = "It does")),
    security(()),
)]
pub(super) async fn alive() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// The database answers too.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readyz",
    tag = "probes",
    responses((status = 204, description = "It does"), (status = 500, description = "`internal`")),
    security(()),
)]
pub(super) async fn ready(State(platform): State<Shared>) -> Result<StatusCode, Refusal> {
    platform.check().await?;
    Ok(StatusCode::NO_CONTENT)
}
