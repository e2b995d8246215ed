//! Orders: deployments as the market reads them.

use nacre_protocol::api::market::{Route, RouteNode};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName};
use nacre_scheduler::{Order, Version};
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError};
use crate::terms::{Asked, More};

/// A deployment with the memory of its version, and whose it is.
macro_rules! deployments {
    ($which:literal) => {
        concat!(
            "SELECT d.id, d.function, d.digest, d.replicas, d.max_price, d.cpu_milli, d.terms,
                    d.canary_weight, d.created_ms, v.memory_bytes, f.organisation
             FROM deployments d JOIN versions v ON v.digest = d.digest
             JOIN functions f ON f.name = d.function ",
            $which
        )
    };
}

/// The order that a deployment makes.
pub(crate) async fn of(
    on: &mut Connection,
    id: &DeploymentId,
) -> Result<Option<Order>, StoreError> {
    let row = query(deployments!("WHERE d.id = $1"))
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The orders of all live deployments, oldest first; those that wait for money are none.
pub(crate) async fn live(on: &mut Connection) -> Result<Vec<Order>, StoreError> {
    let rows = query(deployments!(
        "WHERE d.replaced_by IS NULL AND d.canary_weight IS NULL AND NOT EXISTS (
             SELECT 1 FROM spending_stops s WHERE s.function = d.function)
         ORDER BY d.created_ms, d.id"
    ))
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

/// The order of a function's live deployment.
pub(crate) async fn live_of(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Option<Order>, StoreError> {
    let row = query(deployments!(
        "WHERE d.function = $1 AND d.replaced_by IS NULL AND d.canary_weight IS NULL"
    ))
    .bind(function.as_str())
    .fetch_optional(on)
    .await?;
    row.as_ref().map(read).transpose()
}

/// The version that going back would turn to, as it was last said.
pub(crate) async fn previous(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Option<Version>, StoreError> {
    let row = query(deployments!(
        "JOIN orders o ON o.previous = d.id WHERE o.function = $1"
    ))
    .bind(function.as_str())
    .fetch_optional(on)
    .await?;
    row.as_ref().map(read_version).transpose()
}

/// The version on trial, with its part of the requests.
pub(crate) async fn on_trial(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Option<(Version, u32)>, StoreError> {
    let row = query(deployments!(
        "WHERE d.function = $1 AND d.replaced_by IS NULL AND d.canary_weight IS NOT NULL"
    ))
    .bind(function.as_str())
    .fetch_optional(on)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((read_version(&row)?, row.number("canary_weight")?)))
}

/// What a deployment asks.
pub(crate) async fn asked(
    on: &mut Connection,
    id: &DeploymentId,
) -> Result<Option<Asked>, StoreError> {
    let row = query(deployments!("WHERE d.id = $1"))
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read_asked).transpose()
}

fn read(row: &AnyRow) -> Result<Order, StoreError> {
    Ok(Order {
        function: row.parsed("function")?,
        version: read_version(row)?,
        terms: read_asked(row)?.terms(row.text("organisation")?),
    })
}

fn read_version(row: &AnyRow) -> Result<Version, StoreError> {
    Ok(Version {
        deployment: row.parsed("id")?,
        digest: row.parsed("digest")?,
        memory_bytes: row.number("memory_bytes")?,
        cpu_milli: row.number("cpu_milli")?,
    })
}

fn read_asked(row: &AnyRow) -> Result<Asked, StoreError> {
    Ok(Asked {
        replicas: row.number("replicas")?,
        cpu_milli: row.number("cpu_milli")?,
        max_price: row.number_opt("max_price")?,
        more: read_more(row)?,
    })
}

/// The column `terms`.
pub(crate) fn read_more(row: &AnyRow) -> Result<More, StoreError> {
    let Some(json) = row.text_opt("terms")? else {
        return Ok(More::default());
    };
    serde_json::from_str(&json).map_err(|_| StoreError::Corrupt("terms"))
}

/// What the market last said of a function's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Replicas wanted of the live deployment.
    pub target: u32,
    /// Of the one on trial.
    pub canary: u32,
    /// The deployment that going back would turn to.
    pub previous: Option<DeploymentId>,
    /// Why replicas are missing.
    pub shortage: Option<String>,
}

/// What the market last said of a function's order; nothing of one that was never ordered.
pub(crate) async fn said(on: &mut Connection, function: &FunctionName) -> Result<Said, StoreError> {
    let row = query("SELECT * FROM orders WHERE function = $1")
        .bind(function.as_str())
        .fetch_optional(on)
        .await?;
    let Some(row) = row else {
        return Ok(Said::default());
    };
    Ok(Said {
        target: row.number("target")?,
        canary: row.number("canary")?,
        previous: row.parsed_opt("previous")?,
        shortage: row.text_opt("shortage")?,
    })
}

/// Where a function's requests go: each version, with the nodes that answer.
pub(crate) async fn routes(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Vec<Route>, StoreError> {
    let rows = query("SELECT * FROM routes WHERE function = $1 ORDER BY digest")
        .bind(function.as_str())
        .fetch_all(&mut *on)
        .await?;
    let mut routes = Vec::with_capacity(rows.len());
    for row in &rows {
        let digest: Digest = row.parsed("digest")?;
        let nodes = query(
            "SELECT l.node, n.endpoint
             FROM leases l JOIN deployments d ON d.id = l.deployment JOIN nodes n ON n.id = l.node
             WHERE l.function = $1 AND d.digest = $2 AND l.ended_ms IS NULL
               AND l.state = 'ready' AND l.draining_ms IS NULL
             ORDER BY l.granted_ms, l.id",
        )
        .bind(function.as_str())
        .bind(digest.to_string())
        .fetch_all(&mut *on)
        .await?;
        let nodes = nodes.iter().map(|row| {
            Ok(RouteNode {
                node: row.parsed("node")?,
                endpoint: row.text("endpoint")?,
            })
        });
        routes.push(Route {
            digest,
            deployment: row.parsed("deployment")?,
            weight: row.number("weight")?,
            nodes: nodes.collect::<Result<_, StoreError>>()?,
        });
    }
    Ok(routes)
}
