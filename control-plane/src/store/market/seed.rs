//! The market as the tables tell it, for when there is no log: events that lead a scheduler to where they stand.

use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::{LeaseId, NodeId};
use nacre_scheduler::{Ask, Event, Grant, Offer, Order, Region, Report, Timestamp, Version};
use sqlx::any::AnyRow;
use sqlx::query;

use crate::score::placed;
use crate::store::deployments::read_state;
use crate::store::{Connection, RowExt as _, StoreError, big, orders, organisations};

/// What is offered by nodes; SQLite's booleans cannot be read with them.
macro_rules! nodes {
    ($which:literal) => {
        concat!(
            "SELECT n.id, n.operator, n.region, n.memory_bytes, n.cpu_milli, n.price, n.cpu_price, n.conduct, n.leaves_ms, u.score
             FROM nodes n LEFT JOIN node_uptime u ON u.node = n.id ",
            $which
        )
    };
}

/// Forgets the log, and what only the market's own words wrote.
pub(crate) async fn wipe(on: &mut Connection) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM market_events",
        "DELETE FROM market_snapshots",
        "DELETE FROM routes",
        "UPDATE orders SET target = 0, canary = 0, shortage = NULL, in_flight = 0, oldest_wait_ms = 0,
             look_ms = 0",
        "UPDATE organisations SET told_weight = 1",
        "UPDATE leases SET draining_ms = NULL WHERE ended_ms IS NULL",
    ] {
        query(sql).execute(&mut *on).await?;
    }
    Ok(())
}

/// All nodes, silent as yet, and all orders, oldest first: nothing can be granted to nobody.
pub(crate) async fn standing(on: &mut Connection) -> Result<Vec<Event>, StoreError> {
    let mut events = organisations::untold(on, u32::MAX).await?;
    let rows = query(nodes!("ORDER BY n.id")).fetch_all(&mut *on).await?;
    for row in &rows {
        let node = row.parsed("id")?;
        events.push(Event::NodeOffered(read_offer(row)?));
        events.push(Event::NodeOffline { node });
        if let Some(leaves) = row.number_opt("leaves_ms")? {
            let until = Timestamp(leaves);
            events.push(Event::NodeDrained { node, until });
        }
    }
    for order in orders::live(on).await? {
        events.extend(ordered(on, order).await?);
    }
    Ok(events)
}

/// What leads to an order as it stands: it comes after the version that going back would turn to, and before the one on
/// trial.
pub(crate) async fn ordered(on: &mut Connection, order: Order) -> Result<Vec<Event>, StoreError> {
    let function = order.function.clone();
    let mut events = Vec::new();
    if let Some(version) = orders::previous(on, &function).await? {
        let order = order.clone();
        events.push(Event::Ordered(Order { version, ..order }));
    }
    events.push(Event::Ordered(order));
    if let Some((version, weight)) = orders::on_trial(on, &function).await? {
        events.push(Event::CanarySet {
            function,
            version,
            weight,
        });
    }
    Ok(events)
}

/// The leases that are there, oldest first, each to be taken over and then to be as its node last said.
pub(crate) async fn leases(on: &mut Connection) -> Result<Vec<(Grant, Event)>, StoreError> {
    let rows = query(
        "SELECT l.*, d.digest FROM leases l JOIN deployments d ON d.id = l.deployment
         WHERE l.ended_ms IS NULL ORDER BY l.granted_ms, l.id",
    )
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            let grant = read_lease(row)?;
            let report = match read_state(&row.text("state")?)? {
                FunctionState::Ready => Report::Ready,
                FunctionState::Loading => Report::Loading,
                FunctionState::Failed => Report::Failed,
            };
            let (node, lease) = (grant.node, grant.lease);
            let report = Event::LeaseReported {
                node,
                lease,
                report,
            };
            Ok((grant, report))
        })
        .collect()
}

fn read_lease(row: &AnyRow) -> Result<Grant, StoreError> {
    Ok(Grant {
        lease: row.parsed("id")?,
        function: row.parsed("function")?,
        version: Version {
            deployment: row.parsed("deployment")?,
            digest: row.parsed("digest")?,
            memory_bytes: row.number("memory_bytes")?,
            cpu_milli: row.number("kept_cpu_milli")?,
        },
        node: row.parsed("node")?,
        price: Ask {
            memory: row.number("price")?,
            cpu: row.number("cpu_price")?,
        },
        // From before there were terms: over at once, and begun anew at the node's ask.
        until: Timestamp(row.number_opt("until_ms")?.unwrap_or_default()),
    })
}

/// Ends a lease that has no place in the market.
pub(crate) async fn drop_lease(
    on: &mut Connection,
    lease: &LeaseId,
    now_ms: u64,
) -> Result<(), StoreError> {
    query("UPDATE leases SET ended_ms = $1 WHERE id = $2")
        .bind(big(now_ms)?)
        .bind(lease.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// The nodes that report and can be reached.
pub(crate) async fn online(on: &mut Connection) -> Result<Vec<Event>, StoreError> {
    let rows = query("SELECT id FROM nodes WHERE online = TRUE ORDER BY id")
        .fetch_all(on)
        .await?;
    let online = rows.iter().map(|row| {
        let node = row.parsed("id")?;
        Ok(Event::NodeOnline { node })
    });
    online.collect()
}

/// The offer of a node that registered, as it stands.
pub(crate) async fn offer(on: &mut Connection, node: &NodeId) -> Result<Option<Offer>, StoreError> {
    let row = query(nodes!("WHERE n.id = $1"))
        .bind(node.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read_offer).transpose()
}

fn read_offer(row: &AnyRow) -> Result<Offer, StoreError> {
    Ok(Offer {
        node: row.parsed("id")?,
        operator: row.parsed("operator")?,
        region: Region(row.text("region")?),
        memory_bytes: row.number("memory_bytes")?,
        cpu_milli: row.number("cpu_milli")?,
        ask: Ask {
            memory: row.number("price")?,
            cpu: row.number("cpu_price")?,
        },
        score: placed(row.number_opt("score")?, row.number("conduct")?),
    })
}
