//! What was spent, what may be, and who is stopped.

use nacre_ledger::{Amount, Cap, Customer, Period};
use nacre_protocol::ids::FunctionName;
use sqlx::any::AnyRow;
use sqlx::query;

use super::amount;
use crate::store::{Connection, RowExt as _, StoreError, big};

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

/// A cap as it was set.
#[derive(Debug, Clone)]
pub(crate) struct SetCap {
    pub customer: Customer,
    /// All of the customer's functions together where absent.
    pub function: Option<FunctionName>,
    pub cap: Cap,
    /// What was spent and set aside already when it was set.
    pub floor: Amount,
    pub set_ms: u64,
}

/// A function without leases for want of money.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub function: FunctionName,
    pub customer: Customer,
    pub reason: String,
    /// How much must be left before it goes on.
    pub wanted: Amount,
}

/// Adds to what was spent.
pub(crate) async fn add(
    on: &mut Connection,
    customer: &Customer,
    function: &FunctionName,
    at_ms: u64,
    spent: Amount,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO spending (customer, function, day, amount) VALUES ($1, $2, $3, $4)
         ON CONFLICT (customer, function, day) DO UPDATE SET amount = spending.amount + excluded.amount",
    )
    .bind(customer.as_str())
    .bind(function.as_str())
    .bind(big(at_ms / DAY_MS)?)
    .bind(spent.micros())
    .execute(on)
    .await?;
    Ok(())
}

/// What was spent since the begin of a day.
pub(crate) async fn since(
    on: &mut Connection,
    customer: &Customer,
    function: Option<&FunctionName>,
    from_ms: u64,
) -> Result<Amount, StoreError> {
    let row = query(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS spent FROM spending
         WHERE customer = $1 AND ($2 = '' OR function = $2) AND day >= $3",
    )
    .bind(customer.as_str())
    .bind(function.map_or("", FunctionName::as_str))
    .bind(big(from_ms / DAY_MS)?)
    .fetch_one(on)
    .await?;
    amount(&row, "spent")
}

/// All that was spent: customer, function, day since 1970, how much.
pub(crate) async fn days(
    on: &mut Connection,
) -> Result<Vec<(Customer, FunctionName, u64, Amount)>, StoreError> {
    let rows = query("SELECT * FROM spending ORDER BY customer, function, day")
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            let (customer, function) = (row.parsed("customer")?, row.parsed("function")?);
            Ok((
                customer,
                function,
                row.number("day")?,
                amount(row, "amount")?,
            ))
        })
        .collect()
}

/// Sets a cap.
pub(crate) async fn set_cap(on: &mut Connection, cap: &SetCap) -> Result<(), StoreError> {
    query(
        "INSERT INTO spending_caps (customer, function, period, amount, floor, set_ms)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (customer, function, period) DO UPDATE SET
             amount = excluded.amount, floor = excluded.floor, set_ms = excluded.set_ms",
    )
    .bind(cap.customer.as_str())
    .bind(cap.function.as_ref().map_or("", FunctionName::as_str))
    .bind(period_text(cap.cap.period))
    .bind(cap.cap.limit.micros())
    .bind(cap.floor.micros())
    .bind(big(cap.set_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Takes a cap away. False if there was none.
pub(crate) async fn remove_cap(
    on: &mut Connection,
    customer: &Customer,
    function: Option<&FunctionName>,
    period: Period,
) -> Result<bool, StoreError> {
    let done =
        query("DELETE FROM spending_caps WHERE customer = $1 AND function = $2 AND period = $3")
            .bind(customer.as_str())
            .bind(function.map_or("", FunctionName::as_str))
            .bind(period_text(period))
            .execute(on)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Caps of a customer, or of everybody.
pub(crate) async fn caps(
    on: &mut Connection,
    customer: Option<&Customer>,
) -> Result<Vec<SetCap>, StoreError> {
    let rows = query(
        "SELECT * FROM spending_caps WHERE ($1 = '' OR customer = $1)
         ORDER BY customer, function, period",
    )
    .bind(customer.map_or("", Customer::as_str))
    .fetch_all(on)
    .await?;
    rows.iter().map(read_cap).collect()
}

/// Caps that a function of a customer counts against.
pub(crate) async fn caps_of(
    on: &mut Connection,
    customer: &Customer,
    function: &FunctionName,
) -> Result<Vec<SetCap>, StoreError> {
    let rows = query("SELECT * FROM spending_caps WHERE customer = $1 AND function IN ('', $2)")
        .bind(customer.as_str())
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    rows.iter().map(read_cap).collect()
}

/// Stops a function.
pub(crate) async fn stop(on: &mut Connection, stop: &Stop, now_ms: u64) -> Result<(), StoreError> {
    query(
        "INSERT INTO spending_stops (function, customer, reason, wanted, at_ms)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (function) DO UPDATE SET
             customer = excluded.customer, reason = excluded.reason, wanted = excluded.wanted",
    )
    .bind(stop.function.as_str())
    .bind(stop.customer.as_str())
    .bind(&stop.reason)
    .bind(stop.wanted.micros())
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Lets a function go on.
pub(crate) async fn lift(on: &mut Connection, function: &FunctionName) -> Result<(), StoreError> {
    query("DELETE FROM spending_stops WHERE function = $1")
        .bind(function.as_str())
        .execute(on)
        .await?;
    Ok(())
}

/// Why a function is stopped.
pub(crate) async fn stopped(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Option<Stop>, StoreError> {
    let row = query("SELECT * FROM spending_stops WHERE function = $1")
        .bind(function.as_str())
        .fetch_optional(on)
        .await?;
    row.map(|row| read_stop(&row)).transpose()
}

/// Functions that are stopped: a customer's, or everybody's.
pub(crate) async fn stops(
    on: &mut Connection,
    customer: Option<&Customer>,
) -> Result<Vec<Stop>, StoreError> {
    let rows = query(
        "SELECT * FROM spending_stops WHERE ($1 = '' OR customer = $1) ORDER BY at_ms, function",
    )
    .bind(customer.map_or("", Customer::as_str))
    .fetch_all(on)
    .await?;
    rows.iter().map(read_stop).collect()
}

fn read_stop(row: &AnyRow) -> Result<Stop, StoreError> {
    Ok(Stop {
        function: row.parsed("function")?,
        customer: row.parsed("customer")?,
        reason: row.text("reason")?,
        wanted: amount(row, "wanted")?,
    })
}

fn read_cap(row: &AnyRow) -> Result<SetCap, StoreError> {
    let function = row.text("function")?;
    let function = match function.as_str() {
        "" => None,
        name => Some(name.parse().map_err(|_| StoreError::Corrupt("function"))?),
    };
    Ok(SetCap {
        customer: row.parsed("customer")?,
        function,
        cap: Cap {
            limit: amount(row, "amount")?,
            period: read_period(&row.text("period")?)?,
        },
        floor: amount(row, "floor")?,
        set_ms: row.number("set_ms")?,
    })
}

fn period_text(period: Period) -> &'static str {
    match period {
        Period::Day => "day",
        Period::Month => "month",
        Period::Ever => "ever",
    }
}

fn read_period(text: &str) -> Result<Period, StoreError> {
    match text {
        "day" => Ok(Period::Day),
        "month" => Ok(Period::Month),
        "ever" => Ok(Period::Ever),
        _ => Err(StoreError::Corrupt("period")),
    }
}
