//! Rows of jobs.

use nacre_protocol::api::jobs::JobFailure;
use nacre_protocol::ids::{JobId, OrganisationName};
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Input, JobRow};
use crate::platform::{Ending, Holder, Phase, Progress};
use crate::store::{Connection, RowExt as _, StoreError, big};

/// One job.
pub(crate) async fn get(on: &mut Connection, id: &JobId) -> Result<Option<JobRow>, StoreError> {
    let row = query("SELECT * FROM jobs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| job(&row)).transpose()
}

/// One job of an organisation.
pub(crate) async fn owned(
    on: &mut Connection,
    id: &JobId,
    organisation: &OrganisationName,
) -> Result<Option<JobRow>, StoreError> {
    let row = query("SELECT * FROM jobs WHERE id = $1 AND organisation = $2")
        .bind(id.to_string())
        .bind(organisation.as_str())
        .fetch_optional(on)
        .await?;
    row.map(|row| job(&row)).transpose()
}

/// An organisation's jobs, the latest first, after the one that `after` names by its time and id.
pub(crate) async fn page(
    on: &mut Connection,
    organisation: &OrganisationName,
    after: Option<(u64, JobId)>,
    limit: u32,
) -> Result<Vec<JobRow>, StoreError> {
    let (time, id) = match after {
        Some((time, id)) => (big(time)?, id.to_string()),
        None => (i64::MAX, String::new()),
    };
    let rows = query(
        "SELECT * FROM jobs
         WHERE organisation = $4 AND (created_ms < $1 OR (created_ms = $1 AND id < $2))
         ORDER BY created_ms DESC, id DESC LIMIT $3",
    )
    .bind(time)
    .bind(id)
    .bind(i64::from(limit))
    .bind(organisation.as_str())
    .fetch_all(on)
    .await?;
    rows.iter().map(job).collect()
}

/// A job's row.
pub(super) fn job(row: &AnyRow) -> Result<JobRow, StoreError> {
    Ok(JobRow {
        id: row.parsed("id")?,
        organisation: row.parsed("organisation")?,
        owner: row.text("owner")?,
        function: row.parsed("function")?,
        digest: row.parsed("digest")?,
        fingerprint: row.text("fingerprint")?,
        progress: progress(row)?,
        max_second_cost: row.number_opt("max_second_cost")?,
        webhook: row.text_opt("webhook")?,
        result_key: row
            .text_opt("result_key")?
            .map(|text| bytes("result_key", &text))
            .transpose()?,
        chain: row.parsed_opt("chain")?,
        input: Input {
            size: row.number("input_size")?,
            digest: row.parsed("input_digest")?,
            object: row.text_opt("input_object")?,
        },
        failure: failure(row)?,
        created_ms: row.number("created_ms")?,
        ended_ms: row.number_opt("ended_ms")?,
        kept_until_ms: row.number_opt("kept_until_ms")?,
        trace: row.text_opt("trace")?,
    })
}

fn progress(row: &AnyRow) -> Result<Progress, StoreError> {
    let holder = match (
        row.parsed_opt("holder_node")?,
        row.parsed_opt("holder_boot")?,
    ) {
        (Some(node), Some(boot)) => Some(Holder { node, boot }),
        _ => None,
    };
    let avoid = match row.parsed_opt("avoid_boot")? {
        Some(boot) => Some((boot, row.number("avoid_until_ms")?)),
        None => None,
    };
    Ok(Progress {
        phase: phase(row)?,
        attempt: row.number("attempt")?,
        tries: row.number("tries")?,
        holder,
        avoid,
        deadline_ms: row.number("deadline_ms")?,
    })
}

fn phase(row: &AnyRow) -> Result<Phase, StoreError> {
    let until_ms = row.number("lease_until_ms")?;
    Ok(match row.text("state")?.as_str() {
        "queued" => Phase::Queued {
            due_ms: row.number("due_ms")?,
        },
        "leased" => Phase::Leased { until_ms },
        "running" => Phase::Running { until_ms },
        "done" => Phase::Ended(Ending::Done),
        "failed" => Phase::Ended(Ending::Failed),
        "expired" => Phase::Ended(Ending::Expired),
        "cancelled" => Phase::Ended(Ending::Cancelled),
        _ => return Err(StoreError::Corrupt("state")),
    })
}

fn failure(row: &AnyRow) -> Result<Option<JobFailure>, StoreError> {
    let Some(code) = row.text_opt("failure_code")? else {
        return Ok(None);
    };
    Ok(Some(JobFailure {
        code,
        message: row.text("failure_message")?,
        retryable: row.parsed("failure_retryable")?,
    }))
}

/// As many bytes as hex digits say.
pub(super) fn bytes<const N: usize>(
    column: &'static str,
    text: &str,
) -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| StoreError::Corrupt(column))?;
    Ok(bytes)
}
