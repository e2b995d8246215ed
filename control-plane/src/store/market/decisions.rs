//! What the market decided, as the tables say it.

use std::collections::BTreeSet;

use nacre_protocol::ids::{DeploymentId, FunctionName, LeaseId, NodeId};
use nacre_scheduler::{Action, Event, Grant, Offer, Scheduler, Share, Why};
use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big, load, nodes, organisations};
use crate::traces;

/// What a lease ended with that its node did not bring up.
const TOO_SLOW: &str = "load-timeout: the node did not have it ready in time";

/// Whom decisions concern.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Concerned {
    /// Nodes whose desired state changed; each got a new revision.
    pub nodes: BTreeSet<NodeId>,
    /// Deployments whose leases, replicas or reason changed.
    pub deployments: BTreeSet<DeploymentId>,
    /// Whether the term of any lease began anew.
    pub renewed: bool,
}

/// Writes what events say of nodes and orders beside what follows from them.
pub(crate) async fn note(
    on: &mut Connection,
    event: &Event,
    scheduler: &Scheduler,
) -> Result<(), StoreError> {
    match event {
        Event::NodeOffered(Offer { node, .. })
        | Event::NodeOnline { node }
        | Event::NodeOffline { node }
        | Event::NodeFailed { node } => load::of_node(on, node).await,
        Event::TenantWeighted { tenant, weight } => organisations::told(on, tenant, *weight).await,
        Event::AskChanged { node, ask } => {
            query("UPDATE nodes SET price = $1, cpu_price = $2 WHERE id = $3")
                .bind(big(ask.memory)?)
                .bind(big(ask.cpu)?)
                .bind(node.to_string())
                .execute(on)
                .await?;
            Ok(())
        }
        Event::NodeDrained { node, until } => {
            let sql = "UPDATE nodes SET leaves_ms = $1 WHERE id = $2";
            set_of_node(on, sql, node, Some(until.0)).await
        }
        Event::NodeKept { node } => {
            let sql = "UPDATE nodes SET leaves_ms = $1 WHERE id = $2";
            set_of_node(on, sql, node, None).await
        }
        Event::Ordered(order) => note_order(on, &order.function, scheduler).await,
        Event::CanarySet { function, .. }
        | Event::CanaryPromoted { function }
        | Event::RolledBack { function } => note_order(on, function, scheduler).await,
        Event::Load {
            function,
            in_flight,
            oldest_wait_ms,
        } => {
            query("UPDATE orders SET in_flight = $1, oldest_wait_ms = $2 WHERE function = $3")
                .bind(i64::from(*in_flight))
                .bind(big(*oldest_wait_ms)?)
                .bind(function.as_str())
                .execute(on)
                .await?;
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn set_of_node(
    on: &mut Connection,
    sql: &'static str,
    node: &NodeId,
    value: Option<u64>,
) -> Result<(), StoreError> {
    query(sql)
        .bind(value.map(big).transpose()?)
        .bind(node.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// There is a row for the order from its first event on, with what going back would turn to.
async fn note_order(
    on: &mut Connection,
    function: &FunctionName,
    scheduler: &Scheduler,
) -> Result<(), StoreError> {
    let previous = scheduler.order(function).and_then(|order| order.previous);
    query(
        "INSERT INTO orders (function, target, canary, previous, in_flight, oldest_wait_ms, look_ms)
         VALUES ($1, 0, 0, $2, 0, 0, 0)
         ON CONFLICT (function) DO UPDATE SET previous = excluded.previous, look_ms = 0",
    )
    .bind(function.as_str())
    .bind(previous.map(|version| version.deployment.to_string()))
    .execute(on)
    .await?;
    Ok(())
}

/// Carries decisions out, in their order.
pub(crate) async fn carry_out(
    on: &mut Connection,
    actions: &[Action],
    now_ms: u64,
) -> Result<Concerned, StoreError> {
    let mut concerned = Concerned::default();
    for action in actions {
        one(on, action, now_ms, &mut concerned).await?;
    }
    let trace = traces::current();
    for node in &concerned.nodes {
        nodes::bump_revision(on, node, trace.as_deref()).await?;
    }
    Ok(concerned)
}

async fn one(
    on: &mut Connection,
    action: &Action,
    now_ms: u64,
    concerned: &mut Concerned,
) -> Result<(), StoreError> {
    match action {
        Action::Grant(grant) => {
            insert(on, grant, now_ms).await?;
            concerned.nodes.insert(grant.node);
            concerned.deployments.insert(grant.version.deployment);
        }
        Action::Renew {
            lease,
            price,
            until,
        } => {
            let sql = "UPDATE leases SET price = $1, cpu_price = $2, until_ms = $3 WHERE id = $4
                 RETURNING deployment";
            let row = query(sql)
                .bind(big(price.memory)?)
                .bind(big(price.cpu)?)
                .bind(big(until.0)?)
                .bind(lease.to_string())
                .fetch_one(on)
                .await?;
            concerned.deployments.insert(row.parsed("deployment")?);
            concerned.renewed = true;
        }
        Action::Drain { lease, .. } => {
            let sql = "UPDATE leases SET draining_ms = $1 WHERE id = $2 RETURNING deployment, node";
            let (deployment, _) = change(on, sql, lease, Some(now_ms)).await?;
            concerned.deployments.insert(deployment);
        }
        Action::Resume { lease } => {
            let sql = "UPDATE leases SET draining_ms = $1 WHERE id = $2 RETURNING deployment, node";
            let (deployment, _) = change(on, sql, lease, None).await?;
            concerned.deployments.insert(deployment);
        }
        Action::End { lease, why } => {
            let sql = "UPDATE leases SET ended_ms = $1 WHERE id = $2 RETURNING deployment, node";
            let (deployment, node) = change(on, sql, lease, Some(now_ms)).await?;
            load::changed(on, lease).await?;
            if *why == Why::Failed {
                let sql = "UPDATE deployments SET failure = COALESCE(failure, $1) WHERE id = $2";
                query(sql)
                    .bind(TOO_SLOW)
                    .bind(deployment.to_string())
                    .execute(on)
                    .await?;
            }
            concerned.nodes.insert(node);
            concerned.deployments.insert(deployment);
        }
        Action::Route { function, shares } => route(on, function, shares).await?,
        Action::Scaled {
            function,
            target,
            canary,
        } => {
            let sql = "UPDATE orders SET target = $1, canary = $2 WHERE function = $3";
            query(sql)
                .bind(i64::from(*target))
                .bind(i64::from(*canary))
                .bind(function.as_str())
                .execute(&mut *on)
                .await?;
            concerned.deployments.extend(current(on, function).await?);
        }
        Action::Short { function, shortage } => {
            query("UPDATE orders SET shortage = $1 WHERE function = $2")
                .bind(shortage.as_ref().map(ToString::to_string))
                .bind(function.as_str())
                .execute(&mut *on)
                .await?;
            concerned.deployments.extend(current(on, function).await?);
        }
        // Its desired state is empty, which it sees.
        Action::NodeEmpty { node } => tracing::info!(%node, "the node that leaves is empty"),
        other => tracing::error!(?other, "a decision that nobody carries out"),
    }
    Ok(())
}

async fn insert(on: &mut Connection, grant: &Grant, now_ms: u64) -> Result<(), StoreError> {
    query(
        "INSERT INTO leases
             (id, deployment, function, node, memory_bytes, price, state, granted_ms, until_ms,
              cpu_price, cpu_milli, kept_cpu_milli)
         VALUES ($1, $2, $3, $4, $5, $6, 'loading', $7, $8, $9, $10, $11)",
    )
    .bind(grant.lease.to_string())
    .bind(grant.version.deployment.to_string())
    .bind(grant.function.as_str())
    .bind(grant.node.to_string())
    .bind(big(grant.version.memory_bytes)?)
    .bind(big(grant.price.memory)?)
    .bind(big(now_ms)?)
    .bind(big(grant.until.0)?)
    .bind(big(grant.price.cpu)?)
    .bind(i64::from(grant.version.busy_cpu_milli()))
    .bind(i64::from(grant.version.cpu_milli))
    .execute(on)
    .await?;
    Ok(())
}

/// Sets a time of a lease, and says whose it is.
async fn change(
    on: &mut Connection,
    sql: &'static str,
    lease: &LeaseId,
    at_ms: Option<u64>,
) -> Result<(DeploymentId, NodeId), StoreError> {
    let row = query(sql)
        .bind(at_ms.map(big).transpose()?)
        .bind(lease.to_string())
        .fetch_one(on)
        .await?;
    Ok((row.parsed("deployment")?, row.parsed("node")?))
}

async fn route(
    on: &mut Connection,
    function: &FunctionName,
    shares: &[Share],
) -> Result<(), StoreError> {
    query("DELETE FROM routes WHERE function = $1")
        .bind(function.as_str())
        .execute(&mut *on)
        .await?;
    for share in shares {
        query("INSERT INTO routes (function, digest, deployment, weight) VALUES ($1, $2, $3, $4)")
            .bind(function.as_str())
            .bind(share.digest.to_string())
            .bind(share.deployment.to_string())
            .bind(i64::from(share.weight))
            .execute(&mut *on)
            .await?;
    }
    Ok(())
}

/// The function's live deployment, and the one on trial.
async fn current(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Vec<DeploymentId>, StoreError> {
    let rows = query("SELECT id FROM deployments WHERE function = $1 AND replaced_by IS NULL")
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}
