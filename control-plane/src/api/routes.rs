//! `/v1/routes` and `/v1/functions/{name}/demand`: what gateways ask and say.

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::market::{Demand, FunctionRoutes};
use nacre_protocol::ids::FunctionName;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::Caller;
use super::extract::{InBody, InPath, InQuery, PageQuery};
use super::functions::to_its_end;
use crate::error::Error;
use crate::platform::{Principal, Served};

/// A gateway: the platform's own, or one of an organisation.
pub(super) struct GatewayCaller(Served);

impl FromRequestParts<Shared> for GatewayCaller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, platform: &Shared) -> Result<Self, Refusal> {
        match Caller::from_request_parts(parts, platform).await?.0 {
            Principal::Gateway(_) => Ok(Self(Served::All)),
            Principal::Key(key) => Ok(Self(Served::Of(key.organisation))),
            Principal::Node(_) => Err(Error::Forbidden("this needs an API key").into()),
        }
    }
}

/// Lists by name where the requests of functions go that are deployed: of all organisations for a key of the platform's
/// gateways, of its own for a key of an organisation.
#[utoipa::path(
    get,
    path = "/v1/routes",
    operation_id = "listRoutes",
    tag = "deployments",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of functions with their routes", body = Page<FunctionRoutes>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["gateway"]), ("api_key" = ["functions:read"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    GatewayCaller(served): GatewayCaller,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.routes(&served, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}

/// Takes a gateway's word about callers who wait there because no replica answers, so that a function that sleeps wakes.
/// It counts for 10 seconds, and stands in place of what that gateway said before. It changes nothing for a function
/// whose replicas do not follow the load.
#[utoipa::path(
    post,
    path = "/v1/functions/{name}/demand",
    operation_id = "reportDemand",
    tag = "deployments",
    params(("name" = String, Path, description = "The function's name")),
    request_body = Demand,
    responses(
        (status = 204, description = "Taken"),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 404, description = "`function-not-found`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`"),
    ),
    security(("api_key" = ["gateway"]), ("api_key" = ["functions:read"])),
)]
pub(super) async fn demand(
    State(platform): State<Shared>,
    GatewayCaller(served): GatewayCaller,
    InPath(name): InPath<FunctionName>,
    body: InBody<Demand>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.demand(&served, &name, body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}
