//! Usage receipts, and the numbers that they came with.

use nacre_ledger::{Amount, Gap, Sequence};
use nacre_protocol::encoding::{array_from_base64url, base64url};
use nacre_protocol::ids::{BootId, LeaseId, NodeId};
use nacre_protocol::usage::{SignedUsage, UsageReceipt};
use sha2::{Digest as _, Sha256};
use sqlx::any::AnyRow;
use sqlx::query;

use super::amount;
use crate::store::{Connection, RowExt as _, StoreError, big};

/// A receipt that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub signed: SignedUsage,
    /// The number of the agreement that it was charged by; none where nobody pays for it.
    pub rate: Option<u32>,
    pub cost: Amount,
    pub charged: Amount,
    pub booked_ms: u64,
}

/// A boot's node and receipt key, where its evidence vouched for one.
pub(crate) async fn boot(
    on: &mut Connection,
    boot: &BootId,
) -> Result<Option<(NodeId, [u8; 64])>, StoreError> {
    let row = query("SELECT node, receipt_key FROM boots WHERE boot_id = $1")
        .bind(boot.to_string())
        .fetch_optional(on)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let Some(text) = row.text_opt("receipt_key")? else {
        return Ok(None);
    };
    let mut key = [0; 64];
    hex::decode_to_slice(text, &mut key).map_err(|_| StoreError::Corrupt("receipt_key"))?;
    Ok(Some((row.parsed("node")?, key)))
}

/// The numbers of a boot that came so far.
pub(crate) async fn sequence(on: &mut Connection, boot: &BootId) -> Result<Sequence, StoreError> {
    let row = query("SELECT due, latest_ms FROM usage_sequences WHERE boot_id = $1")
        .bind(boot.to_string())
        .fetch_optional(&mut *on)
        .await?;
    let Some(row) = row else {
        return Ok(Sequence::default());
    };
    let gaps = query("SELECT first_seq, last_seq, noted_ms FROM usage_gaps WHERE boot_id = $1")
        .bind(boot.to_string())
        .fetch_all(on)
        .await?;
    let gaps = gaps.iter().map(|row| {
        Ok(Gap {
            from: row.number("first_seq")?,
            to: row.number("last_seq")?,
            noted_ms: row.number("noted_ms")?,
        })
    });
    let gaps = gaps.collect::<Result<Vec<_>, StoreError>>()?;
    let (due, latest) = (row.number("due")?, row.number("latest_ms")?);
    Ok(Sequence::restore(due, gaps, latest))
}

/// When a receipt of the lease's node came last, Unix milliseconds; 0 where none did.
pub(crate) async fn latest_of(on: &mut Connection, lease: &LeaseId) -> Result<u64, StoreError> {
    let row = query(
        "SELECT CAST(COALESCE(MAX(s.latest_ms), 0) AS BIGINT) AS latest FROM usage_sequences s
         JOIN boots b ON b.boot_id = s.boot_id JOIN lease_terms t ON t.node = b.node
         WHERE t.lease = $1",
    )
    .bind(lease.to_string())
    .fetch_one(on)
    .await?;
    row.number("latest")
}

/// Keeps the numbers of a boot.
pub(crate) async fn keep_sequence(
    on: &mut Connection,
    boot: &BootId,
    sequence: &Sequence,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO usage_sequences (boot_id, due, latest_ms) VALUES ($1, $2, $3)
         ON CONFLICT (boot_id) DO UPDATE SET due = excluded.due, latest_ms = excluded.latest_ms",
    )
    .bind(boot.to_string())
    .bind(big(sequence.due())?)
    .bind(big(sequence.latest_ms())?)
    .execute(&mut *on)
    .await?;
    query("DELETE FROM usage_gaps WHERE boot_id = $1")
        .bind(boot.to_string())
        .execute(&mut *on)
        .await?;
    for gap in sequence.gaps() {
        query(
            "INSERT INTO usage_gaps (boot_id, first_seq, last_seq, noted_ms) VALUES ($1, $2, $3, $4)",
        )
        .bind(boot.to_string())
        .bind(big(gap.from)?)
        .bind(big(gap.to)?)
        .bind(big(gap.noted_ms)?)
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// Keeps a receipt.
pub(crate) async fn insert(on: &mut Connection, taken: &Taken) -> Result<(), StoreError> {
    let receipt = &taken.signed.receipt;
    query(
        "INSERT INTO usage_receipts (boot_id, seq, lease, caller, compute_micros, bytes_in, bytes_out,
             signature, cost, charged, booked_ms, rate)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(receipt.boot_id.to_string())
    .bind(big(receipt.seq)?)
    .bind(receipt.lease.map(|lease| lease.to_string()))
    .bind(base64url(&receipt.caller))
    .bind(i64::from(receipt.compute_micros))
    .bind(big(receipt.bytes_in)?)
    .bind(big(receipt.bytes_out)?)
    .bind(base64url(&taken.signed.signature))
    .bind(taken.cost.micros())
    .bind(taken.charged.micros())
    .bind(big(taken.booked_ms)?)
    .bind(taken.rate.map(i64::from))
    .execute(on)
    .await?;
    Ok(())
}

/// The receipt that was taken under a number.
pub(crate) async fn get(
    on: &mut Connection,
    boot: &BootId,
    seq: u64,
) -> Result<Option<Taken>, StoreError> {
    let row = query("SELECT * FROM usage_receipts WHERE boot_id = $1 AND seq = $2")
        .bind(boot.to_string())
        .bind(big(seq)?)
        .fetch_optional(on)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Receipts of a boot after a number.
pub(crate) async fn after(
    on: &mut Connection,
    boot: &BootId,
    seq: u64,
    limit: u32,
) -> Result<Vec<Taken>, StoreError> {
    let rows =
        query("SELECT * FROM usage_receipts WHERE boot_id = $1 AND seq > $2 ORDER BY seq LIMIT $3")
            .bind(boot.to_string())
            .bind(big(seq)?)
            .bind(i64::from(limit))
            .fetch_all(on)
            .await?;
    rows.iter().map(read).collect()
}

/// Receipts of a boot before a number, the highest first.
pub(crate) async fn before(
    on: &mut Connection,
    boot: &BootId,
    seq: u64,
    limit: u32,
) -> Result<Vec<Taken>, StoreError> {
    let sql =
        "SELECT * FROM usage_receipts WHERE boot_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
    let rows = query(sql)
        .bind(boot.to_string())
        .bind(big(seq)?)
        .bind(i64::from(limit))
        .fetch_all(on)
        .await?;
    rows.iter().map(read).collect()
}

/// Boots of which there is a sequence or a receipt.
pub(crate) async fn boots(on: &mut Connection) -> Result<Vec<BootId>, StoreError> {
    let rows = query(
        "SELECT boot_id FROM usage_sequences UNION SELECT boot_id FROM usage_receipts
         ORDER BY boot_id",
    )
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("boot_id")).collect()
}

/// Notes what an honest node does not do; the same again is noted once.
pub(crate) async fn note_incident(
    on: &mut Connection,
    node: &NodeId,
    boot: &BootId,
    (code, which): (&str, &str),
    now_ms: u64,
) -> Result<(), StoreError> {
    let id = Sha256::digest(format!("{node} {boot} {code} {which}"));
    query(
        "INSERT INTO incidents (id, node, boot_id, code, at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(hex::encode(&id[..16]))
    .bind(node.to_string())
    .bind(boot.to_string())
    .bind(code)
    .bind(big(now_ms)?)
    .execute(&mut *on)
    .await?;
    crate::store::incidents::touch(on, node).await
}

fn read(row: &AnyRow) -> Result<Taken, StoreError> {
    let caller = row.text("caller")?;
    let signature = row.text("signature")?;
    Ok(Taken {
        signed: SignedUsage {
            receipt: UsageReceipt {
                lease: row.parsed_opt("lease")?,
                boot_id: row.parsed("boot_id")?,
                seq: row.number("seq")?,
                caller: array_from_base64url(&caller).map_err(|_| StoreError::Corrupt("caller"))?,
                compute_micros: row.number("compute_micros")?,
                bytes_in: row.number("bytes_in")?,
                bytes_out: row.number("bytes_out")?,
            },
            signature: array_from_base64url(&signature)
                .map_err(|_| StoreError::Corrupt("signature"))?,
        },
        rate: row.number_opt("rate")?,
        cost: amount(row, "cost")?,
        charged: amount(row, "charged")?,
        booked_ms: row.number("booked_ms")?,
    })
}
