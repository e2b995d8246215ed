//! How jobs end, and what nodes did on the way.

use nacre_protocol::ids::{BootId, JobId};
use sqlx::query;

use super::{JobRow, ending_text, read};
use crate::platform::{Ending, Holder};
use crate::store::{Connection, RowExt as _, StoreError, big};

/// A result that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settlement {
    /// Who gave it.
    pub holder: Holder,
    /// HTTP status of the result.
    pub status: u16,
    /// `nacre-job-receipt`.
    pub receipt: String,
    /// `nacre-chain-result`, where a contract asked for the job.
    pub chain_result: Option<String>,
    /// Bytes as carried.
    pub size: u64,
    /// Their digest.
    pub digest: String,
    /// Where they are.
    pub object: String,
}

/// Ends the job. A second end of it is an error of the database.
pub(crate) async fn settle(
    on: &mut Connection,
    job: &JobRow,
    ending: Ending,
    result: Option<&Settlement>,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO job_settlements (job, ending, attempt, settled_ms, node, boot_id, status,
             receipt, result_size, result_digest, result_object, chain_result)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(job.id.to_string())
    .bind(ending_text(ending))
    .bind(i64::from(job.progress.attempt))
    .bind(big(now_ms)?)
    .bind(result.map(|result| result.holder.node.to_string()))
    .bind(result.map(|result| result.holder.boot.to_string()))
    .bind(result.map(|result| i64::from(result.status)))
    .bind(result.map(|result| result.receipt.clone()))
    .bind(result.map(|result| big(result.size)).transpose()?)
    .bind(result.map(|result| result.digest.clone()))
    .bind(result.map(|result| result.object.clone()))
    .bind(result.and_then(|result| result.chain_result.clone()))
    .execute(on)
    .await?;
    Ok(())
}

/// The result of a job that is done.
pub(crate) async fn settlement(
    on: &mut Connection,
    id: &JobId,
) -> Result<Option<Settlement>, StoreError> {
    let row = query("SELECT * FROM job_settlements WHERE job = $1 AND ending = 'done'")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| {
        Ok(Settlement {
            holder: Holder {
                node: row.parsed("node")?,
                boot: row.parsed("boot_id")?,
            },
            status: row.number("status")?,
            receipt: row.text("receipt")?,
            chain_result: row.text_opt("chain_result")?,
            size: row.number("result_size")?,
            digest: row.text("result_digest")?,
            object: row.text("result_object")?,
        })
    })
    .transpose()
}

/// Notes how the job's last attempt ended.
pub(crate) async fn end_attempt(
    on: &mut Connection,
    job: &JobRow,
    outcome: &str,
    now_ms: u64,
) -> Result<(), StoreError> {
    query("UPDATE job_attempts SET ended_ms = $1, outcome = $2 WHERE job = $3 AND attempt = $4")
        .bind(big(now_ms)?)
        .bind(outcome)
        .bind(job.id.to_string())
        .bind(i64::from(job.progress.attempt))
        .execute(on)
        .await?;
    Ok(())
}

/// Says until when an ended job is kept.
pub(crate) async fn keep_until(
    on: &mut Connection,
    id: &JobId,
    until_ms: u64,
) -> Result<(), StoreError> {
    query("UPDATE jobs SET kept_until_ms = $1 WHERE id = $2")
        .bind(big(until_ms)?)
        .bind(id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// A job whose end is still to be told is kept as long.
macro_rules! kept_long_enough {
    ($verb:literal, $rest:literal) => {
        concat!(
            $verb,
            " FROM jobs WHERE kept_until_ms < $1 AND ended_ms IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM queue q WHERE q.kind = 'webhook' AND q.id = jobs.id) ",
            $rest
        )
    };
}

/// Whether any ended job was kept until before `before_ms`, and everybody was told of it.
pub(crate) async fn kept(on: &mut Connection, before_ms: u64) -> Result<bool, StoreError> {
    let row = query(kept_long_enough!("SELECT id", "LIMIT 1"))
        .bind(big(before_ms)?)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Forgets those jobs. Their objects have rows of their own.
pub(crate) async fn forget_kept(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query(kept_long_enough!("DELETE", ""))
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}

/// The receipt key that the boot's evidence vouched for.
pub(crate) async fn boot_keys(
    on: &mut Connection,
    boot: &BootId,
) -> Result<Option<[u8; 64]>, StoreError> {
    let row = query("SELECT receipt_key FROM boots WHERE boot_id = $1")
        .bind(boot.to_string())
        .fetch_optional(on)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let key = row.text_opt("receipt_key")?;
    key.map(|key| read::bytes("receipt_key", &key)).transpose()
}
