//! Deployments and their leases.

use std::collections::BTreeSet;

use nacre_protocol::api::{Deployment, Lease};
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId, OrganisationName};
use sqlx::any::AnyRow;
use sqlx::query;

use super::ledger::spending::stopped;
use super::{Connection, RowExt as _, StoreError, big, orders};
use crate::standing::{Facts, standing};
use crate::terms::Asked;

/// A deployment with its leases and where it stands.
pub(crate) async fn get(
    on: &mut Connection,
    id: &DeploymentId,
) -> Result<Option<Deployment>, StoreError> {
    let row = query("SELECT * FROM deployments WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut *on)
        .await?;
    match row {
        Some(row) => assemble(on, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The same, of an organisation's function.
pub(crate) async fn owned(
    on: &mut Connection,
    id: &DeploymentId,
    organisation: &OrganisationName,
) -> Result<Option<Deployment>, StoreError> {
    let row = query(
        "SELECT d.* FROM deployments d JOIN functions f ON f.name = d.function
         WHERE d.id = $1 AND f.organisation = $2",
    )
    .bind(id.to_string())
    .bind(organisation.as_str())
    .fetch_optional(&mut *on)
    .await?;
    match row {
        Some(row) => assemble(on, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The function's live deployment.
pub(crate) async fn live(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Option<Deployment>, StoreError> {
    let sql = "SELECT * FROM deployments
         WHERE function = $1 AND replaced_by IS NULL AND canary_weight IS NULL";
    one(on, sql, function).await
}

/// The function's deployment on trial.
pub(crate) async fn canary(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Option<Deployment>, StoreError> {
    let sql = "SELECT * FROM deployments
         WHERE function = $1 AND replaced_by IS NULL AND canary_weight IS NOT NULL";
    one(on, sql, function).await
}

async fn one(
    on: &mut Connection,
    sql: &'static str,
    function: &FunctionName,
) -> Result<Option<Deployment>, StoreError> {
    let row = query(sql)
        .bind(function.as_str())
        .fetch_optional(&mut *on)
        .await?;
    match row {
        Some(row) => assemble(on, &row).await.map(Some),
        None => Ok(None),
    }
}

async fn assemble(on: &mut Connection, row: &AnyRow) -> Result<Deployment, StoreError> {
    let id: DeploymentId = row.parsed("id")?;
    let function: FunctionName = row.parsed("function")?;
    let rows = query(
        "SELECT l.id, l.node, l.state, l.error, l.price, l.cpu_price, l.draining_ms, n.endpoint,
                CASE WHEN n.online THEN 1 ELSE 0 END AS online
         FROM leases l JOIN nodes n ON n.id = l.node
         WHERE l.deployment = $1 AND l.ended_ms IS NULL
         ORDER BY l.granted_ms, l.id",
    )
    .bind(id.to_string())
    .fetch_all(&mut *on)
    .await?;
    let stopped = stopped(on, &function).await?;
    let leases = rows.iter().map(read_lease).collect::<Result<Vec<_>, _>>()?;
    let replicas: u32 = row.number("replicas")?;
    let replaced_by = row.parsed_opt("replaced_by")?;
    let canary_weight = row
        .number_opt("canary_weight")?
        .filter(|_| replaced_by.is_none());
    let order = orders::said(on, &function).await?;
    let wanted = match (&replaced_by, canary_weight) {
        (Some(_), _) => 0,
        (None, None) => order.target,
        (None, Some(_)) => order.canary,
    };
    let facts: Vec<_> = leases
        .iter()
        .filter(|(lease, _)| !lease.draining)
        .map(|(lease, online)| (lease.state, *online))
        .collect();
    // One that waits for money is not ordered.
    let wanted = match &stopped {
        Some(_) if replaced_by.is_none() => replicas.max(1),
        _ => wanted,
    };
    let shortage = match stopped {
        Some(stop) => Some(stop.reason),
        None => order.shortage,
    };
    let (state, reason) = standing(Facts {
        wanted,
        leases: &facts,
        failure: row.text_opt("failure")?.as_deref(),
        shortage: shortage.as_deref(),
        replaced_by: replaced_by.as_ref(),
    });
    let more = orders::read_more(row)?;
    Ok(Deployment {
        id,
        function,
        digest: row.parsed("digest")?,
        replicas,
        cpu_milli: row.number("cpu_milli")?,
        wanted,
        scaling: more.scaling,
        placement: more.placement,
        canary_weight,
        state,
        reason,
        leases: leases.into_iter().map(|(lease, _)| lease).collect(),
        created_ms: row.number("created_ms")?,
    })
}

fn read_lease(row: &AnyRow) -> Result<(Lease, bool), StoreError> {
    let lease = Lease {
        id: row.parsed("id")?,
        node: row.parsed("node")?,
        endpoint: row.text("endpoint")?,
        state: read_state(&row.text("state")?)?,
        price: row.number("price")?,
        cpu_price: row.number("cpu_price")?,
        error: row.text_opt("error")?,
        draining: row.number_opt::<u64>("draining_ms")?.is_some(),
    };
    Ok((lease, row.flag("online")?))
}

/// What a new deployment is to its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The live one; what was live or on trial is replaced by it.
    Live,
    /// The one on trial with this part of the requests; what was on trial is replaced by it.
    OnTrial(u32),
}

/// Makes a deployment. Says which it replaced.
pub(crate) async fn insert(
    on: &mut Connection,
    id: &DeploymentId,
    (function, digest): (&FunctionName, &Digest),
    asked: &Asked,
    place: Place,
    now_ms: u64,
) -> Result<Vec<DeploymentId>, StoreError> {
    let (weight, replaces) = match place {
        Place::Live => (None, Replaces::All),
        Place::OnTrial(weight) => (Some(weight), Replaces::Canary),
    };
    let replaced = replace(on, function, replaces, id, now_ms).await?;
    let more = serde_json::to_string(&asked.more).map_err(|_| StoreError::Corrupt("terms"))?;
    query(
        "INSERT INTO deployments
             (id, function, digest, replicas, max_price, terms, canary_weight, created_ms, cpu_milli)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.to_string())
    .bind(function.as_str())
    .bind(digest.to_string())
    .bind(i64::from(asked.replicas))
    .bind(asked.max_price.map(big).transpose()?)
    .bind(more)
    .bind(weight.map(i64::from))
    .bind(big(now_ms)?)
    .bind(i64::from(asked.cpu_milli))
    .execute(on)
    .await?;
    Ok(replaced)
}

/// Which deployments give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replaces {
    /// The live one and the one on trial.
    All,
    /// The live one.
    Live,
    /// The one on trial.
    Canary,
}

/// Notes that deployments of a function gave way to another. Says which.
pub(crate) async fn replace(
    on: &mut Connection,
    function: &FunctionName,
    which: Replaces,
    by: &DeploymentId,
    now_ms: u64,
) -> Result<Vec<DeploymentId>, StoreError> {
    let sql = match which {
        Replaces::All => {
            "UPDATE deployments SET replaced_by = $1, replaced_ms = $2
             WHERE function = $3 AND replaced_by IS NULL RETURNING id"
        }
        Replaces::Live => {
            "UPDATE deployments SET replaced_by = $1, replaced_ms = $2
             WHERE function = $3 AND replaced_by IS NULL AND canary_weight IS NULL RETURNING id"
        }
        Replaces::Canary => {
            "UPDATE deployments SET replaced_by = $1, replaced_ms = $2
             WHERE function = $3 AND replaced_by IS NULL AND canary_weight IS NOT NULL RETURNING id"
        }
    };
    let rows = query(sql)
        .bind(by.to_string())
        .bind(big(now_ms)?)
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Changes what a deployment on trial gets of the requests.
pub(crate) async fn set_weight(
    on: &mut Connection,
    id: &DeploymentId,
    weight: u32,
) -> Result<(), StoreError> {
    query("UPDATE deployments SET canary_weight = $1 WHERE id = $2")
        .bind(i64::from(weight))
        .bind(id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Makes a deployment, replaced or on trial, the live one, under the terms of another.
pub(crate) async fn turn_to(
    on: &mut Connection,
    id: &DeploymentId,
    terms_of: &DeploymentId,
) -> Result<(), StoreError> {
    query(
        "UPDATE deployments SET replaced_by = NULL, replaced_ms = NULL, canary_weight = NULL, failure = NULL,
             replicas = (SELECT o.replicas FROM deployments o WHERE o.id = $1),
             max_price = (SELECT o.max_price FROM deployments o WHERE o.id = $1),
             terms = (SELECT o.terms FROM deployments o WHERE o.id = $1)
         WHERE id = $2",
    )
    .bind(terms_of.to_string())
    .bind(id.to_string())
    .execute(on)
    .await?;
    Ok(())
}

/// The deployments of a function, replaced ones included.
pub(crate) async fn of_function(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Vec<DeploymentId>, StoreError> {
    let rows = query("SELECT id FROM deployments WHERE function = $1")
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// The leases of a function that have not ended, with their nodes.
pub(crate) async fn leases_of(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Vec<(LeaseId, NodeId)>, StoreError> {
    let rows = query("SELECT id, node FROM leases WHERE function = $1 AND ended_ms IS NULL")
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| Ok((row.parsed("id")?, row.parsed("node")?)))
        .collect()
}

/// The deployments with a lease on any of these nodes.
pub(crate) async fn on_nodes(
    on: &mut Connection,
    nodes: &[NodeId],
) -> Result<BTreeSet<DeploymentId>, StoreError> {
    let mut found = BTreeSet::new();
    for node in nodes {
        let rows =
            query("SELECT DISTINCT deployment FROM leases WHERE node = $1 AND ended_ms IS NULL")
                .bind(node.to_string())
                .fetch_all(&mut *on)
                .await?;
        for row in &rows {
            found.insert(row.parsed("deployment")?);
        }
    }
    Ok(found)
}

/// A lease as its node's report is held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The lease.
    pub id: LeaseId,
    /// Since when it only finishes what it has begun.
    pub draining_ms: Option<u64>,
    /// Requests in it, as its node last said.
    pub in_flight: Option<u32>,
    /// How long the oldest of them has waited, milliseconds.
    pub oldest_wait_ms: Option<u64>,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// The digest it runs.
    pub digest: Digest,
    /// What the node last said.
    pub state: FunctionState,
    /// And why.
    pub error: Option<String>,
}

/// The leases that a node holds.
pub(crate) async fn held_by(on: &mut Connection, node: &NodeId) -> Result<Vec<Held>, StoreError> {
    let rows = query(
        "SELECT l.id, l.deployment, d.digest, l.state, l.error, l.draining_ms,
             l.in_flight, l.oldest_wait_ms
         FROM leases l JOIN deployments d ON d.id = l.deployment
         WHERE l.node = $1 AND l.ended_ms IS NULL ORDER BY l.id",
    )
    .bind(node.to_string())
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Held {
                id: row.parsed("id")?,
                draining_ms: row.number_opt("draining_ms")?,
                in_flight: row.number_opt("in_flight")?,
                oldest_wait_ms: row.number_opt("oldest_wait_ms")?,
                deployment: row.parsed("deployment")?,
                digest: row.parsed("digest")?,
                state: read_state(&row.text("state")?)?,
                error: row.text_opt("error")?,
            })
        })
        .collect()
}

/// Records what a node says of a lease, and with it what its deployment last failed with.
pub(crate) async fn set_lease_state(
    on: &mut Connection,
    held: &Held,
    state: FunctionState,
    error: Option<&str>,
) -> Result<(), StoreError> {
    query("UPDATE leases SET state = $1, error = $2 WHERE id = $3")
        .bind(state_text(state))
        .bind(error)
        .bind(held.id.to_string())
        .execute(&mut *on)
        .await?;
    let failure = match state {
        FunctionState::Loading => return Ok(()),
        FunctionState::Ready => None,
        FunctionState::Failed => Some(error.unwrap_or("the node gave no reason")),
    };
    query("UPDATE deployments SET failure = $1 WHERE id = $2")
        .bind(failure)
        .bind(held.deployment.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Puts all leases of a node back to loading.
pub(crate) async fn reset_leases(on: &mut Connection, node: &NodeId) -> Result<(), StoreError> {
    query("UPDATE leases SET state = $1, error = NULL WHERE node = $2 AND ended_ms IS NULL")
        .bind(state_text(FunctionState::Loading))
        .bind(node.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Whether the node holds or held a lease of the function.
pub(crate) async fn knows(
    on: &mut Connection,
    node: &NodeId,
    function: &FunctionName,
) -> Result<bool, StoreError> {
    let row = query("SELECT id FROM leases WHERE node = $1 AND function = $2 LIMIT 1")
        .bind(node.to_string())
        .bind(function.as_str())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Forgets what ended before `before_ms`: leases, and replaced deployments without leases that nobody can go back to.
pub(crate) async fn forget_ended(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM leases WHERE ended_ms < $1")
        .bind(big(before_ms)?)
        .execute(&mut *on)
        .await?;
    query(
        "DELETE FROM deployments WHERE replaced_ms < $1
             AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.previous = deployments.id)
             AND NOT EXISTS (
             SELECT 1 FROM leases l WHERE l.deployment = deployments.id AND l.ended_ms IS NULL)",
    )
    .bind(big(before_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

fn state_text(state: FunctionState) -> &'static str {
    match state {
        FunctionState::Loading => "loading",
        FunctionState::Ready => "ready",
        FunctionState::Failed => "failed",
    }
}

/// The column `state`.
pub(crate) fn read_state(text: &str) -> Result<FunctionState, StoreError> {
    match text {
        "loading" => Ok(FunctionState::Loading),
        "ready" => Ok(FunctionState::Ready),
        "failed" => Ok(FunctionState::Failed),
        _ => Err(StoreError::Corrupt("state")),
    }
}
