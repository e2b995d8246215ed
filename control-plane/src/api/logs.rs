//! `/v1/functions/{name}/logs`

use axum::extract::State;
use axum::response::Response;
use nacre_protocol::api::{LogLine, Page};
use nacre_protocol::ids::FunctionName;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Shared;
use super::answer::{Refusal, ok};
use super::auth::KeyHolder;
use super::extract::{InPath, InQuery, check_limit};

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// The id of the last line that the caller has; 0 if absent.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    after: u64,
    /// Most lines, 1 to 1000.
    #[serde(default = "default_limit")]
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: u32,
    /// Longest wait for a line in milliseconds; above 60,000 is 60,000. Absent: answer at once.
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    wait_ms: u64,
}

fn default_limit() -> u32 {
    crate::platform::MAX_PAGE
}

/// Lines of a function's log, oldest first; the newest 10,000 are kept. With `wait_ms`, answered when there is a line.
/// `next` is there when more lines are stored; to follow the log, pass the last line's `id` as `after`.
#[utoipa::path(
    get,
    path = "/v1/functions/{name}/logs",
    operation_id = "getLogs",
    tag = "functions",
    params(("name" = String, Path, description = "The function's name"), LogQuery),
    responses(
        (status = 200, description = "A page of lines", body = Page<LogLine>),
        (status = 400, description = "`path-invalid`, `query-invalid`"),
        (status = 404, description = "`function-not-found`"),
    ),
    security(("api_key" = ["functions:read"])),
)]
pub(super) async fn get(
    State(platform): State<Shared>,
    KeyHolder(key): KeyHolder,
    InPath(name): InPath<FunctionName>,
    InQuery(query): InQuery<LogQuery>,
) -> Result<Response, Refusal> {
    let limit = check_limit(query.limit)?;
    Ok(ok(&platform
        .logs(&key.organisation, &name, query.after, limit, query.wait_ms)
        .await?))
}
