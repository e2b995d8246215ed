//! Jobs as callers see them.

use nacre_protocol::api::jobs::{Job, JobOutcome, JobState};
use nacre_protocol::ids::JobId;

use super::{Ending, Phase};
use crate::store::jobs::{JobRow, Settlement};

/// A job and, where it is done, its result.
pub(super) fn job(row: &JobRow, settlement: Option<&Settlement>) -> Job {
    let state = state(row.progress.phase);
    let kept_until_ms = row.kept_until_ms.unwrap_or_default();
    Job {
        id: row.id,
        function: row.function.clone(),
        digest: row.digest,
        state,
        sealed: row.result_key.is_some(),
        attempts: row.progress.attempt,
        created_ms: row.created_ms,
        deadline_ms: row.progress.deadline_ms,
        ended_ms: row.ended_ms,
        result: settlement.map(|settlement| JobOutcome {
            status: settlement.status,
            node: settlement.holder.node,
            boot_id: settlement.holder.boot,
            size: settlement.size,
            receipt: settlement.receipt.clone(),
            chain_result: settlement.chain_result.clone(),
            kept_until_ms,
        }),
        failure: row.failure.clone().filter(|_| state != JobState::Done),
        chain: row.chain,
    }
}

fn state(phase: Phase) -> JobState {
    match phase {
        Phase::Queued { .. } => JobState::Queued,
        Phase::Leased { .. } => JobState::Leased,
        Phase::Running { .. } => JobState::Running,
        Phase::Ended(Ending::Done) => JobState::Done,
        Phase::Ended(Ending::Failed) => JobState::Failed,
        Phase::Ended(Ending::Expired) => JobState::Expired,
        Phase::Ended(Ending::Cancelled) => JobState::Cancelled,
    }
}

/// A job's place in the list.
pub(super) fn position_of(row: &JobRow) -> String {
    format!("{}.{}", row.created_ms, row.id)
}

/// Reads what [`position_of`] wrote.
pub(super) fn position(text: &str) -> Option<(u64, JobId)> {
    let (time, id) = text.split_once('.')?;
    Some((time.parse().ok()?, id.parse().ok()?))
}
