//! What replicas that follow the load have to do: requests in them, and callers that wait at gateways.

use nacre_protocol::api::market::Demand;
use nacre_protocol::ids::{FunctionName, LeaseId};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// The load of a function whose replicas follow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    /// The function.
    pub function: FunctionName,
    /// Requests in its replicas, and callers that wait.
    pub in_flight: u32,
    /// How long the oldest of them has waited, milliseconds.
    pub oldest_wait_ms: u64,
    /// Whether the market knows it otherwise.
    pub is_news: bool,
}

/// The load of all functions whose replicas follow it. Silent nodes say nothing, and neither do gateways that said it
/// before `since_ms`.
pub(crate) async fn all(on: &mut Connection, since_ms: u64) -> Result<Vec<Load>, StoreError> {
    // Deployments without scaling have no such terms; it is the first field.
    let rows = query(
        r#"SELECT o.function, o.in_flight AS told, o.oldest_wait_ms AS told_wait,
             CAST(COALESCE((SELECT SUM(l.in_flight) FROM leases l JOIN nodes n ON n.id = l.node
                 WHERE l.function = o.function AND l.ended_ms IS NULL AND n.online = TRUE), 0) AS BIGINT) AS inside,
             CAST(COALESCE((SELECT MAX(l.oldest_wait_ms) FROM leases l JOIN nodes n ON n.id = l.node
                 WHERE l.function = o.function AND l.ended_ms IS NULL AND n.online = TRUE), 0) AS BIGINT) AS inside_wait,
             CAST(COALESCE((SELECT SUM(w.waiting) FROM demand w
                 WHERE w.function = o.function AND w.at_ms >= $1), 0) AS BIGINT) AS outside,
             CAST(COALESCE((SELECT MAX(w.oldest_wait_ms) FROM demand w
                 WHERE w.function = o.function AND w.at_ms >= $1), 0) AS BIGINT) AS outside_wait
         FROM orders o JOIN deployments d ON d.function = o.function
         WHERE d.replaced_by IS NULL AND d.canary_weight IS NULL AND d.terms LIKE '{"scaling":%'
         ORDER BY o.function"#,
    )
    .bind(big(since_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            let sum = row.number::<u64>("inside")? + row.number::<u64>("outside")?;
            let in_flight = u32::try_from(sum).unwrap_or(u32::MAX);
            let inside: u64 = row.number("inside_wait")?;
            let oldest_wait_ms = inside.max(row.number("outside_wait")?);
            let told = (row.number("told")?, row.number("told_wait")?);
            Ok(Load {
                function: row.parsed("function")?,
                in_flight,
                oldest_wait_ms,
                is_news: told != (in_flight, oldest_wait_ms),
            })
        })
        .collect()
}

/// What a node last said that a lease has to do.
pub(crate) async fn of_lease(
    on: &mut Connection,
    lease: &LeaseId,
    in_flight: Option<u32>,
    oldest_wait_ms: Option<u64>,
) -> Result<(), StoreError> {
    query("UPDATE leases SET in_flight = $1, oldest_wait_ms = $2 WHERE id = $3")
        .bind(in_flight.map(i64::from))
        .bind(oldest_wait_ms.map(big).transpose()?)
        .bind(lease.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Who waits at a gateway, in place of what it said before.
pub(crate) async fn of_gateway(
    on: &mut Connection,
    function: &FunctionName,
    demand: &Demand,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO demand (function, source, waiting, oldest_wait_ms, at_ms)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (function, source) DO UPDATE SET waiting = excluded.waiting,
             oldest_wait_ms = excluded.oldest_wait_ms, at_ms = excluded.at_ms",
    )
    .bind(function.as_str())
    .bind(&demand.source)
    .bind(i64::from(demand.waiting))
    .bind(big(demand.oldest_wait_ms)?)
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Forgets what gateways said before `before_ms`.
pub(crate) async fn forget_demand(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM demand WHERE at_ms < $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
