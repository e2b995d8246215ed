//! The market as the auction sees it, and a plan as the database takes it.

use std::collections::BTreeSet;

use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big, nodes};
use crate::placement::{Lease, Market, Node, Order, Plan};

/// Reads the whole market.
pub(crate) async fn load(on: &mut Connection) -> Result<Market, StoreError> {
    let nodes = query(
        "SELECT id, CASE WHEN online THEN 1 ELSE 0 END AS online, memory_bytes, price FROM nodes",
    )
    .fetch_all(&mut *on)
    .await?;
    let leases = query(
        "SELECT id, deployment, function, node, memory_bytes, state, granted_ms
         FROM leases WHERE ended_ms IS NULL",
    )
    .fetch_all(&mut *on)
    .await?;
    let orders = query(
        "SELECT d.id, d.function, d.replicas, d.max_price, d.created_ms, v.memory_bytes
         FROM deployments d JOIN versions v ON v.digest = d.digest
         WHERE d.replaced_by IS NULL AND NOT EXISTS (
             SELECT 1 FROM spending_stops s WHERE s.function = d.function)",
    )
    .fetch_all(on)
    .await?;
    let nodes = nodes.iter().map(|row| {
        Ok(Node {
            id: row.parsed("id")?,
            online: row.flag("online")?,
            memory_bytes: row.number("memory_bytes")?,
            price: row.number("price")?,
        })
    });
    let leases = leases.iter().map(|row| {
        Ok(Lease {
            id: row.parsed("id")?,
            deployment: row.parsed("deployment")?,
            function: row.parsed("function")?,
            node: row.parsed("node")?,
            memory_bytes: row.number("memory_bytes")?,
            ready: row.text("state")? == "ready",
            granted_ms: row.number("granted_ms")?,
        })
    });
    let orders = orders.iter().map(|row| {
        Ok(Order {
            deployment: row.parsed("id")?,
            function: row.parsed("function")?,
            memory_bytes: row.number("memory_bytes")?,
            replicas: row.number("replicas")?,
            max_price: row.number_opt("max_price")?,
            created_ms: row.number("created_ms")?,
        })
    });
    Ok(Market {
        nodes: nodes.collect::<Result<_, StoreError>>()?,
        leases: leases.collect::<Result<_, StoreError>>()?,
        orders: orders.collect::<Result<_, StoreError>>()?,
    })
}

/// What a plan changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Nodes whose desired state changed; each got a new revision.
    pub nodes: BTreeSet<NodeId>,
    /// Deployments whose leases or reason changed.
    pub deployments: BTreeSet<DeploymentId>,
}

/// Writes a plan made from this very market. `ids` are fresh ids for its grants.
pub(crate) async fn apply(
    on: &mut Connection,
    market: &Market,
    plan: &Plan,
    ids: &[LeaseId],
    now_ms: u64,
) -> Result<Applied, StoreError> {
    let mut applied = Applied::default();
    for lease in market
        .leases
        .iter()
        .filter(|lease| plan.end.contains(&lease.id))
    {
        query("UPDATE leases SET ended_ms = $1 WHERE id = $2")
            .bind(big(now_ms)?)
            .bind(lease.id.to_string())
            .execute(&mut *on)
            .await?;
        applied.nodes.insert(lease.node);
        applied.deployments.insert(lease.deployment);
    }
    for (grant, id) in plan.grants.iter().zip(ids) {
        query(
            "INSERT INTO leases (id, deployment, function, node, memory_bytes, price, state, granted_ms)
             SELECT $1, d.id, d.function, $2, v.memory_bytes, $3, 'loading', $4
             FROM deployments d JOIN versions v ON v.digest = d.digest WHERE d.id = $5",
        )
        .bind(id.to_string())
        .bind(grant.node.to_string())
        .bind(big(grant.price)?)
        .bind(big(now_ms)?)
        .bind(grant.deployment.to_string())
        .execute(&mut *on)
        .await?;
        applied.nodes.insert(grant.node);
        applied.deployments.insert(grant.deployment);
    }
    for (deployment, shortage) in &plan.shortages {
        let shortage = shortage.as_ref().map(ToString::to_string);
        let done = query(
            "UPDATE deployments SET shortage = $1
             WHERE id = $2 AND COALESCE(shortage, '') <> COALESCE($1, '')",
        )
        .bind(shortage)
        .bind(deployment.to_string())
        .execute(&mut *on)
        .await?;
        if done.rows_affected() > 0 {
            applied.deployments.insert(*deployment);
        }
    }
    for node in &applied.nodes {
        nodes::bump_revision(on, node).await?;
    }
    Ok(applied)
}

/// Ends all leases of a function.
pub(crate) async fn end_leases(
    on: &mut Connection,
    function: &FunctionName,
    now_ms: u64,
) -> Result<Applied, StoreError> {
    let rows = query(
        "UPDATE leases SET ended_ms = $1 WHERE function = $2 AND ended_ms IS NULL
         RETURNING node, deployment",
    )
    .bind(big(now_ms)?)
    .bind(function.as_str())
    .fetch_all(&mut *on)
    .await?;
    let mut applied = Applied::default();
    for row in &rows {
        applied.nodes.insert(row.parsed("node")?);
        applied.deployments.insert(row.parsed("deployment")?);
    }
    for node in &applied.nodes {
        nodes::bump_revision(on, node).await?;
    }
    Ok(applied)
}

/// The deployments with a lease on any of these nodes.
pub(crate) async fn deployments_on(
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
