//! What replicas that follow the load have to do: requests in them, and callers that wait at gateways.
//!
//! A function's load is summed up when something of it changes (`orders.look_ms` is 0 from then on) or when a gateway's word
//! grows old (it is that time), and not otherwise: a tick costs what changed, not what there is.

use nacre_protocol::api::market::Demand;
use nacre_protocol::ids::{FunctionName, LeaseId, NodeId};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// The load of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Load {
    /// The function.
    pub function: FunctionName,
    /// Requests in its replicas, and callers that wait.
    pub in_flight: u32,
    /// How long the oldest of them has waited, milliseconds.
    pub oldest_wait_ms: u64,
    /// Whether its replicas follow the load, and the market knows it otherwise.
    pub is_news: bool,
    /// When the first gateway that said that somebody waits last said so.
    pub said_ms: Option<u64>,
}

/// Deployments without scaling have no such terms; it is the first field.
macro_rules! follows {
    () => {
        r#"EXISTS (SELECT 1 FROM deployments d WHERE d.function = orders.function
             AND d.replaced_by IS NULL AND d.canary_weight IS NULL AND d.terms LIKE '{"scaling":%')"#
    };
}

/// Whether anything is to be summed up.
pub(crate) async fn any_due(on: &mut Connection, now_ms: u64) -> Result<bool, StoreError> {
    let row = query("SELECT 1 FROM orders WHERE look_ms <= $1 LIMIT 1")
        .bind(big(now_ms)?)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// The load of functions of which anything changed, at most `limit` of them. Silent nodes say nothing, and neither do gateways
/// that said it before `since_ms`.
pub(crate) async fn due(
    on: &mut Connection,
    (now_ms, since_ms): (u64, u64),
    limit: u32,
) -> Result<Vec<Load>, StoreError> {
    let rows = query(concat!(
        "SELECT orders.function, orders.in_flight AS told, orders.oldest_wait_ms AS told_wait,
             CAST(COALESCE((SELECT SUM(l.in_flight) FROM leases l JOIN nodes n ON n.id = l.node
                 WHERE l.function = orders.function AND l.ended_ms IS NULL AND n.online = TRUE), 0) AS BIGINT) AS inside,
             CAST(COALESCE((SELECT MAX(l.oldest_wait_ms) FROM leases l JOIN nodes n ON n.id = l.node
                 WHERE l.function = orders.function AND l.ended_ms IS NULL AND n.online = TRUE), 0) AS BIGINT) AS inside_wait,
             CAST(COALESCE((SELECT SUM(w.waiting) FROM demand w
                 WHERE w.function = orders.function AND w.at_ms >= $1), 0) AS BIGINT) AS outside,
             CAST(COALESCE((SELECT MAX(w.oldest_wait_ms) FROM demand w
                 WHERE w.function = orders.function AND w.at_ms >= $1), 0) AS BIGINT) AS outside_wait,
             CAST((SELECT MIN(w.at_ms) FROM demand w WHERE w.function = orders.function
                 AND w.at_ms >= $1 AND (w.waiting > 0 OR w.oldest_wait_ms > 0)) AS BIGINT) AS said_ms,
             CASE WHEN ",
        follows!(),
        " THEN 1 ELSE 0 END AS follows
         FROM orders WHERE orders.look_ms <= $2 ORDER BY orders.look_ms, orders.function LIMIT $3"
    ))
    .bind(big(since_ms)?)
    .bind(big(now_ms)?)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            let sum = row.number::<u64>("inside")? + row.number::<u64>("outside")?;
            let in_flight = u32::try_from(sum).unwrap_or(u32::MAX);
            let inside: u64 = row.number("inside_wait")?;
            let oldest_wait_ms = inside.max(row.number("outside_wait")?);
            let told = (row.number("told")?, row.number("told_wait")?);
            let follows = row.flag("follows")?;
            Ok(Load {
                function: row.parsed("function")?,
                in_flight,
                oldest_wait_ms,
                is_news: follows && told != (in_flight, oldest_wait_ms),
                said_ms: row.number_opt("said_ms")?.filter(|_| follows),
            })
        })
        .collect()
}

/// It was summed up, and is to be again at this time, or when something changes.
pub(crate) async fn looked(
    on: &mut Connection,
    function: &FunctionName,
    again_ms: Option<u64>,
) -> Result<(), StoreError> {
    query("UPDATE orders SET look_ms = $1 WHERE function = $2")
        .bind(again_ms.map(big).transpose()?)
        .bind(function.as_str())
        .execute(on)
        .await?;
    Ok(())
}

/// What a node's leases have to do counts, or does not any more.
pub(crate) async fn of_node(on: &mut Connection, node: &NodeId) -> Result<(), StoreError> {
    query(concat!(
        "UPDATE orders SET look_ms = 0 WHERE function IN (
             SELECT function FROM leases WHERE node = $1 AND ended_ms IS NULL) AND ",
        follows!()
    ))
    .bind(node.to_string())
    .execute(on)
    .await?;
    Ok(())
}

/// A lease has something else to do, or ended.
pub(crate) async fn changed(on: &mut Connection, lease: &LeaseId) -> Result<(), StoreError> {
    query(concat!(
        "UPDATE orders SET look_ms = 0 WHERE function = (SELECT function FROM leases WHERE id = $1) AND ",
        follows!()
    ))
    .bind(lease.to_string())
    .execute(on)
    .await?;
    Ok(())
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
        .execute(&mut *on)
        .await?;
    changed(on, lease).await
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
    .execute(&mut *on)
    .await?;
    looked(on, function, Some(0)).await
}

/// Forgets what gateways said before `before_ms`.
pub(crate) async fn forget_demand(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM demand WHERE at_ms < $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
