//! Whether the log is one that can have been, and the tables tell the same.

mod log;

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::FunctionName;
use nacre_scheduler::{Phase, Scheduler};
use sqlx::query;

use crate::store::deployments::read_state;
use crate::store::{Connection, RowExt as _, StoreError, orders};

/// What is to be said of the market's log, and of the tables beside it: a line each, for people.
#[derive(Debug, Default)]
pub(crate) struct Audited {
    /// Entries of the log.
    pub entries: u64,
    /// What the log says that cannot have been.
    pub log: Vec<String>,
    /// What the tables say otherwise than the market that follows from the log.
    pub tables: Vec<String>,
}

/// Takes the log in again from its last snapshot, and holds what follows from it against the tables. `None` where there is no
/// log, or one of earlier rules: the next control plane begins one from the tables.
pub(crate) async fn audit(on: &mut Connection) -> Result<Option<Audited>, StoreError> {
    let Some(replayed) = log::replay(on).await? else {
        return Ok(None);
    };
    let mut audited = Audited {
        entries: replayed.entries,
        log: replayed.found,
        tables: Vec::new(),
    };
    if let Some(market) = replayed.market {
        let scheduler = market.scheduler();
        audited.tables.extend(leases(on, scheduler).await?);
        audited.tables.extend(functions(on, scheduler).await?);
        audited.tables.extend(nodes(on, scheduler).await?);
        audited.tables.extend(weights(on, scheduler).await?);
    }
    Ok(Some(audited))
}

fn compare(found: &mut Vec<String>, what: &str, tables: BTreeSet<String>, log: BTreeSet<String>) {
    let differ = |a: &BTreeSet<String>, b: &BTreeSet<String>, whose: &str| {
        let only = a.difference(b).cloned();
        only.map(|one| format!("{what} by the {whose} only: {one}"))
            .collect::<Vec<_>>()
    };
    found.extend(differ(&tables, &log, "tables"));
    found.extend(differ(&log, &tables, "log"));
}

async fn leases(on: &mut Connection, scheduler: &Scheduler) -> Result<Vec<String>, StoreError> {
    let rows = query("SELECT * FROM leases WHERE ended_ms IS NULL")
        .fetch_all(on)
        .await?;
    let mut tables = BTreeSet::new();
    for row in &rows {
        let draining = row.number_opt::<u64>("draining_ms")?.is_some();
        let phase = match read_state(&row.text("state")?)? {
            _ if draining => "draining",
            FunctionState::Ready => "ready",
            _ => "loading",
        };
        tables.insert(format!(
            "{} of {} ({}) on {}, {} bytes and {} m at {} and {} until {}, {phase}",
            row.text("id")?,
            row.text("function")?,
            row.text("deployment")?,
            row.text("node")?,
            row.number::<u64>("memory_bytes")?,
            row.number::<u32>("kept_cpu_milli")?,
            row.number::<u64>("price")?,
            row.number::<u64>("cpu_price")?,
            row.number_opt::<u64>("until_ms")?.unwrap_or_default(),
        ));
    }
    let log = scheduler.leases().map(|lease| {
        let phase = match lease.phase {
            Phase::Granted | Phase::Loading => "loading",
            Phase::Ready => "ready",
            Phase::Draining => "draining",
        };
        format!(
            "{} of {} ({}) on {}, {} bytes and {} m at {} and {} until {}, {phase}",
            lease.id,
            lease.function,
            lease.version.deployment,
            lease.node,
            lease.version.memory_bytes,
            lease.version.cpu_milli,
            lease.price.memory,
            lease.price.cpu,
            lease.until.0,
        )
    });
    let mut found = Vec::new();
    compare(&mut found, "a lease", tables, log.collect());
    Ok(found)
}

async fn functions(on: &mut Connection, scheduler: &Scheduler) -> Result<Vec<String>, StoreError> {
    let rows = query(
        "SELECT DISTINCT d.function FROM deployments d WHERE d.replaced_by IS NULL
             AND NOT EXISTS (SELECT 1 FROM spending_stops s WHERE s.function = d.function)",
    )
    .fetch_all(&mut *on)
    .await?;
    let mut tables = BTreeSet::new();
    for row in &rows {
        let function: FunctionName = row.parsed("function")?;
        let said = orders::said(on, &function).await?;
        let routes = orders::routes(on, &function).await?.into_iter();
        let routes: BTreeMap<_, _> = routes.map(|r| (r.digest.to_string(), r.weight)).collect();
        let previous = said.previous.map(|id| id.to_string());
        let wanted = (said.target, said.canary);
        tables.insert(format!(
            "{function} wants {wanted:?}, before {previous:?}, short {:?}, routes {routes:?}",
            said.shortage
        ));
    }
    let log = scheduler.orders().map(|(function, order)| {
        let shares = order.shares.iter();
        let routes: BTreeMap<_, _> = shares.map(|s| (s.digest.to_string(), s.weight)).collect();
        let previous = order.previous.map(|version| version.deployment.to_string());
        let shortage = order.shortage.map(ToString::to_string);
        let wanted = order.parts;
        format!(
            "{function} wants {wanted:?}, before {previous:?}, short {shortage:?}, routes {routes:?}"
        )
    });
    let mut found = Vec::new();
    compare(&mut found, "an order", tables, log.collect());
    Ok(found)
}

async fn nodes(on: &mut Connection, scheduler: &Scheduler) -> Result<Vec<String>, StoreError> {
    let rows = query(
        "SELECT id, price, cpu_price, leaves_ms, CASE WHEN online THEN 1 ELSE 0 END AS online FROM nodes",
    )
    .fetch_all(on)
    .await?;
    let mut tables = BTreeSet::new();
    for row in &rows {
        let leaves: Option<u64> = row.number_opt("leaves_ms")?;
        tables.insert(format!(
            "{} online {} at {} and {} leaves {leaves:?}",
            row.text("id")?,
            row.flag("online")?,
            row.number::<u64>("price")?,
            row.number::<u64>("cpu_price")?,
        ));
    }
    let log = scheduler.nodes().map(|node| {
        let leaves = node.leaves.map(|at| at.0);
        let (online, ask) = (node.online, node.ask);
        let (memory, cpu) = (ask.memory, ask.cpu);
        let id = node.id;
        format!("{id} online {online} at {memory} and {cpu} leaves {leaves:?}")
    });
    let mut found = Vec::new();
    compare(&mut found, "a node", tables, log.collect());
    Ok(found)
}

async fn weights(on: &mut Connection, scheduler: &Scheduler) -> Result<Vec<String>, StoreError> {
    let rows = query("SELECT name, told_weight FROM organisations WHERE told_weight <> 1")
        .fetch_all(on)
        .await?;
    let mut tables = BTreeSet::new();
    for row in &rows {
        let (name, weight) = (row.text("name")?, row.number::<u32>("told_weight")?);
        tables.insert(format!("{name} weighs {weight}"));
    }
    let weighed = scheduler.tenants().filter(|(_, weight, _)| *weight != 1);
    let log = weighed.map(|(name, weight, _)| format!("{} weighs {weight}", name.0));
    let mut found = Vec::new();
    compare(&mut found, "an organisation", tables, log.collect());
    Ok(found)
}
