//! One step of a job, with everything that belongs to it.

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;

use super::machine::{Effect, Ending, Event, Phase, Refusal, Rules};
use crate::error::{Error, JobError};
use crate::platform::{Changed, Platform};
use crate::store::jobs::{self, JobRow, Settlement};
use crate::store::{Transaction, queue};

/// Webhooks in the queue.
pub(super) const WEBHOOK: &str = "webhook";

impl Platform {
    /// Takes one step of a job whose row is locked. `result` is what it is done with, if it then is.
    pub(super) async fn step_job(
        &self,
        tx: &mut Transaction,
        job: &mut JobRow,
        event: Event,
        result: Option<&Settlement>,
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let rules = self.machine_rules();
        let (next, effects) = job
            .progress
            .step(rules, event, now_ms)
            .map_err(JobError::from)?;
        let mut changed = Changed::default();
        if next == job.progress && effects.is_empty() {
            return Ok(changed);
        }
        job.progress = next;
        for effect in effects {
            match effect {
                Effect::EndAttempt(outcome) => {
                    jobs::end_attempt(tx, job, outcome, now_ms).await?;
                }
                Effect::Offer => changed = changed.work(jobs::runners(tx, &job.digest).await?),
                Effect::Settle(ending) => {
                    let result = result.filter(|_| ending == Ending::Done);
                    self.settle_job(tx, job, ending, result, now_ms).await?;
                }
            }
        }
        jobs::save(tx, job, now_ms).await?;
        Ok(changed.job(job.id))
    }

    /// Makes a step of a job last.
    pub(super) async fn commit_step(
        &self,
        tx: Transaction,
        event: Event,
        job: &JobRow,
        changed: Changed,
    ) -> Result<(), Error> {
        let step = named(event, job.progress.phase);
        failpoint::before(step);
        self.commit(tx, changed).await?;
        failpoint::after(step);
        Ok(())
    }

    /// The job has ended: its input has no more use, its result stays for a time, and whoever asked for it is told.
    async fn settle_job(
        &self,
        tx: &mut Transaction,
        job: &JobRow,
        ending: Ending,
        result: Option<&Settlement>,
        now_ms: u64,
    ) -> Result<(), Error> {
        jobs::settle(tx, job, ending, result, now_ms).await?;
        let retention = self.job_rules.retention.as_millis();
        let until_ms = now_ms.saturating_add(u64::try_from(retention).unwrap_or(u64::MAX));
        jobs::keep_until(tx, &job.id, until_ms).await?;
        if let Some(object) = &job.input.object {
            jobs::expire_object(tx, object, now_ms).await?;
        }
        if let Some(result) = result
            && !jobs::expire_object(tx, &result.object, until_ms).await?
        {
            return Err(Error::Internal("a result was swept before it was settled"));
        }
        if job.webhook.is_some() {
            queue::put(tx, WEBHOOK, &job.id.to_string(), now_ms).await?;
        }
        Ok(())
    }

    pub(super) fn machine_rules(&self) -> Rules {
        Rules {
            lease_ms: u64::try_from(self.job_rules.lease.as_millis()).unwrap_or(u64::MAX / 2),
            max_tries: self.job_rules.max_tries,
        }
    }
}

/// What the step is that led to `phase`.
fn named(event: Event, phase: Phase) -> Step {
    match (event, phase) {
        (Event::Cancel, _) | (_, Phase::Ended(Ending::Cancelled)) => Step::Cancel,
        (_, Phase::Ended(Ending::Expired)) => Step::Expire,
        (_, Phase::Ended(Ending::Failed)) => Step::Fail,
        (Event::Proven(_), _) | (_, Phase::Ended(Ending::Done)) => Step::Prove,
        (Event::Take(_), _) => Step::Take,
        (Event::Started(_), _) => Step::Start,
        (Event::Failed(_), _) => Step::Retry,
        (Event::GivenBack(_), _) => Step::GiveBack,
        (Event::Tick | Event::Overrun, _) => Step::Lose,
    }
}

/// Whether a report came too late: the step that it brought about was the deadline's.
pub(super) fn in_time(job: &JobRow) -> Result<(), JobError> {
    match job.progress.phase {
        Phase::Ended(Ending::Expired) => Err(JobError::Ended),
        _ => Ok(()),
    }
}

impl From<Refusal> for JobError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended(_) => Self::Ended,
            Refusal::Stale | Refusal::NotYours => Self::AttemptOver,
        }
    }
}
