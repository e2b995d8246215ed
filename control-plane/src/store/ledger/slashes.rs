//! Slashes that the ledger has not booked yet.

use nacre_ledger::Amount;
use nacre_protocol::ids::{NodeId, OperatorId};
use sqlx::query;

use super::amount;
use crate::store::{Connection, RowExt as _, StoreError};

/// What a window cost a node.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub node: NodeId,
    pub number: u64,
    pub operator: OperatorId,
    pub amount: Amount,
}

/// Slashes without an entry, the oldest first: an operator's, or everybody's. At most 1000.
pub(crate) async fn pending(
    on: &mut Connection,
    operator: Option<&OperatorId>,
) -> Result<Vec<Due>, StoreError> {
    let rows = query(
        "SELECT s.node, s.number, s.operator, s.amount FROM slashes s
         WHERE s.amount > 0 AND ($1 = '' OR s.operator = $1) AND NOT EXISTS (
             SELECT 1 FROM ledger_entries e
             WHERE e.cause = 'slash:' || s.node || ':' || CAST(s.number AS TEXT))
         ORDER BY s.number, s.node LIMIT 1000",
    )
    .bind(operator.map_or_else(String::new, ToString::to_string))
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                node: row.parsed("node")?,
                number: row.number("number")?,
                operator: row.parsed("operator")?,
                amount: amount(row, "amount")?,
            })
        })
        .collect()
}

/// Entries for slashes that no window's row bears out: none, or another amount.
pub(crate) async fn unfounded(on: &mut Connection) -> Result<Vec<String>, StoreError> {
    let rows = query(
        "SELECT e.cause FROM ledger_entries e WHERE e.cause LIKE 'slash:%' AND NOT EXISTS (
             SELECT 1 FROM slashes s JOIN ledger_postings p ON p.entry = e.id
             WHERE e.cause = 'slash:' || s.node || ':' || CAST(s.number AS TEXT)
               AND p.account = 'treasury' AND p.amount = s.amount)
         ORDER BY e.id",
    )
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.text("cause")).collect()
}
