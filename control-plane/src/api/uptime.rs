//! `/v1/uptime`: what watchers say, and what comes of it.

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{
    AnnounceDrain, AnnouncedDrain, MAX_REPORT_SLOTS, PostCommit, PostReveal, REVEAL_HEADER,
    RevealTicket, SlashRecord, TicketError, UptimeReport, WatcherRecord,
};
use nacre_uptime::EvidenceRecord;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, json, ok};
use super::auth::{Caller, KeyHolder, NodeCaller};
use super::extract::{InBody, InPath, InQuery, PageQuery, body_error};
use super::functions::to_its_end;
use crate::error::{Error, RequestError, UptimeError};
use crate::platform::Principal;

/// Says how time is cut here: slots of so many milliseconds, epochs and windows of so many slots, and for how many slots after
/// an epoch commitments, then reveals, are taken.
#[utoipa::path(
    get,
    path = "/v1/uptime/schedule",
    operation_id = "getUptimeSchedule",
    tag = "uptime",
    responses((status = 200, description = "The schedule", body = serde_json::Value)),
    security(()),
)]
pub(super) async fn schedule(State(platform): State<Shared>) -> Response {
    ok(&platform.schedule())
}

/// Takes a watcher's commitment to an epoch, from the epoch's end until reveals begin. The watcher's signature stands for a
/// token, and the epoch for the idempotency key.
#[utoipa::path(
    post,
    path = "/v1/uptime/commits",
    operation_id = "postUptimeCommit",
    tag = "uptime",
    request_body = PostCommit,
    responses(
        (status = 204, description = "Taken, now or before"),
        (status = 400, description = "`json-syntax`, `body-incomplete`"),
        (status = 403, description = "`uptime-signature-invalid`, `watcher-unknown`"),
        (status = 409, description = "`uptime-schedule-differs`, `uptime-not-open`, `commit-differs`: another one stands, and this one is kept beside it"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`"),
    ),
    security(()),
)]
pub(super) async fn commit(
    State(platform): State<Shared>,
    body: InBody<PostCommit>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.take_commit(body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes what a watcher committed to. The header `nacre-reveal` is checked before the body is read. A reveal that is not what
/// was committed to is refused, and kept as the watcher's word against itself unless the right one comes.
#[utoipa::path(
    post,
    path = "/v1/uptime/reveals",
    operation_id = "postUptimeReveal",
    tag = "uptime",
    params(("nacre-reveal" = String, Header, description = "WATCHER:EPOCH:SIGNATURE, the body's own fields")),
    request_body = PostReveal,
    responses(
        (status = 204, description = "Taken, now or before"),
        (status = 400, description = "`reveal-header-invalid`, `body-incomplete`"),
        (status = 403, description = "`uptime-signature-invalid`; also where nothing was committed to"),
        (status = 409, description = "`uptime-not-open`"),
        (status = 413, description = "`body-too-long`"),
        (status = 422, description = "`json-invalid`, `uptime-rows-invalid`, `uptime-revealed-otherwise`"),
    ),
    security(()),
)]
pub(super) async fn reveal(
    State(platform): State<Shared>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let ticket = ticket(&request).map_err(UptimeError::from)?;
    platform.admit_reveal(&ticket).await?;
    let body = Bytes::from_request(request, &platform).await;
    let body = String::from_utf8(body.map_err(body_error)?.into());
    let body = body.map_err(|error| RequestError::Shape(error.to_string()))?;
    to_its_end(async move { platform.take_reveal(ticket, body).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn ticket(request: &Request) -> Result<RevealTicket, TicketError> {
    let mut all = request.headers().get_all(REVEAL_HEADER).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().map_err(|_| TicketError)?.parse(),
        _ => Err(TicketError),
    }
}

/// Takes an evidence record of a watcher that said "down" where its own nonce was answered. Only that watcher's word on that
/// slot is overturned, until the window is settled.
#[utoipa::path(
    post,
    path = "/v1/uptime/disputes",
    operation_id = "postUptimeDispute",
    tag = "uptime",
    request_body = serde_json::Value,
    responses(
        (status = 204, description = "Overturned, now or before"),
        (status = 400, description = "`json-syntax`, `body-incomplete`"),
        (status = 409, description = "`dispute-closed`, `nothing-to-overturn`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `evidence-…`, `dispute-…`, or a result code of the evidence's"),
    ),
    security(("api_key" = ["nodes"])),
)]
pub(super) async fn dispute(
    State(platform): State<Shared>,
    _: KeyHolder,
    body: InBody<EvidenceRecord>,
) -> Result<StatusCode, Refusal> {
    to_its_end(async move { platform.dispute(body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which part of a report.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportQuery {
    /// The node's id.
    #[param(value_type = String)]
    node: NodeId,
    /// The first slot; absent: as far back as the last window.
    from: Option<u64>,
    /// The slot after the last; absent: all that are judged.
    to: Option<u64>,
    /// Most slots of a page, 1 to 360.
    #[serde(default = "whole_page")]
    #[param(minimum = 1, maximum = 360, default = 360)]
    limit: u64,
}

fn whole_page() -> u64 {
    MAX_REPORT_SLOTS
}

/// Shows what each watcher saw of a node, slot by slot, and what came of it. `next` is `from` of the next page.
#[utoipa::path(
    get,
    path = "/v1/uptime/report",
    operation_id = "getUptimeReport",
    tag = "uptime",
    params(ReportQuery),
    responses(
        (status = 200, description = "Judged slots, rising", body = UptimeReport),
        (status = 400, description = "`query-invalid`"),
        (status = 404, description = "`node-not-found`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn report(
    State(platform): State<Shared>,
    _: KeyHolder,
    InQuery(query): InQuery<ReportQuery>,
) -> Result<Response, Refusal> {
    let bounds = (query.from, query.to);
    let report = platform.uptime_report(query.node, bounds, query.limit);
    Ok(ok(&report.await?))
}

/// Lists slashes with all that their amounts follow from, the newest window first.
#[utoipa::path(
    get,
    path = "/v1/uptime/slashes",
    operation_id = "listSlashes",
    tag = "uptime",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of slashes", body = Page<SlashRecord>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn slashes(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.slashes(&key.organisation, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}

/// Lists the watchers that may report, or might: who adds them is whoever runs the platform, so they are few.
#[utoipa::path(
    get,
    path = "/v1/uptime/watchers",
    operation_id = "listWatchers",
    tag = "uptime",
    responses((status = 200, description = "All watchers, by id", body = Vec<WatcherRecord>)),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"])),
)]
pub(super) async fn watchers(
    State(platform): State<Shared>,
    _: KeyHolder,
) -> Result<Response, Refusal> {
    Ok(ok(&platform.watchers().await?))
}

/// Announces that a node will be gone: the node's own to say. What watchers miss of it meanwhile is excused as far as the notice
/// and the month's budget go. Ten minutes before it begins its replicas begin to move elsewhere, as by the operator's command
/// `drain`, and no new ones come until it is over. The same drain sent again is the same one.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/drains",
    operation_id = "announceDrain",
    tag = "uptime",
    params(("id" = String, Path, description = "The node's id")),
    request_body = AnnounceDrain,
    responses(
        (status = 201, description = "Announced, now or before", body = AnnouncedDrain),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 404, description = "`node-not-found`"),
        (status = 409, description = "`drain-differs`, `too-many-drains`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `drain-out-of-range`"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn announce(
    State(platform): State<Shared>,
    caller: NodeCaller,
    InPath(id): InPath<NodeId>,
    body: InBody<AnnounceDrain>,
) -> Result<Response, Refusal> {
    let id = caller.is(id)?;
    let work = async move { platform.announce_drain(id, body.value).await };
    Ok(json(StatusCode::CREATED, &to_its_end(work).await?))
}

/// Lists a node's drains that have not ended.
#[utoipa::path(
    get,
    path = "/v1/nodes/{id}/drains",
    operation_id = "listDrains",
    tag = "uptime",
    params(("id" = String, Path, description = "The node's id")),
    responses(
        (status = 200, description = "In order", body = Vec<AnnouncedDrain>),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`node-not-found`"),
    ),
    security(("api_key" = ["functions:read"]), ("api_key" = ["nodes"]), ("node_token" = [])),
)]
pub(super) async fn drains(
    State(platform): State<Shared>,
    caller: Caller,
    InPath(id): InPath<NodeId>,
) -> Result<Response, Refusal> {
    own(caller, id)?;
    Ok(ok(&platform.drains(id).await?))
}

/// An API key sees all nodes; a node's token opens its own paths only.
fn own(Caller(caller): Caller, node: NodeId) -> Result<(), Error> {
    match caller {
        Principal::Node(id) if id != node => {
            Err(Error::Forbidden("a node's token opens its own paths only"))
        }
        Principal::Gateway(_) => Err(Error::Forbidden("this needs an organisation's key")),
        Principal::Node(_) | Principal::Key(_) => Ok(()),
    }
}
