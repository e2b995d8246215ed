//! Callers lay jobs in.

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::api::jobs::{CreateJob, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{JobId, OrganisationName};

use super::bytes::Carried;
use super::input::recipients;
use super::machine::Progress;
use super::view;
use crate::error::{Error, JobError};
use crate::platform::{Answer, Changed, Idempotency, Key, Platform};
use crate::store::jobs::{self, Input, JobRow};
use crate::store::{Transaction, commit, functions};
use crate::traces;

/// Furthest deadline, milliseconds from now.
const MAX_AHEAD_MS: u64 = 7 * 24 * 3600 * 1000;

impl Platform {
    /// Lays a job in: 201, or 200 where the same id came with the same request before. What came before under the same
    /// idempotency key is answered as then.
    pub(crate) async fn submit_job(
        &self,
        request: CreateJob,
        key: &Key,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let now = self.clock.now_ms();
        let fingerprint = fingerprint(&request)?;
        // A repetition is answered as the first time, even if its deadline has passed since.
        if let Some(answer) = self
            .answered(key, &request.id, &fingerprint, once, now)
            .await?
        {
            return Ok(answer);
        }
        let ahead = request.deadline_ms.checked_sub(now);
        if !ahead.is_some_and(|ahead| (1..=MAX_AHEAD_MS).contains(&ahead)) {
            return Err(JobError::Deadline { now_ms: now }.into());
        }
        if let Some(webhook) = &request.webhook {
            self.webhooks.check(webhook)?;
        }
        self.check_version(&key.organisation, &request).await?;
        let max_second_cost = self.price_ceiling(&key.organisation, &request).await?;
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        let carried = request.input.carried(salt);
        let recipients = match (&carried, request.input.result_key()) {
            (Some(carried), Some(_)) => recipients(carried)?,
            _ => Vec::new(),
        };
        let input = self.lay_in(&request, carried).await?;

        let job = JobRow {
            id: request.id,
            organisation: key.organisation.clone(),
            owner: key.id.to_string(),
            function: request.function.clone(),
            digest: request.digest,
            fingerprint,
            progress: Progress::new(now, request.deadline_ms),
            max_second_cost,
            webhook: request.webhook.clone(),
            result_key: request.input.result_key(),
            chain: request.chain,
            input,
            failure: None,
            created_ms: now,
            ended_ms: None,
            kept_until_ms: None,
            trace: traces::current(),
        };
        let mut tx = self.store.write().await?;
        // Of two at the same moment, the second finds the first; its own object goes by itself.
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        if let Some(other) = jobs::get(&mut tx, &job.id).await? {
            let answer = known(&mut tx, key, &other, &job.fingerprint).await?;
            Idempotency::keep(once, &mut tx, &answer, now).await?;
            commit(tx).await?;
            return Ok(answer);
        }
        self.admit_work(&mut tx, &job.function).await?;
        jobs::insert(&mut tx, &job).await?;
        jobs::insert_recipients(&mut tx, &job.id, recipients.iter()).await?;
        self.hold_input(&mut tx, &job).await?;
        let runners = jobs::runners(&mut tx, &job.digest).await?;
        let answer = Answer::created(&view::job(&job, None))?;
        Idempotency::keep(once, &mut tx, &answer, now).await?;
        failpoint::before(Step::Submit);
        self.commit(tx, Changed::default().work(runners)).await?;
        failpoint::after(Step::Submit);
        Ok(answer)
    }

    /// What is answered where this came before: under the same idempotency key, or else under the same id.
    async fn answered(
        &self,
        key: &Key,
        id: &JobId,
        fingerprint: &str,
        once: Option<&Idempotency>,
        now_ms: u64,
    ) -> Result<Option<Answer>, Error> {
        let mut tx = match once {
            // Its answer may have to be kept.
            Some(_) => self.store.write().await?,
            None => self.store.read().await?,
        };
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now_ms).await? {
            return Ok(Some(answer));
        }
        let Some(job) = jobs::get(&mut tx, id).await? else {
            return Ok(None);
        };
        let answer = known(&mut tx, key, &job, fingerprint).await?;
        Idempotency::keep(once, &mut tx, &answer, now_ms).await?;
        commit(tx).await?;
        Ok(Some(answer))
    }

    async fn check_version(
        &self,
        organisation: &OrganisationName,
        request: &CreateJob,
    ) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        if !functions::exists(&mut tx, &request.function, organisation).await? {
            return Err(Error::FunctionNotFound(request.function.clone()));
        }
        let version = functions::version(&mut tx, &request.digest).await?;
        commit(tx).await?;
        match version {
            Some(version) if version.function == request.function => Ok(()),
            _ => Err(Error::VersionNotFound(
                request.function.clone(),
                request.digest,
            )),
        }
    }

    async fn lay_in(&self, request: &CreateJob, carried: Option<Vec<u8>>) -> Result<Input, Error> {
        let max = self.job_rules.max_bytes;
        match (carried, &request.input) {
            (Some(carried), _) => {
                if carried.len() > max {
                    return Err(JobError::TooLarge(max).into());
                }
                let (size, digest) = (carried.len() as u64, Digest::of(&carried));
                let object = self.keep_object(&request.id, Carried::Input, carried.into());
                Ok(Input {
                    size,
                    digest,
                    object: Some(object.await?),
                })
            }
            (None, JobPayload::Upload { size, digest, .. }) => {
                if *size > max as u64 {
                    return Err(JobError::TooLarge(max).into());
                }
                Ok(Input {
                    size: *size,
                    digest: *digest,
                    object: None,
                })
            }
            (None, _) => Err(Error::Internal("an input is carried or follows")),
        }
    }
}

/// A job that is there, for whoever of its organisation lays the same in again. Ids are drawn at random by those who lay jobs
/// in: who draws another organisation's knew it before.
async fn known(
    tx: &mut Transaction,
    key: &Key,
    job: &JobRow,
    fingerprint: &str,
) -> Result<Answer, Error> {
    if job.organisation != key.organisation || job.fingerprint != fingerprint {
        return Err(JobError::IdReused(job.id).into());
    }
    let settlement = jobs::settlement(tx, &job.id).await?;
    Answer::new(200, &view::job(job, settlement.as_ref()))
}

/// What was asked for, in one number. The struct's fields stand in one order, so that the same request has one text.
fn fingerprint(request: &CreateJob) -> Result<String, Error> {
    let text = serde_json::to_vec(request);
    let text = text.map_err(|_| Error::Internal("a job does not become JSON"))?;
    Ok(Digest::of(&text).to_hex())
}
