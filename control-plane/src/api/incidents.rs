//! `/v1/incidents`, `/v1/conduct`: what nodes did that honest ones do not, and what it makes of them.

use axum::extract::State;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::incidents::{Conduct, Incident};
use nacre_protocol::ids::NodeId;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{InQuery, PageQuery, check_limit, default_limit};

/// Which incidents.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IncidentsQuery {
    /// Of this node only.
    #[param(value_type = Option<String>)]
    node: Option<NodeId>,
    /// `next` of the page before.
    #[serde(default)]
    after: String,
    /// Most items, 1 to 1000; 100 if absent.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Lists what nodes did that honest ones do not, the latest first. A job is named where it is the caller's own.
#[utoipa::path(
    get,
    path = "/v1/incidents",
    operation_id = "listIncidents",
    tag = "nodes",
    params(IncidentsQuery),
    responses(
        (status = 200, description = "A page of incidents", body = Page<Incident>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(query): InQuery<IncidentsQuery>,
) -> Result<Response, Refusal> {
    let limit = check_limit(query.limit)?;
    let page = platform
        .incidents(&key.organisation, query.node.as_ref(), &query.after, limit)
        .await?;
    Ok(ok(&page))
}

/// Lists nodes by id, each with the score that its incidents of the last seven days leave it.
#[utoipa::path(
    get,
    path = "/v1/conduct",
    operation_id = "listConduct",
    tag = "nodes",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of nodes", body = Page<Conduct>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn conduct(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.conduct(&key.organisation, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}
