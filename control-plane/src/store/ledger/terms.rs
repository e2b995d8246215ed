//! For whom each lease runs, and who is paid for it. What it costs is in [`super::rates`].

use nacre_ledger::{Amount, Customer, Rate, Reserved};
use nacre_protocol::ids::{FunctionName, LeaseId, NodeId, OperatorId};
use sqlx::any::AnyRow;
use sqlx::query;

use super::amount;
use crate::store::{Connection, RowExt as _, StoreError, big};

/// Who pays whom for a lease.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub lease: LeaseId,
    pub function: FunctionName,
    pub customer: Customer,
    pub node: NodeId,
    pub operator: OperatorId,
    /// What is to be set aside while it runs.
    pub hold: Amount,
    /// What is set aside.
    pub held: Amount,
    pub granted_ms: u64,
    /// The end of the term that its last agreement was made for, as the market said it.
    pub until_ms: u64,
    pub ended_ms: Option<u64>,
    pub settled_ms: Option<u64>,
}

/// What the market says that a lease has and costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub reserved: Reserved,
    /// Bytes carried cost what the platform asks, not the node: nothing here.
    pub rate: Rate,
    pub until_ms: u64,
}

/// A lease that was granted and has no terms yet.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub lease: LeaseId,
    pub function: FunctionName,
    pub customer: Customer,
    pub node: NodeId,
    pub operator: OperatorId,
    pub asked: Asked,
    pub granted_ms: u64,
}

/// Leases without terms.
pub(crate) async fn missing(on: &mut Connection) -> Result<Vec<Granted>, StoreError> {
    let rows = query(
        "SELECT l.*, n.operator, f.organisation AS customer
         FROM leases l JOIN nodes n ON n.id = l.node JOIN functions f ON f.name = l.function
         WHERE l.ended_ms IS NULL AND NOT EXISTS (SELECT 1 FROM lease_terms t WHERE t.lease = l.id)
         ORDER BY l.granted_ms, l.id",
    )
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Granted {
                lease: row.parsed("id")?,
                function: row.parsed("function")?,
                customer: row.parsed("customer")?,
                node: row.parsed("node")?,
                operator: row.parsed("operator")?,
                asked: read_asked(row)?,
                granted_ms: row.number("granted_ms")?,
            })
        })
        .collect()
}

/// Leases that run another term than their last agreement was made for.
pub(crate) async fn renewed(on: &mut Connection) -> Result<Vec<(LeaseId, Asked)>, StoreError> {
    let rows = query(
        "SELECT l.* FROM leases l JOIN lease_terms t ON t.lease = l.id
         WHERE l.ended_ms IS NULL AND t.settled_ms IS NULL AND COALESCE(l.until_ms, 0) <> t.until_ms
         ORDER BY l.id",
    )
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| Ok((row.parsed("id")?, read_asked(row)?)))
        .collect()
}

/// Leases that run, and what the market says of them.
pub(crate) async fn open(on: &mut Connection) -> Result<Vec<(LeaseId, Asked)>, StoreError> {
    let rows = query("SELECT * FROM leases WHERE ended_ms IS NULL ORDER BY id")
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| Ok((row.parsed("id")?, read_asked(row)?)))
        .collect()
}

fn read_asked(row: &AnyRow) -> Result<Asked, StoreError> {
    Ok(Asked {
        reserved: Reserved {
            memory_bytes: row.number("memory_bytes")?,
            cpu_milli: row.number("cpu_milli")?,
        },
        rate: Rate {
            gib_second: row.number("price")?,
            cpu_second: row.number("cpu_price")?,
            gib_carried: 0,
        },
        until_ms: row.number_opt("until_ms")?.unwrap_or_default(),
    })
}

/// Keeps the terms of a lease.
pub(crate) async fn insert(on: &mut Connection, terms: &Terms) -> Result<(), StoreError> {
    query(
        "INSERT INTO lease_terms (lease, function, customer, node, operator, hold, held, granted_ms,
             until_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(terms.lease.to_string())
    .bind(terms.function.as_str())
    .bind(terms.customer.as_str())
    .bind(terms.node.to_string())
    .bind(terms.operator.to_string())
    .bind(terms.hold.micros())
    .bind(terms.held.micros())
    .bind(big(terms.granted_ms)?)
    .bind(big(terms.until_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Notes that a lease's last agreement is for this term, and what is to be set aside for it now. What is set aside beyond
/// that is given back.
pub(crate) async fn renew(
    on: &mut Connection,
    lease: &LeaseId,
    until_ms: u64,
    hold: Amount,
) -> Result<(), StoreError> {
    query(
        "UPDATE lease_terms SET until_ms = $1, hold = $2,
             held = CASE WHEN held > $2 THEN $2 ELSE held END
         WHERE lease = $3",
    )
    .bind(big(until_ms)?)
    .bind(hold.micros())
    .bind(lease.to_string())
    .execute(on)
    .await?;
    Ok(())
}

/// The terms of a lease.
pub(crate) async fn get(on: &mut Connection, lease: &LeaseId) -> Result<Option<Terms>, StoreError> {
    let row = query("SELECT * FROM lease_terms WHERE lease = $1")
        .bind(lease.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// All terms.
pub(crate) async fn all(on: &mut Connection) -> Result<Vec<Terms>, StoreError> {
    let rows = query("SELECT * FROM lease_terms ORDER BY lease")
        .fetch_all(on)
        .await?;
    rows.iter().map(read).collect()
}

/// Leases that run and have less set aside than they are to have, the oldest first.
pub(crate) async fn short(on: &mut Connection) -> Result<Vec<Terms>, StoreError> {
    let rows = query(
        "SELECT * FROM lease_terms WHERE ended_ms IS NULL AND settled_ms IS NULL AND held < hold
         ORDER BY granted_ms, lease",
    )
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

/// Functions of a customer that have leases now.
pub(crate) async fn running(
    on: &mut Connection,
    customer: &Customer,
) -> Result<Vec<FunctionName>, StoreError> {
    let rows = query(
        "SELECT DISTINCT function FROM lease_terms
         WHERE customer = $1 AND ended_ms IS NULL AND settled_ms IS NULL AND hold > 0
         ORDER BY function",
    )
    .bind(customer.as_str())
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("function")).collect()
}

/// What a function's running leases are to have set aside in all.
pub(crate) async fn wanted(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Amount, StoreError> {
    let row = query(
        "SELECT CAST(COALESCE(SUM(hold), 0) AS BIGINT) AS wanted FROM lease_terms
         WHERE function = $1 AND ended_ms IS NULL AND settled_ms IS NULL",
    )
    .bind(function.as_str())
    .fetch_one(on)
    .await?;
    amount(&row, "wanted")
}

/// What is set aside for a customer, or for one of its functions.
pub(crate) async fn held(
    on: &mut Connection,
    customer: &Customer,
    function: Option<&FunctionName>,
) -> Result<Amount, StoreError> {
    let row = query(
        "SELECT CAST(COALESCE(SUM(held), 0) AS BIGINT) AS held FROM lease_terms
         WHERE customer = $1 AND ($2 = '' OR function = $2) AND settled_ms IS NULL",
    )
    .bind(customer.as_str())
    .bind(function.map_or("", FunctionName::as_str))
    .fetch_one(on)
    .await?;
    amount(&row, "held")
}

/// Writes what is set aside for a lease.
pub(crate) async fn set_held(
    on: &mut Connection,
    lease: &LeaseId,
    held: Amount,
) -> Result<(), StoreError> {
    query("UPDATE lease_terms SET held = $1 WHERE lease = $2")
        .bind(held.micros())
        .bind(lease.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Notes which leases have ended.
pub(crate) async fn note_ended(on: &mut Connection, now_ms: u64) -> Result<(), StoreError> {
    query(
        "UPDATE lease_terms SET ended_ms = $1 WHERE ended_ms IS NULL AND NOT EXISTS (
             SELECT 1 FROM leases l WHERE l.id = lease_terms.lease AND l.ended_ms IS NULL)",
    )
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Whether any lease that ended before `before_ms` is not settled.
pub(crate) async fn any_to_settle(on: &mut Connection, before_ms: u64) -> Result<bool, StoreError> {
    let row =
        query("SELECT lease FROM lease_terms WHERE settled_ms IS NULL AND ended_ms < $1 LIMIT 1")
            .bind(big(before_ms)?)
            .fetch_optional(on)
            .await?;
    Ok(row.is_some())
}

/// Gives back what was set aside for leases that ended before `before_ms`; nothing is charged to them any more.
pub(crate) async fn settle(
    on: &mut Connection,
    before_ms: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "UPDATE lease_terms SET settled_ms = $1, held = 0 WHERE settled_ms IS NULL AND ended_ms < $2",
    )
    .bind(big(now_ms)?)
    .bind(big(before_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<Terms, StoreError> {
    Ok(Terms {
        lease: row.parsed("lease")?,
        function: row.parsed("function")?,
        customer: row.parsed("customer")?,
        node: row.parsed("node")?,
        operator: row.parsed("operator")?,
        hold: amount(row, "hold")?,
        held: amount(row, "held")?,
        granted_ms: row.number("granted_ms")?,
        until_ms: row.number("until_ms")?,
        ended_ms: row.number_opt("ended_ms")?,
        settled_ms: row.number_opt("settled_ms")?,
    })
}
