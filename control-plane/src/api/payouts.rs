//! `/v1/ledger/operators` and `/v1/ledger/payouts`: what operators earned, and how they come by it.

use axum::extract::State;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::payouts::{AskPayout, OperatorBalance, Payout};
use nacre_protocol::ids::{OperatorId, PayoutId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{InBody, InPath, InQuery, PageQuery, check_limit, default_limit};
use super::functions::to_its_end;
use crate::platform::Answer;

/// What the operators of the organisation's nodes earned, asked for and were paid. Nodes are an organisation's if they were
/// registered with a key of its own, or claimed with one (`POST /v1/nodes/claims`).
#[utoipa::path(
    get,
    path = "/v1/ledger/operators",
    operation_id = "listOperators",
    tag = "ledger",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of operators", body = Page<OperatorBalance>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn operators(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let limit = page.limit()?;
    let operators = platform.operators(&caller.organisation, &page.after, limit);
    Ok(ok(&operators.await?))
}

/// Asks that an operator of one of the organisation's nodes be paid, all that is available or less. What was asked for cannot
/// be asked for again; it is paid by whoever runs the platform, under a reference of the payment's own.
#[utoipa::path(
    post,
    path = "/v1/ledger/payouts",
    operation_id = "askPayout",
    tag = "ledger",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters; the answer is kept for 24 h")),
    request_body = AskPayout,
    responses(
        (status = 201, description = "It is asked for", body = Payout),
        (status = 400, description = "`json-syntax`, `body-incomplete`, `idempotency-key-invalid`"),
        (status = 404, description = "`operator-not-found`"),
        (status = 409, description = "`payout-not-earned`, `idempotency-key-reused`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `payout-out-of-range`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn ask(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    body: InBody<AskPayout>,
) -> Result<Answer, Refusal> {
    let once = body.once(&key)?;
    let organisation = key.organisation;
    let work = async move {
        let asked = platform.ask_payout(&organisation, &body.value, once.as_ref());
        asked.await
    };
    Ok(to_its_end(work).await?)
}

/// Which payouts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PayoutsQuery {
    /// Only this operator's.
    #[param(value_type = Option<String>)]
    operator: Option<OperatorId>,
    /// `next` of the page before.
    #[serde(default)]
    #[param(default = "")]
    after: String,
    /// Most items, 1 to 1000; 100 if absent.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// What was asked for, paid and withdrawn, the latest first.
#[utoipa::path(
    get,
    path = "/v1/ledger/payouts",
    operation_id = "listPayouts",
    tag = "ledger",
    params(PayoutsQuery),
    responses(
        (status = 200, description = "A page of payouts", body = Page<Payout>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InQuery(query): InQuery<PayoutsQuery>,
) -> Result<Response, Refusal> {
    let limit = check_limit(query.limit)?;
    let (organisation, operator) = (&caller.organisation, query.operator.as_ref());
    let page = platform.payouts(organisation, operator, &query.after, limit);
    Ok(ok(&page.await?))
}

/// Where a payout stands.
#[utoipa::path(
    get,
    path = "/v1/ledger/payouts/{id}",
    operation_id = "getPayout",
    tag = "ledger",
    params(("id" = String, Path, description = "The payout's id")),
    responses(
        (status = 200, description = "The payout", body = Payout),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`payout-not-found`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InPath(id): InPath<PayoutId>,
) -> Result<Response, Refusal> {
    Ok(ok(&platform.payout(&caller.organisation, id).await?))
}

/// Takes a wish back that was not paid yet; taken back twice is taken back.
#[utoipa::path(
    delete,
    path = "/v1/ledger/payouts/{id}",
    operation_id = "withdrawPayout",
    tag = "ledger",
    params(("id" = String, Path, description = "The payout's id")),
    responses(
        (status = 200, description = "It is withdrawn", body = Payout),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`payout-not-found`"),
        (status = 409, description = "`payout-paid`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn withdraw(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InPath(id): InPath<PayoutId>,
) -> Result<Response, Refusal> {
    let work = async move { platform.withdraw_payout(&caller.organisation, id).await };
    Ok(ok(&to_its_end(work).await?))
}
