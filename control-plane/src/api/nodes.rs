//! `/v1/nodes`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nacre_protocol::api::commands::{ClaimNode, SignedCommand};
use nacre_protocol::api::{
    Challenge, DesiredState, Node, ObservedState, Page, RegisterNode, Registered,
};
use nacre_protocol::ids::NodeId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, json, ok};
use super::auth::{KeyHolder, NodeCaller, PerhapsKeyHolder};
use super::extract::{InBody, InPath, InQuery, check_limit, default_limit};
use super::functions::to_its_end;
use crate::traces;

/// Which nodes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NodeQuery {
    /// Only nodes that were registered for the caller's organisation.
    #[serde(default)]
    #[param(default = false)]
    own: bool,
    /// `next` of the page before.
    #[serde(default)]
    after: String,
    /// Most items, 1 to 1000; 100 if absent.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Lists nodes by id: the market, which is the same for every organisation.
#[utoipa::path(
    get,
    path = "/v1/nodes",
    operation_id = "listNodes",
    tag = "nodes",
    params(NodeQuery),
    responses(
        (status = 200, description = "A page of nodes", body = Page<Node>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(query): InQuery<NodeQuery>,
) -> Result<Response, Refusal> {
    let limit = check_limit(query.limit)?;
    let page = platform.nodes(&key.organisation, query.own, &query.after, limit);
    Ok(ok(&page.await?))
}

/// Makes a nonce for one registration; no token is needed. It leaves nothing behind, and no two are alike, so there is no
/// idempotency key here.
#[utoipa::path(
    post,
    path = "/v1/nodes/challenges",
    operation_id = "createChallenge",
    tag = "nodes",
    responses(
        (status = 201, description = "The nonce: used once, within a minute", body = Challenge),
    ),
    security(()),
)]
pub(super) async fn challenge(State(platform): State<Shared>) -> Result<Response, Refusal> {
    Ok(json(StatusCode::CREATED, &platform.challenge()?))
}

/// Registers a node, or its enclave's new boot. Instead of a token: the operator's signature, and evidence made for this
/// nonce, operator and node. The nonce stands for the idempotency key: it registers once, and the answer, which holds a
/// secret, is not kept. With an API key too, the node is its organisation's from then on; it stays its operator's alone. After a lost answer, register again with a new nonce; that voids the token that was lost.
#[utoipa::path(
    post,
    path = "/v1/nodes",
    operation_id = "registerNode",
    tag = "nodes",
    request_body = RegisterNode,
    responses(
        (status = 201, description = "The node is online; its former token has ended", body = Registered),
        (status = 400, description = "`json-syntax`, `body-incomplete`"),
        (status = 403, description = "`nonce-invalid`, `signature-invalid`, `evidence-refused`, `evidence-not-bound`, `operator-mismatch`"),
        (status = 409, description = "`boot-id-taken`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `endpoint-invalid`, `offer-out-of-range`"),
    ),
    security((), ("api_key" = ["nodes"])),
)]
pub(super) async fn register(
    State(platform): State<Shared>,
    PerhapsKeyHolder(key): PerhapsKeyHolder,
    body: InBody<RegisterNode>,
) -> Result<Response, Refusal> {
    let organisation = key.map(|key| key.organisation);
    let work = async move {
        let registered = platform.register_and_note(body.value, organisation.as_ref());
        registered.await
    };
    Ok(json(StatusCode::CREATED, &to_its_end(work).await?))
}

/// Which desired state the node knows.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DesiredQuery {
    /// The revision that the node has: the answer comes when it is another one. Absent: answer at once.
    after: Option<u64>,
    /// Longest wait in milliseconds; above 60,000 is 60,000. Absent: answer at once.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    wait_ms: u64,
}

/// What the node shall run. With `after` and `wait_ms`, answered when the revision is no longer `after`, or the time is
/// up. A registration makes a new revision.
#[utoipa::path(
    get,
    path = "/v1/nodes/{id}/desired",
    operation_id = "getDesiredState",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id"), DesiredQuery),
    responses(
        (status = 200, description = "The desired state", body = DesiredState),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn desired(
    State(platform): State<Shared>,
    caller: NodeCaller,
    InPath(id): InPath<NodeId>,
    InQuery(query): InQuery<DesiredQuery>,
) -> Result<Response, Refusal> {
    let id = caller.is(id)?;
    let asked = platform.desired(id, &caller.token, query.after, query.wait_ms);
    let (desired, trace) = asked.await?;
    let mut response = ok(&desired);
    if query.after != Some(desired.revision) {
        let news = traces::headers(trace.as_deref());
        response.headers_mut().extend(news);
    }
    Ok(response)
}

/// Takes a node's report: what it runs, and events of the functions that it runs or ran. A lease that is not listed
/// counts as loading. Silence takes the node offline.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/observed",
    operation_id = "reportObservedState",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id")),
    request_body = ObservedState,
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 409, description = "`boot-changed`: register the new boot"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `report-too-long`, `event-invalid`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn observed(
    State(platform): State<Shared>,
    caller: NodeCaller,
    InPath(id): InPath<NodeId>,
    body: InBody<ObservedState>,
) -> Result<StatusCode, Refusal> {
    let id = caller.is(id)?;
    to_its_end(async move { platform.observe(id, body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does what a node's operator says: the node leaves, stays, or asks another price. Instead of a token: the operator's
/// signature over a nonce, which is used once. A node that leaves keeps what it runs until that answers elsewhere, or
/// until the time is up; it is empty when its desired state is. The same announces its absence from then on, as
/// `POST /v1/nodes/{id}/drains` does.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/commands",
    operation_id = "commandNode",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id")),
    request_body = SignedCommand,
    responses(
        (status = 204, description = "It is done"),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 403, description = "`nonce-invalid`, `signature-invalid`"),
        (status = 409, description = "`too-many-drains`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `drain-too-late`, `drain-out-of-range`, `price-out-of-range`"),
    ),
    security(()),
)]
pub(super) async fn command(
    State(platform): State<Shared>,
    InPath(id): InPath<NodeId>,
    body: InBody<SignedCommand>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.command(id, body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a node the organisation's, as if it had been registered with this key: what its operator earned can be asked for with
/// the organisation's keys. It takes the operator's signature over a nonce, the node and this key's id; the node need not run.
#[utoipa::path(
    post,
    path = "/v1/nodes/claims",
    operation_id = "claimNode",
    tag = "nodes",
    request_body = ClaimNode,
    responses(
        (status = 204, description = "The node is the organisation's"),
        (status = 400, description = "`json-syntax`, `body-incomplete`"),
        (status = 403, description = "`nonce-invalid`, `signature-invalid`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`"),
    ),
    security(("api_key" = ["nodes"])),
)]
pub(super) async fn claim(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    body: InBody<ClaimNode>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.claim_node(&key, &body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
