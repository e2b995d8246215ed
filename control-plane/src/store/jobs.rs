//! Jobs: their rows, and how they are given to nodes.
//!
//! What becomes of a job is decided by [`crate::platform`]'s state machine; here its state is read and written. Whoever
//! changes a job locks its row first (on PostgreSQL; SQLite has one writer), because giving jobs out does not wait for its
//! turn among those who write.

mod objects;
mod read;
mod settle;

use nacre_protocol::api::jobs::JobFailure;
use nacre_protocol::chain_job::ChainTerms;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, JobId, LeaseId, NodeId, OrganisationName};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};
use crate::platform::{Ending, Holder, Phase, Progress};

pub(crate) use objects::{expire_object, expired_objects, forget_object, note_object};
pub(crate) use read::{get, owned, page};
pub(crate) use settle::{
    Settlement, boot_keys, end_attempt, forget_kept, keep_until, kept, settle, settlement,
};

/// A job's row.
#[derive(Debug, Clone)]
pub(crate) struct JobRow {
    pub id: JobId,
    /// Whose job it is.
    pub organisation: OrganisationName,
    /// The id of the API key that made it.
    pub owner: String,
    pub function: FunctionName,
    pub digest: Digest,
    /// SHA-256 of what was asked for, in hex.
    pub fingerprint: String,
    pub progress: Progress,
    /// The most that a second may cost of the lease that runs it, 1024ths of a micro-unit.
    pub max_second_cost: Option<u64>,
    pub webhook: Option<String>,
    /// The key that the result is sealed to; the input is sealed exactly where there is one.
    pub result_key: Option<[u8; 32]>,
    /// For which contract the result is signed, too.
    pub chain: Option<ChainTerms>,
    pub input: Input,
    pub failure: Option<JobFailure>,
    pub created_ms: u64,
    pub ended_ms: Option<u64>,
    pub kept_until_ms: Option<u64>,
    /// The trace that it was laid in by.
    pub trace: Option<String>,
}

/// A job's input as carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    pub size: u64,
    pub digest: Digest,
    /// Where it is, once it is there.
    pub object: Option<String>,
}

/// Makes a job. It must not be there.
pub(crate) async fn insert(on: &mut Connection, job: &JobRow) -> Result<(), StoreError> {
    query(
        "INSERT INTO jobs (id, owner, function, digest, fingerprint, state, attempt, tries, due_ms,
             lease_until_ms, avoid_until_ms, deadline_ms, max_second_cost, webhook, result_key,
             input_size, input_digest, input_object, created_ms, organisation, chain, trace)
         VALUES ($1, $2, $3, $4, $5, 'queued', 0, 0, $6, 0, 0, $7, $8, $9, $10, $11, $12, $13, $6, $14, $15, $16)",
    )
    .bind(job.id.to_string())
    .bind(&job.owner)
    .bind(job.function.as_str())
    .bind(job.digest.to_string())
    .bind(&job.fingerprint)
    .bind(big(job.created_ms)?)
    .bind(big(job.progress.deadline_ms)?)
    .bind(job.max_second_cost.map(big).transpose()?)
    .bind(job.webhook.clone())
    .bind(job.result_key.map(hex::encode))
    .bind(big(job.input.size)?)
    .bind(job.input.digest.to_string())
    .bind(job.input.object.clone())
    .bind(job.organisation.as_str())
    .bind(job.chain.map(|chain| chain.to_string()))
    .bind(job.trace.as_deref())
    .execute(on)
    .await?;
    Ok(())
}

/// Says where the input is.
pub(crate) async fn set_input(
    on: &mut Connection,
    id: &JobId,
    object: Option<&str>,
) -> Result<(), StoreError> {
    query("UPDATE jobs SET input_object = $1 WHERE id = $2")
        .bind(object)
        .bind(id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Says to which keys a job's input is sealed.
pub(crate) async fn insert_recipients<'k>(
    on: &mut Connection,
    id: &JobId,
    key_ids: impl Iterator<Item = &'k [u8; 32]>,
) -> Result<(), StoreError> {
    for key_id in key_ids {
        query(
            "INSERT INTO job_recipients (job, key_id) VALUES ($1, $2)
             ON CONFLICT (job, key_id) DO NOTHING",
        )
        .bind(id.to_string())
        .bind(hex::encode(key_id))
        .execute(&mut *on)
        .await?;
    }
    Ok(())
}

/// A job, locked until the transaction ends.
pub(crate) async fn lock(on: &mut Connection, id: &JobId) -> Result<Option<JobRow>, StoreError> {
    let sql = match on.backend_name() {
        "PostgreSQL" => "SELECT * FROM jobs WHERE id = $1 FOR UPDATE",
        _ => "SELECT * FROM jobs WHERE id = $1",
    };
    let row = query(sql).bind(id.to_string()).fetch_optional(on).await?;
    row.map(|row| read::job(&row)).transpose()
}

/// Writes a job's state and last failure. The row must be locked.
pub(crate) async fn save(on: &mut Connection, job: &JobRow, now_ms: u64) -> Result<(), StoreError> {
    let progress = &job.progress;
    let (due_ms, until_ms) = match progress.phase {
        Phase::Queued { due_ms } => (due_ms, 0),
        Phase::Leased { until_ms } | Phase::Running { until_ms } => (0, until_ms),
        Phase::Ended(_) => (0, 0),
    };
    let ended_ms = matches!(progress.phase, Phase::Ended(_)).then_some(now_ms);
    let failure = job.failure.as_ref();
    query(
        "UPDATE jobs SET state = $1, attempt = $2, tries = $3, due_ms = $4, lease_until_ms = $5,
             holder_node = $6, holder_boot = $7, avoid_boot = $8, avoid_until_ms = $9,
             failure_code = $10, failure_message = $11, failure_retryable = $12, ended_ms = $13
         WHERE id = $14",
    )
    .bind(state_text(progress.phase))
    .bind(i64::from(progress.attempt))
    .bind(i64::from(progress.tries))
    .bind(big(due_ms)?)
    .bind(big(until_ms)?)
    .bind(progress.holder.map(|holder| holder.node.to_string()))
    .bind(progress.holder.map(|holder| holder.boot.to_string()))
    .bind(progress.avoid.map(|(boot, _)| boot.to_string()))
    .bind(big(progress.avoid.map_or(0, |(_, until_ms)| until_ms))?)
    .bind(failure.map(|failure| failure.code.clone()))
    .bind(failure.map(|failure| failure.message.clone()))
    .bind(failure.map(|failure| failure.retryable.to_string()))
    .bind(ended_ms.map(big).transpose()?)
    .bind(job.id.to_string())
    .execute(on)
    .await?;
    Ok(())
}

/// A job that a node may have, and the lease that it would run under.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub job: JobRow,
    pub lease: LeaseId,
}

// What a second costs is counted in 1024ths of a micro-unit, MiB and processors rounded up: no ask and no function is so large
// that it would not fit into 63 bits.
macro_rules! candidate {
    ($lock:literal) => {
        concat!(
            "SELECT j.*, l.id AS lease FROM jobs j
             JOIN deployments d ON d.digest = j.digest
             JOIN leases l ON l.deployment = d.id
             WHERE j.state = 'queued' AND j.input_object IS NOT NULL
               AND j.due_ms <= $3 AND j.deadline_ms > $3
               AND l.node = $1 AND l.ended_ms IS NULL AND l.draining_ms IS NULL AND l.state = 'ready'
               AND (j.max_second_cost IS NULL OR l.price * ((l.memory_bytes + 1048575) / 1048576)
                   + (l.cpu_price * l.cpu_milli * 128 + 124) / 125 <= j.max_second_cost)
               AND (j.avoid_boot IS NULL OR j.avoid_boot <> $2 OR j.avoid_until_ms <= $3)
               AND (j.result_key IS NULL OR EXISTS (
                   SELECT 1 FROM job_recipients r JOIN boots b ON b.seal_key_id = r.key_id
                   WHERE r.job = j.id AND b.boot_id = $2))
               AND NOT EXISTS (SELECT 1 FROM incidents i WHERE i.job = j.id AND i.node = $1)
             ORDER BY j.created_ms, j.id LIMIT 1 ",
            $lock
        )
    };
}

/// Whether there is one.
pub(crate) async fn any_candidate(
    on: &mut Connection,
    holder: &Holder,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let row = query(candidate!(""))
        .bind(holder.node.to_string())
        .bind(holder.boot.to_string())
        .bind(big(now_ms)?)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// The oldest job that the node's enclave may have, locked. On PostgreSQL those are passed over that somebody else is just
/// taking, so that nobody waits.
pub(crate) async fn candidate(
    on: &mut Connection,
    holder: &Holder,
    now_ms: u64,
) -> Result<Option<Candidate>, StoreError> {
    let sql = match on.backend_name() {
        "PostgreSQL" => candidate!("FOR UPDATE OF j SKIP LOCKED"),
        _ => candidate!(""),
    };
    let row = query(sql)
        .bind(holder.node.to_string())
        .bind(holder.boot.to_string())
        .bind(big(now_ms)?)
        .fetch_optional(on)
        .await?;
    row.map(|row| {
        Ok(Candidate {
            job: read::job(&row)?,
            lease: row.parsed("lease")?,
        })
    })
    .transpose()
}

/// Notes a lease of a job.
pub(crate) async fn insert_attempt(
    on: &mut Connection,
    job: &JobRow,
    holder: &Holder,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO job_attempts (job, attempt, node, boot_id, leased_ms)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(job.id.to_string())
    .bind(i64::from(job.progress.attempt))
    .bind(holder.node.to_string())
    .bind(holder.boot.to_string())
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Jobs that nodes took before `before_ms` and have had ever since. At most 256.
pub(crate) async fn overrun(on: &mut Connection, before_ms: u64) -> Result<Vec<JobId>, StoreError> {
    let rows = query(
        "SELECT j.id FROM jobs j JOIN job_attempts a ON a.job = j.id AND a.attempt = j.attempt
         WHERE j.state IN ('leased', 'running') AND a.leased_ms < $1 LIMIT 256",
    )
    .bind(big(before_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// When the job's last attempt began.
pub(crate) async fn leased_ms(
    on: &mut Connection,
    job: &JobRow,
) -> Result<Option<u64>, StoreError> {
    let row = query("SELECT leased_ms FROM job_attempts WHERE job = $1 AND attempt = $2")
        .bind(job.id.to_string())
        .bind(i64::from(job.progress.attempt))
        .fetch_optional(on)
        .await?;
    row.map(|row| row.number("leased_ms")).transpose()
}

/// Whether this boot of the node has said since `since_ms` that it serves the function.
pub(crate) async fn says_ready(
    on: &mut Connection,
    holder: &Holder,
    digest: &Digest,
    since_ms: u64,
) -> Result<bool, StoreError> {
    let row = query(
        "SELECT l.id FROM leases l JOIN deployments d ON d.id = l.deployment
         JOIN nodes n ON n.id = l.node
         WHERE l.node = $1 AND n.boot_id = $2 AND d.digest = $3 AND l.ended_ms IS NULL
           AND l.state = 'ready' AND n.seen_ms > $4 LIMIT 1",
    )
    .bind(holder.node.to_string())
    .bind(holder.boot.to_string())
    .bind(digest.to_string())
    .bind(big(since_ms)?)
    .fetch_optional(on)
    .await?;
    Ok(row.is_some())
}

/// Whether the node was ever given the job.
pub(crate) async fn was_given(
    on: &mut Connection,
    id: &JobId,
    node: &NodeId,
) -> Result<bool, StoreError> {
    let row = query("SELECT attempt FROM job_attempts WHERE job = $1 AND node = $2 LIMIT 1")
        .bind(id.to_string())
        .bind(node.to_string())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Jobs to which time has done something: a lease ran out (before `lost_before_ms`), or the deadline passed. At most 256.
pub(crate) async fn overdue(
    on: &mut Connection,
    now_ms: u64,
    lost_before_ms: u64,
) -> Result<Vec<JobId>, StoreError> {
    let rows = query(
        "SELECT id FROM jobs WHERE ended_ms IS NULL AND (deadline_ms <= $1
             OR (state IN ('leased', 'running') AND lease_until_ms <= $2)) LIMIT 256",
    )
    .bind(big(now_ms)?)
    .bind(big(lost_before_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Nodes that run the version now.
pub(crate) async fn runners(
    on: &mut Connection,
    digest: &Digest,
) -> Result<Vec<NodeId>, StoreError> {
    let rows = query(
        "SELECT DISTINCT l.node FROM leases l JOIN deployments d ON d.id = l.deployment
         WHERE d.digest = $1 AND l.ended_ms IS NULL AND l.draining_ms IS NULL AND l.state = 'ready'",
    )
    .bind(digest.to_string())
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("node")).collect()
}

fn state_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Queued { .. } => "queued",
        Phase::Leased { .. } => "leased",
        Phase::Running { .. } => "running",
        Phase::Ended(ending) => ending_text(ending),
    }
}

fn ending_text(ending: Ending) -> &'static str {
    match ending {
        Ending::Done => "done",
        Ending::Failed => "failed",
        Ending::Expired => "expired",
        Ending::Cancelled => "cancelled",
    }
}
