//! `/v1/deployments`

use axum::extract::State;
use axum::response::Response;
use nacre_protocol::api::{CreateDeployment, Deployment};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::DeploymentId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{IfMatch, InBody, InPath, InQuery};
use super::functions::to_its_end;
use crate::platform::Answer;

/// Orders a version to run, in place of the function's live deployment. The lowest asks among the nodes that fit win.
/// Where old and new meet on a node the new takes the old one's place at once, because a node runs one version of a
/// function; elsewhere the old replicas stay until the new deployment is ready. When no node fits, the deployment waits
/// in `loading` and its `reason` says for what.
#[utoipa::path(
    post,
    path = "/v1/deployments",
    operation_id = "createDeployment",
    tag = "deployments",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h"), ("If-Match" = Option<String>, Header, description = "`ETag` of `GET /v1/functions/{name}`: refused with 412 if the function, its versions or its deployment changed since")),
    request_body = CreateDeployment,
    responses(
        (status = 201, description = "The deployment, placed as far as nodes fit", body = Deployment),
        (status = 400, description = "`json-syntax`, `body-incomplete`, `idempotency-key-invalid`, `if-match-invalid`"),
        (status = 404, description = "`function-not-found`, `version-not-found`"),
        (status = 409, description = "`idempotency-key-reused`"),
        (status = 412, description = "`precondition-failed`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `replicas-out-of-range`, `processors-out-of-range`, `price-out-of-range`"),
    ),
    security(("api_key" = ["functions:write"])),
)]
pub(super) async fn create(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    IfMatch(only_if): IfMatch,
    body: InBody<CreateDeployment>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let organisation = key.organisation;
    let work = async move {
        let order = &body.value;
        let deployed = platform.deploy(&organisation, order, &only_if, once.as_ref());
        deployed.await
    };
    Ok(to_its_end(work).await?)
}

/// How long to wait for which change.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Longest wait in milliseconds; above 60,000 is 60,000. Absent: answer at once.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    wait_ms: u64,
    /// The state that the caller knows: the answer comes when it is another one. `loading` if absent.
    #[serde(default = "loading")]
    #[param(default = "loading")]
    after_state: FunctionState,
}

fn loading() -> FunctionState {
    FunctionState::Loading
}

/// Where a deployment stands. With `wait_ms`, answered when that is no longer `after_state`, or the time is up.
#[utoipa::path(
    get,
    path = "/v1/deployments/{id}",
    operation_id = "getDeployment",
    tag = "deployments",
    params(("id" = String, Path, description = "The deployment's id"), WaitQuery),
    responses(
        (status = 200, description = "The deployment", body = Deployment),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
        (status = 404, description = "`deployment-not-found`"),
    ),
    security(("api_key" = ["functions:read"])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(id): InPath<DeploymentId>,
    InQuery(wait): InQuery<WaitQuery>,
) -> Result<Response, Refusal> {
    let deployment = platform
        .deployment(&key.organisation, id, wait.after_state, wait.wait_ms)
        .await?;
    Ok(ok(&deployment))
}
