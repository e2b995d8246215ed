//! `/v1/audit`

use axum::extract::State;
use axum::response::Response;
use nacre_protocol::api::Page;
use nacre_protocol::api::audit::AuditEntry;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{InQuery, PageQuery};

/// What the organisation's keys did, the latest first: every request that was to change something, every refusal for want of
/// a scope, and keys that were refused as such (a wrong secret, a revoked or expired key). What only looks is not noted.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "listAudit",
    tag = "keys",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of entries", body = Page<AuditEntry>),
        (status = 400, description = "`query-invalid`, `cursor-invalid`"),
    ),
    security(("api_key" = ["admin"])),
)]
pub(super) async fn list(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InQuery(page): InQuery<PageQuery>,
) -> Result<Response, Refusal> {
    let page = platform.audit(&key.organisation, &page.after, page.limit()?);
    Ok(ok(&page.await?))
}
