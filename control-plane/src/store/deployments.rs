//! Deployments and their leases.

use nacre_protocol::api::{CreateDeployment, Deployment, Lease};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId, OrganisationName};
use sqlx::any::AnyRow;
use sqlx::query;

use super::ledger::spending::stopped;
use super::{Connection, RowExt as _, StoreError, big};
use crate::standing::{Facts, standing};

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
    let row = query("SELECT * FROM deployments WHERE function = $1 AND replaced_by IS NULL")
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
    let rows = query(
        "SELECT l.id, l.node, l.state, l.error, l.price, n.endpoint,
                CASE WHEN n.online THEN 1 ELSE 0 END AS online
         FROM leases l JOIN nodes n ON n.id = l.node
         WHERE l.deployment = $1 AND l.ended_ms IS NULL
         ORDER BY l.granted_ms, l.id",
    )
    .bind(id.to_string())
    .fetch_all(&mut *on)
    .await?;
    let stopped = stopped(on, &row.parsed("function")?).await?;
    let leases = rows.iter().map(read_lease).collect::<Result<Vec<_>, _>>()?;
    let replicas = row.number("replicas")?;
    let facts: Vec<_> = leases
        .iter()
        .map(|(lease, online)| (lease.state, lease.error.as_deref(), *online))
        .collect();
    let shortage = match stopped {
        Some(stop) => Some(stop.reason),
        None => row.text_opt("shortage")?,
    };
    let (state, reason) = standing(Facts {
        replicas,
        leases: &facts,
        shortage: shortage.as_deref(),
        replaced_by: row.parsed_opt("replaced_by")?.as_ref(),
    });
    Ok(Deployment {
        id,
        function: row.parsed("function")?,
        digest: row.parsed("digest")?,
        replicas,
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
        error: row.text_opt("error")?,
    };
    Ok((lease, row.flag("online")?))
}

/// Makes the function's live deployment; the one that was live is replaced by it. Says which that was.
pub(crate) async fn insert(
    on: &mut Connection,
    id: &DeploymentId,
    order: &CreateDeployment,
    now_ms: u64,
) -> Result<Option<DeploymentId>, StoreError> {
    let replaced = query(
        "UPDATE deployments SET replaced_by = $1, replaced_ms = $2
         WHERE function = $3 AND replaced_by IS NULL RETURNING id",
    )
    .bind(id.to_string())
    .bind(big(now_ms)?)
    .bind(order.function.as_str())
    .fetch_optional(&mut *on)
    .await?;
    query(
        "INSERT INTO deployments (id, function, digest, replicas, max_price, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.to_string())
    .bind(order.function.as_str())
    .bind(order.digest.to_string())
    .bind(i64::from(order.replicas))
    .bind(order.max_price.map(big).transpose()?)
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    replaced.map(|row| row.parsed("id")).transpose()
}

/// Which deployments of a function there are, replaced ones included, and which nodes run them.
pub(crate) async fn of_function(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<(Vec<DeploymentId>, Vec<NodeId>), StoreError> {
    let deployments = query("SELECT id FROM deployments WHERE function = $1")
        .bind(function.as_str())
        .fetch_all(&mut *on)
        .await?;
    let nodes = query("SELECT DISTINCT node FROM leases WHERE function = $1 AND ended_ms IS NULL")
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    Ok((
        deployments
            .iter()
            .map(|row| row.parsed("id"))
            .collect::<Result<_, _>>()?,
        nodes
            .iter()
            .map(|row| row.parsed("node"))
            .collect::<Result<_, _>>()?,
    ))
}

/// A lease as its node's report is held against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    /// The lease.
    pub id: LeaseId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// The digest it runs.
    pub digest: nacre_protocol::digest::Digest,
    /// What the node last said.
    pub state: FunctionState,
    /// And why.
    pub error: Option<String>,
}

/// The leases that a node holds.
pub(crate) async fn held_by(on: &mut Connection, node: &NodeId) -> Result<Vec<Held>, StoreError> {
    let rows = query(
        "SELECT l.id, l.deployment, d.digest, l.state, l.error
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
                deployment: row.parsed("deployment")?,
                digest: row.parsed("digest")?,
                state: read_state(&row.text("state")?)?,
                error: row.text_opt("error")?,
            })
        })
        .collect()
}

/// Records what a node says of a lease.
pub(crate) async fn set_lease_state(
    on: &mut Connection,
    lease: &LeaseId,
    state: FunctionState,
    error: Option<&str>,
) -> Result<(), StoreError> {
    query("UPDATE leases SET state = $1, error = $2 WHERE id = $3")
        .bind(state_text(state))
        .bind(error)
        .bind(lease.to_string())
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

/// Forgets what ended before `before_ms`: replaced deployments without leases, and leases.
pub(crate) async fn forget_ended(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM leases WHERE ended_ms < $1")
        .bind(big(before_ms)?)
        .execute(&mut *on)
        .await?;
    query(
        "DELETE FROM deployments WHERE replaced_ms < $1 AND NOT EXISTS (
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

fn read_state(text: &str) -> Result<FunctionState, StoreError> {
    match text {
        "loading" => Ok(FunctionState::Loading),
        "ready" => Ok(FunctionState::Ready),
        "failed" => Ok(FunctionState::Failed),
        _ => Err(StoreError::Corrupt("state")),
    }
}
