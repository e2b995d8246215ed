//! What operators asked to be paid, and were.

use nacre_ledger::{Account, Amount, Overflow};
use nacre_protocol::api::payouts::{Payout, PayoutState};
use nacre_protocol::ids::{OperatorId, OrganisationName, PayoutId};
use sqlx::any::AnyRow;
use sqlx::query;

use super::{amount, balance, slashes};
use crate::store::{Connection, RowExt as _, StoreError, big};

/// An operator's money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Earned and not paid.
    pub earned: Amount,
    /// Asked for and not paid.
    pub asked: Amount,
    /// To be slashed.
    pub kept_back: Amount,
    /// Paid.
    pub paid: Amount,
}

impl Standing {
    /// What is earned and no slash's.
    pub(crate) fn payable(&self) -> Result<Amount, Overflow> {
        Ok(self.earned.minus(self.kept_back)?.max(Amount::ZERO))
    }

    /// What is earned, and neither asked for nor a slash's.
    pub(crate) fn available(&self) -> Result<Amount, Overflow> {
        Ok(self.payable()?.minus(self.asked)?.max(Amount::ZERO))
    }
}

/// What an operator has.
pub(crate) async fn standing(
    on: &mut Connection,
    operator: &OperatorId,
) -> Result<Standing, StoreError> {
    let slashed = slashes::pending(on, Some(operator)).await?;
    let slashed = slashed
        .iter()
        .try_fold(Amount::ZERO, |sum, due| sum.plus(due.amount));
    let row = query(
        "SELECT CAST(COALESCE(SUM(CASE WHEN paid_ms IS NULL THEN amount END), 0) AS BIGINT) AS asked,
                CAST(COALESCE(SUM(CASE WHEN paid_ms IS NULL THEN 0 ELSE amount END), 0) AS BIGINT) AS paid
         FROM payouts WHERE operator = $1 AND withdrawn_ms IS NULL",
    )
    .bind(operator.to_string())
    .fetch_one(&mut *on)
    .await?;
    Ok(Standing {
        earned: balance(on, &Account::Operator(*operator)).await?,
        asked: amount(&row, "asked")?,
        kept_back: slashed.map_err(|_| StoreError::Corrupt("amount"))?,
        paid: amount(&row, "paid")?,
    })
}

/// Operators of an organisation's nodes after one, in order.
pub(crate) async fn operators(
    on: &mut Connection,
    organisation: &OrganisationName,
    after: &str,
    limit: u32,
) -> Result<Vec<OperatorId>, StoreError> {
    let rows = query(
        "SELECT DISTINCT operator FROM nodes WHERE organisation = $1 AND operator > $2
         ORDER BY operator LIMIT $3",
    )
    .bind(organisation.as_str())
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("operator")).collect()
}

/// Whether an operator rents out a node of the organisation.
pub(crate) async fn is_of(
    on: &mut Connection,
    organisation: &OrganisationName,
    operator: &OperatorId,
) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM nodes WHERE organisation = $1 AND operator = $2 LIMIT 1";
    let row = query(sql)
        .bind(organisation.as_str())
        .bind(operator.to_string())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Keeps a payout.
pub(crate) async fn insert(on: &mut Connection, payout: &Payout) -> Result<(), StoreError> {
    let paid = payout
        .ended_ms
        .filter(|_| payout.state == PayoutState::Paid);
    query(
        "INSERT INTO payouts (id, operator, amount, asked_ms, paid_ms, reference)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(payout.id.to_string())
    .bind(payout.operator.to_string())
    .bind(payout.amount)
    .bind(big(payout.asked_ms)?)
    .bind(paid.map(big).transpose()?)
    .bind(payout.reference.as_deref())
    .execute(on)
    .await?;
    Ok(())
}

/// Notes that one was paid.
pub(crate) async fn pay(
    on: &mut Connection,
    id: &PayoutId,
    reference: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    query("UPDATE payouts SET paid_ms = $1, reference = $2 WHERE id = $3")
        .bind(big(now_ms)?)
        .bind(reference)
        .bind(id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Notes that one is not wanted any more.
pub(crate) async fn withdraw(
    on: &mut Connection,
    id: &PayoutId,
    now_ms: u64,
) -> Result<(), StoreError> {
    query("UPDATE payouts SET withdrawn_ms = $1 WHERE id = $2")
        .bind(big(now_ms)?)
        .bind(id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// A payout.
pub(crate) async fn get(on: &mut Connection, id: &PayoutId) -> Result<Option<Payout>, StoreError> {
    let row = query("SELECT * FROM payouts WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Payouts of the operators of an organisation's nodes, or of one of them, before a place in the list, the latest first.
pub(crate) async fn list(
    on: &mut Connection,
    organisation: &OrganisationName,
    operator: Option<&OperatorId>,
    before: (u64, &str),
    limit: u32,
) -> Result<Vec<Payout>, StoreError> {
    let rows = query(
        "SELECT p.* FROM payouts p
         WHERE p.operator IN (SELECT n.operator FROM nodes n WHERE n.organisation = $1)
           AND ($2 = '' OR p.operator = $2)
           AND (p.asked_ms < $3 OR (p.asked_ms = $3 AND p.id < $4))
         ORDER BY p.asked_ms DESC, p.id DESC LIMIT $5",
    )
    .bind(organisation.as_str())
    .bind(operator.map_or_else(String::new, ToString::to_string))
    .bind(big(before.0)?)
    .bind(before.1)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

/// All payouts after one, by id.
pub(crate) async fn all(
    on: &mut Connection,
    after: &str,
    limit: u32,
) -> Result<Vec<Payout>, StoreError> {
    let rows = query("SELECT * FROM payouts WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(on)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Payout, StoreError> {
    let paid: Option<u64> = row.number_opt("paid_ms")?;
    let withdrawn: Option<u64> = row.number_opt("withdrawn_ms")?;
    let state = match (paid, withdrawn) {
        (None, None) => PayoutState::Asked,
        (Some(_), None) => PayoutState::Paid,
        (None, Some(_)) => PayoutState::Withdrawn,
        (Some(_), Some(_)) => return Err(StoreError::Corrupt("withdrawn_ms")),
    };
    Ok(Payout {
        id: row.parsed("id")?,
        operator: row.parsed("operator")?,
        amount: amount(row, "amount")?.micros(),
        state,
        asked_ms: row.number("asked_ms")?,
        ended_ms: paid.or(withdrawn),
        reference: row.text_opt("reference")?,
    })
}
