//! Money: accounts, entries, and what they follow from. All of it is written in transactions that have their turn
//! ([`super::Store::write`]), so that what is read before an entry still holds when it is booked.

pub(crate) mod invoices;
pub(crate) mod payouts;
pub(crate) mod rates;
pub(crate) mod slashes;
pub(crate) mod spending;
pub(crate) mod terms;
pub(crate) mod usage;

use nacre_ledger::{Account, Amount, Entry};
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// An entry as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Booked {
    /// From 1, without gaps.
    pub id: u64,
    pub cause: String,
    pub at_ms: u64,
    /// Account and micro-units.
    pub postings: Vec<(String, i64)>,
}

/// The journal's time: now, or that of the last entry or the end of the last month invoiced, whichever is latest. So no entry
/// comes into a month that was invoiced, whatever the clocks of several control planes say.
pub(crate) async fn journal_time(on: &mut Connection, now_ms: u64) -> Result<u64, StoreError> {
    let row = query(
        "SELECT COALESCE((SELECT at_ms FROM ledger_entries ORDER BY id DESC LIMIT 1), 0) AS entry,
                CAST(COALESCE((SELECT MAX(to_ms) FROM invoices), 0) AS BIGINT) AS invoiced",
    )
    .fetch_one(on)
    .await?;
    let last: u64 = row.number("entry")?;
    Ok(now_ms.max(last).max(row.number("invoiced")?))
}

/// Books an entry. False if its cause was booked before; then nothing is written. An account that would come below zero and
/// may not is an error.
pub(crate) async fn book(on: &mut Connection, entry: &Entry) -> Result<bool, StoreError> {
    if is_booked(on, &entry.cause().to_string()).await? {
        return Ok(false);
    }
    let row = query("SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) AS last FROM ledger_entries")
        .fetch_one(&mut *on)
        .await?;
    let id = row.number::<u64>("last")? + 1;
    query("INSERT INTO ledger_entries (id, cause, at_ms) VALUES ($1, $2, $3)")
        .bind(big(id)?)
        .bind(entry.cause().to_string())
        .bind(big(entry.at_ms())?)
        .execute(&mut *on)
        .await?;
    for posting in entry.postings() {
        let before = balance(on, &posting.account).await?;
        let after = before.plus(posting.amount);
        let after = after.map_err(|_| StoreError::Corrupt("balance"))?;
        if after < Amount::ZERO && !posting.account.may_owe() {
            return Err(StoreError::Overdrawn(posting.account.to_string()));
        }
        query(
            "INSERT INTO ledger_accounts (name, balance) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET balance = excluded.balance",
        )
        .bind(posting.account.to_string())
        .bind(after.micros())
        .execute(&mut *on)
        .await?;
        query("INSERT INTO ledger_postings (entry, account, amount) VALUES ($1, $2, $3)")
            .bind(big(id)?)
            .bind(posting.account.to_string())
            .bind(posting.amount.micros())
            .execute(&mut *on)
            .await?;
    }
    Ok(true)
}

/// Whether a cause was booked.
pub(crate) async fn is_booked(on: &mut Connection, cause: &str) -> Result<bool, StoreError> {
    let row = query("SELECT id FROM ledger_entries WHERE cause = $1")
        .bind(cause)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// What an account has.
pub(crate) async fn balance(on: &mut Connection, account: &Account) -> Result<Amount, StoreError> {
    let row = query("SELECT balance FROM ledger_accounts WHERE name = $1")
        .bind(account.to_string())
        .fetch_optional(on)
        .await?;
    row.map_or(Ok(Amount::ZERO), |row| amount(&row, "balance"))
}

/// All accounts with what they have, by name.
pub(crate) async fn balances(on: &mut Connection) -> Result<Vec<(String, Amount)>, StoreError> {
    let rows = query("SELECT name, balance FROM ledger_accounts ORDER BY name")
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| Ok((row.text("name")?, amount(row, "balance")?)))
        .collect()
}

/// Entries after a number in which one of these accounts has a part, the oldest first.
pub(crate) async fn entries(
    on: &mut Connection,
    accounts: [&Account; 2],
    after: u64,
    limit: u32,
) -> Result<Vec<Booked>, StoreError> {
    let [one, other] = accounts;
    let rows = query(
        "SELECT e.id, e.cause, e.at_ms, p.account, p.amount
         FROM (SELECT * FROM ledger_entries o WHERE o.id > $1 AND EXISTS (
                   SELECT 1 FROM ledger_postings q WHERE q.entry = o.id AND q.account IN ($2, $3))
               ORDER BY o.id LIMIT $4) e
         LEFT JOIN ledger_postings p ON p.entry = e.id ORDER BY e.id, p.account",
    )
    .bind(big(after)?)
    .bind(one.to_string())
    .bind(other.to_string())
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    gather(&rows)
}

/// All entries after a number, the oldest first.
pub(crate) async fn journal(
    on: &mut Connection,
    after: u64,
    limit: u32,
) -> Result<Vec<Booked>, StoreError> {
    let rows = query(
        "SELECT e.id, e.cause, e.at_ms, p.account, p.amount
         FROM (SELECT * FROM ledger_entries o WHERE o.id > $1 ORDER BY o.id LIMIT $2) e
         LEFT JOIN ledger_postings p ON p.entry = e.id ORDER BY e.id, p.account",
    )
    .bind(big(after)?)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    gather(&rows)
}

/// The entry of a cause.
pub(crate) async fn entry_of(
    on: &mut Connection,
    cause: &str,
) -> Result<Option<Booked>, StoreError> {
    let rows = query(
        "SELECT e.id, e.cause, e.at_ms, p.account, p.amount
         FROM ledger_entries e LEFT JOIN ledger_postings p ON p.entry = e.id
         WHERE e.cause = $1 ORDER BY e.id, p.account",
    )
    .bind(cause)
    .fetch_all(on)
    .await?;
    Ok(gather(&rows)?.pop())
}

/// Rows of one posting each, in the order of their entries.
fn gather(rows: &[AnyRow]) -> Result<Vec<Booked>, StoreError> {
    let mut booked: Vec<Booked> = Vec::new();
    for row in rows {
        let id = row.number("id")?;
        if booked.last().is_none_or(|last| last.id != id) {
            booked.push(Booked {
                id,
                cause: row.text("cause")?,
                at_ms: row.number("at_ms")?,
                postings: Vec::new(),
            });
        }
        if let (Some(account), Some(entry)) = (row.text_opt("account")?, booked.last_mut()) {
            let amount = amount(row, "amount")?.micros();
            entry.postings.push((account, amount));
        }
    }
    Ok(booked)
}

/// A number that may be negative.
pub(crate) fn amount(row: &AnyRow, column: &'static str) -> Result<Amount, StoreError> {
    use sqlx::Row as _;
    Ok(Amount::from_micros(row.try_get(column)?))
}
