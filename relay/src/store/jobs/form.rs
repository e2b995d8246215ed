//! A job's state as it is kept.

use nacre_protocol::chain_job::ChainJobId;
use sqlx::any::AnyRow;
use sqlx::query;

use super::{JobRow, NewJob};
use crate::job::{JobState, Outcome, Standing, Work};
use crate::request::ChainJob;
use crate::store::row::RowExt as _;
use crate::store::{StoreError, Transaction, big};

pub(super) async fn save(
    tx: &mut Transaction,
    id: &ChainJobId,
    state: &JobState,
    now_ms: u64,
) -> Result<(), StoreError> {
    let (work, sending, reason) = match state.work {
        Work::Fresh => ("fresh", None, None),
        Work::Laid => ("laid", None, None),
        Work::Proven => ("proven", None, None),
        Work::Sending(nonce) => ("sending", Some(big(nonce)?), None),
        Work::Dropped(reason) => ("dropped", None, Some(reason.code())),
    };
    let settled = state.standing.settled();
    query(
        "UPDATE jobs SET requested_block = $2, settled_block = $3, settled = $4, work = $5, sending = $6, reason = $7,
             attempt = $8, reverts = $9, due_ms = 0, done = 0, changed_ms = $10 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(state.standing.requested().map(big).transpose()?)
    .bind(settled.map(|(block, _)| big(block)).transpose()?)
    .bind(settled.map(|(_, outcome)| outcome_word(outcome)))
    .bind(work)
    .bind(sending)
    .bind(reason)
    .bind(i64::from(state.attempt))
    .bind(i64::from(state.reverts))
    .bind(big(now_ms)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

pub(super) fn read(row: &AnyRow) -> Result<JobRow, StoreError> {
    let encoded = row.bytes("job")?;
    Ok(JobRow {
        asked: NewJob {
            id: row.parsed("id")?,
            job: ChainJob::decode(&encoded).map_err(|_| StoreError::Corrupt("job"))?,
            input: None,
            assured: row.flag("assured")?,
        },
        state: JobState {
            standing: standing(row)?,
            work: work(row)?,
            attempt: row.number("attempt")?,
            reverts: row.number("reverts")?,
        },
        due_ms: row.number("due_ms")?,
        result_key: result_key(row)?,
    })
}

fn result_key(row: &AnyRow) -> Result<Option<[u8; 32]>, StoreError> {
    let key = row.bytes_opt("result_key")?.map(TryInto::try_into);
    key.transpose()
        .map_err(|_| StoreError::Corrupt("result_key"))
}

fn standing(row: &AnyRow) -> Result<Standing, StoreError> {
    let requested = row.number_opt("requested_block")?;
    let settled = row.number_opt("settled_block")?;
    Ok(match (requested, settled) {
        (None, _) => Standing::Absent,
        (Some(block), None) => Standing::Requested(block),
        (Some(requested), Some(block)) => Standing::Settled {
            requested,
            block,
            outcome: match row.text_opt("settled")?.as_deref() {
                Some(ANSWERED) => Outcome::Answered,
                Some(CANCELLED) => Outcome::Cancelled,
                _ => return Err(StoreError::Corrupt("settled")),
            },
        },
    })
}

fn work(row: &AnyRow) -> Result<Work, StoreError> {
    Ok(match row.text_opt("work")?.as_deref() {
        Some("fresh") => Work::Fresh,
        Some("laid") => Work::Laid,
        Some("proven") => Work::Proven,
        Some("sending") => Work::Sending(row.number("sending")?),
        Some("dropped") => Work::Dropped(row.parsed("reason")?),
        _ => return Err(StoreError::Corrupt("work")),
    })
}

const ANSWERED: &str = "answered";
const CANCELLED: &str = "cancelled";

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => ANSWERED,
        Outcome::Cancelled => CANCELLED,
    }
}
