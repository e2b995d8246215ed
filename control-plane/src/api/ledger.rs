//! `/v1/ledger`: balance, entries, caps and invoices; and what nodes report of usage.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::jobs::ReportUsage;
use nacre_protocol::api::ledger::{
    Balance, CapPeriod, Invoice, LedgerEntry, SetSpendingCap, SpendingCap,
};
use nacre_protocol::ids::{FunctionName, NodeId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::{KeyHolder, NodeCaller};
use super::extract::{InBody, InPath, InQuery, PageQuery, check_limit, default_limit};
use super::functions::to_its_end;
use crate::platform::customer_of;

/// Takes usage receipts that the node's enclave signed, in the order of their numbers. They are booked when this is answered,
/// each once however often it comes. A gap is noted, and closed when the missing ones come.
#[utoipa::path(
    post,
    path = "/v1/nodes/{id}/usage",
    operation_id = "reportUsage",
    tag = "nodes",
    params(("id" = String, Path, description = "The node's id")),
    request_body = ReportUsage,
    responses(
        (status = 204, description = "All of it is stored"),
        (status = 400, description = "`path-invalid`, `json-syntax`, `body-incomplete`"),
        (status = 403, description = "`usage-boot-foreign`"),
        (status = 409, description = "`usage-jump`: the receipts before it were booked"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `usage-too-long`, `usage-out-of-range`, `usage-signature-invalid`: nothing was booked"),
    ),
    security(("node_token" = [])),
)]
pub(super) async fn usage(
    State(platform): State<Shared>,
    caller: NodeCaller,
    InPath(id): InPath<NodeId>,
    body: InBody<ReportUsage>,
) -> Result<StatusCode, Refusal> {
    let id = caller.is(id)?;
    to_its_end(async move { platform.take_usage(id, body.value).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What the caller's organisation has, owes and may still use.
#[utoipa::path(
    get,
    path = "/v1/ledger/balance",
    operation_id = "getBalance",
    tag = "ledger",
    responses((status = 200, description = "The balance", body = Balance)),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn balance(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
) -> Result<Response, Refusal> {
    Ok(ok(&platform
        .balance(&customer_of(&caller.organisation)?)
        .await?))
}

/// Which part of the entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EntriesQuery {
    /// `next` of the page before, or the `id` of an entry.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    after: u64,
    /// Most items, 1 to 1000; 100 if absent.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: u32,
}

/// Entries that moved the organisation's money, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/ledger/entries",
    operation_id = "listEntries",
    tag = "ledger",
    params(EntriesQuery),
    responses(
        (status = 200, description = "A page of entries", body = Page<LedgerEntry>),
        (status = 400, description = "`query-invalid`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn entries(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InQuery(query): InQuery<EntriesQuery>,
) -> Result<Response, Refusal> {
    // No entry has a higher number.
    let after = query.after.min(i64::MAX as u64);
    let limit = check_limit(query.limit)?;
    let customer = customer_of(&caller.organisation)?;
    Ok(ok(&platform.entries(&customer, after, limit).await?))
}

/// The organisation's spending caps.
#[utoipa::path(
    get,
    path = "/v1/ledger/caps",
    operation_id = "listCaps",
    tag = "ledger",
    responses((status = 200, description = "All of them", body = Page<SpendingCap>)),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn caps(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
) -> Result<Response, Refusal> {
    let items = platform.caps(&customer_of(&caller.organisation)?).await?;
    Ok(ok(&Page { items, next: None }))
}

/// Sets the cap of this function (or of all together) and period, in place of the one before. Work stops before it would be
/// passed: leases end when what they can cost until their next receipts is no longer covered, and the deployment's `reason`
/// begins with `spending-cap`. Where more than the limit is spent already, work stops at once.
#[utoipa::path(
    put,
    path = "/v1/ledger/caps",
    operation_id = "setCap",
    tag = "ledger",
    request_body = SetSpendingCap,
    responses(
        (status = 200, description = "The cap, and what counts against it", body = SpendingCap),
        (status = 400, description = "`json-syntax`, `body-incomplete`"),
        (status = 404, description = "`function-not-found`"),
        (status = 413, description = "`body-too-long`"),
        (status = 415, description = "`content-type`"),
        (status = 422, description = "`json-invalid`, `cap-out-of-range`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn set_cap(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    body: InBody<SetSpendingCap>,
) -> Result<Response, Refusal> {
    let work = async move { platform.set_cap(&caller.organisation, body.value).await };
    Ok(ok(&to_its_end(work).await?))
}

/// Which cap.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CapQuery {
    /// The function's; absent: that of all together.
    #[param(value_type = Option<String>)]
    function: Option<FunctionName>,
    /// In which span it counts.
    #[param(inline)]
    period: CapPeriod,
}

/// Takes a cap away. What it stopped goes on within a second or so.
#[utoipa::path(
    delete,
    path = "/v1/ledger/caps",
    operation_id = "removeCap",
    tag = "ledger",
    params(CapQuery),
    responses(
        (status = 204, description = "It counts no more"),
        (status = 400, description = "`query-invalid`"),
        (status = 404, description = "`cap-not-found`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn remove_cap(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InQuery(query): InQuery<CapQuery>,
) -> Result<StatusCode, Refusal> {
    let customer = customer_of(&caller.organisation)?;
    let work = async move {
        platform
            .remove_cap(&customer, query.function.as_ref(), query.period)
            .await
    };
    to_its_end(work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Invoices that were issued, the oldest first, without their lines.
#[utoipa::path(
    get,
    path = "/v1/ledger/invoices",
    operation_id = "listInvoices",
    tag = "ledger",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of invoices", body = Page<Invoice>),
        (status = 400, description = "`query-invalid`"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn invoices(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let customer = customer_of(&caller.organisation)?;
    let limit = page.limit()?;
    Ok(ok(&platform
        .invoices(&customer, &page.after, limit)
        .await?))
}

/// A month's invoice, `2026-11` in UTC; `now` is the current month. Before it is issued, an hour after the month's end, it says
/// what has been charged so far.
#[utoipa::path(
    get,
    path = "/v1/ledger/invoices/{month}",
    operation_id = "getInvoice",
    tag = "ledger",
    params(("month" = String, Path, description = "`2026-11`, or `now`")),
    responses(
        (status = 200, description = "The invoice", body = Invoice),
        (status = 400, description = "`path-invalid`"),
        (status = 404, description = "`invoice-not-found`: it has not begun"),
    ),
    security(("api_key" = ["billing"])),
)]
pub(super) async fn invoice(
    State(platform): State<Shared>,
    KeyHolder(caller): KeyHolder,
    InPath(month): InPath<String>,
) -> Result<Response, Refusal> {
    let customer = customer_of(&caller.organisation)?;
    let month = Some(month.as_str()).filter(|month| *month != "now");
    Ok(ok(&platform.invoice(&customer, month).await?))
}
