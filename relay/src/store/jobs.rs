//! Jobs and their answers.

use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::encoding::base64url;
use sqlx::any::AnyRow;
use sqlx::query;

use super::row::RowExt as _;
use super::{StoreError, Transaction, big};
use crate::job::{Event, JobState, Present};
use crate::request::ChainJob;

mod form;

use form::{read, save};

/// A job as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// The contract's id.
    pub id: ChainJobId,
    /// What was asked.
    pub job: ChainJob,
    /// The input, where it came along.
    pub input: Option<Vec<u8>>,
    /// Whether the drawn operator is slashed where it is late.
    pub assured: bool,
}

/// A job and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// As it was asked for; without the input where it was read for an overview.
    pub asked: NewJob,
    /// Where it stands.
    pub state: JobState,
    /// When it is worth looking again, Unix milliseconds.
    pub due_ms: u64,
    /// The key that its result is sealed to, where its input was found to be sealed.
    pub result_key: Option<[u8; 32]>,
}

const COLUMNS: &str = "id, job, assured, requested_block, settled_block, settled, work, sending, reason, attempt, reverts, due_ms, result_key";

impl JobRow {
    /// Keeps a request that was seen in this block; one that was known is there again.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn requested(
        tx: &mut Transaction,
        asked: &NewJob,
        block: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if apply(tx, &asked.id, Event::Requested(block), now_ms)
            .await?
            .is_some()
        {
            return Ok(());
        }
        query(
            "INSERT INTO jobs (id, job, input, assured, deadline, requested_block, work, attempt, reverts, due_ms, done, changed_ms)
             VALUES ($1, $2, $3, $4, $5, $6, 'fresh', 0, 0, 0, 0, $7)",
        )
        .bind(asked.id.to_string())
        .bind(base64url(&asked.job.encode()))
        .bind(asked.input.as_deref().map(base64url))
        .bind(i64::from(asked.assured))
        .bind(big(asked.job.request.deadline)?)
        .bind(big(block)?)
        .bind(big(now_ms)?)
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// Tells a job what happened to it; none where there is no such job.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn on(
        tx: &mut Transaction,
        id: &ChainJobId,
        event: Event,
        now_ms: u64,
    ) -> Result<Option<JobState>, StoreError> {
        apply(tx, id, event, now_ms).await
    }

    /// A job with its input.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn get(tx: &mut Transaction, id: &ChainJobId) -> Result<Option<Self>, StoreError> {
        let sql = format!("SELECT {COLUMNS}, input FROM jobs WHERE id = $1");
        let row = query(sqlx::AssertSqlSafe(sql))
            .bind(id.to_string())
            .fetch_optional(&mut **tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let mut job = read(&row)?;
        job.asked.input = row.bytes_opt("input")?;
        Ok(Some(job))
    }

    /// All jobs that are due and for which there may be something to do, without their inputs, those that waited longest
    /// first. Left out are those that wait for their end to be final, or were left and wait for their deadline.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn due(
        tx: &mut Transaction,
        now_ms: u64,
        present: &Present,
        limit: u32,
    ) -> Result<Vec<Self>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE done = 0 AND due_ms <= $1
                 AND (settled_block IS NULL OR settled_block <= $2)
                 AND (settled_block IS NOT NULL OR work <> 'dropped' OR deadline < $3)
             ORDER BY due_ms, requested_block, id LIMIT $4"
        );
        let settled = (present.head + 1).saturating_sub(present.final_depth);
        let rows = query(sqlx::AssertSqlSafe(sql))
            .bind(big(now_ms)?)
            .bind(big(settled)?)
            .bind(big(present.now)?)
            .bind(i64::from(limit))
            .fetch_all(&mut **tx)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Looks at a job not before this time.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn wait_until(
        tx: &mut Transaction,
        id: &ChainJobId,
        due_ms: u64,
    ) -> Result<(), StoreError> {
        query("UPDATE jobs SET due_ms = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(big(due_ms)?)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Notes the key that its result is sealed to.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn is_sealed_to(
        tx: &mut Transaction,
        id: &ChainJobId,
        result_key: &[u8; 32],
    ) -> Result<(), StoreError> {
        query("UPDATE jobs SET result_key = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(base64url(result_key))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// A job that nothing can change any more. Its input and its answer's bytes are forgotten.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn finish(tx: &mut Transaction, id: &ChainJobId) -> Result<(), StoreError> {
        for sql in [
            "UPDATE jobs SET done = 1, input = NULL WHERE id = $1",
            "DELETE FROM answers WHERE job = $1",
        ] {
            query(sql).bind(id.to_string()).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// How many jobs there are, by what this relay did with them: its code for the reason where it left them.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn census(tx: &mut Transaction) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = query(
            "SELECT COALESCE(settled, reason, work) AS what, COUNT(*) AS number FROM jobs GROUP BY COALESCE(settled, reason, work)",
        );
        let rows = rows.fetch_all(&mut **tx).await?;
        let read = |row: &AnyRow| -> Result<_, StoreError> {
            Ok((row.parsed("what")?, row.number("number")?))
        };
        rows.iter().map(read).collect()
    }
}

/// Jobs that something happened to after this block.
pub(super) async fn after(tx: &mut Transaction, block: u64) -> Result<Vec<ChainJobId>, StoreError> {
    let rows = query("SELECT id FROM jobs WHERE requested_block > $1 OR settled_block > $1")
        .bind(big(block)?)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Tells a job what happened to it.
pub(super) async fn apply(
    tx: &mut Transaction,
    id: &ChainJobId,
    event: Event,
    now_ms: u64,
) -> Result<Option<JobState>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM jobs WHERE id = $1");
    let row = query(sqlx::AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(&mut **tx)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let before = read(&row)?.state;
    let state = before.on(event);
    if state != before {
        save(tx, id, &state, now_ms).await?;
    }
    Ok(Some(state))
}
