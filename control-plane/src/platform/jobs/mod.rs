//! Jobs (DESIGN §6): callers lay them in, nodes take them, and each is settled once.
//!
//! The course of a job is [`machine`]'s. Here each request becomes one step of it, in one transaction with everything that
//! must happen together with it: the attempt's outcome, the settlement, the notice for the webhook, and from when on its
//! objects are to be deleted. A control plane that is killed has therefore done all of a step or none of it.
//!
//! Bytes are in the object store. Before an object is written its name is noted with a time at which it is to be deleted; the
//! step that uses it moves that time. What nobody came to use goes by itself.

mod bytes;
mod machine;
mod nodes;
mod settle;
mod sweep;
mod view;
mod webhook;

use nacre_protocol::api::Page;
use nacre_protocol::api::jobs::{CreateJob, Job, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::manifest::FunctionManifest;
use nacre_protocol::sealed::SealedJob;

pub(crate) use machine::{Attempt, Ending, Holder, Phase, Progress};
pub(crate) use nodes::ResultBody;
pub(crate) use webhook::WebhookSecret;
pub(in crate::platform) use webhook::{Webhooks, master_key};

use super::blobs::Incoming;
use super::{Changed, Platform};
use crate::error::{Error, JobError};
use crate::store::jobs::{self, Input, JobRow};
use crate::store::{commit, functions};
use crate::token::KeyId;
use crate::wakers::Topic;

/// Furthest deadline, milliseconds from now.
const MAX_AHEAD_MS: u64 = 7 * 24 * 3600 * 1000;
/// For how long an object is kept that no step has come to use: much longer than any upload takes.
const UNUSED_MS: u64 = 3600 * 1000;

/// What became of a submission.
pub(crate) enum Submitted {
    /// There is a new job.
    New(Job),
    /// The same was there.
    Known(Job),
}

/// A result as it goes to its caller.
pub(crate) struct ResultOut {
    pub(crate) bytes: ::bytes::Bytes,
    pub(crate) sealed: bool,
    pub(crate) receipt: String,
}

impl Platform {
    /// Lays a job in. The same id with the same request is the same job.
    pub(crate) async fn submit_job(
        &self,
        request: CreateJob,
        owner: &KeyId,
    ) -> Result<Submitted, Error> {
        let now = self.clock.now_ms();
        let fingerprint = fingerprint(&request)?;
        if let Some(known) = self.known_job(&request.id, &fingerprint).await? {
            return Ok(Submitted::Known(known));
        }
        let ahead = request.deadline_ms.checked_sub(now);
        if !ahead.is_some_and(|ahead| (1..=MAX_AHEAD_MS).contains(&ahead)) {
            return Err(JobError::Deadline { now_ms: now }.into());
        }
        if let Some(webhook) = &request.webhook {
            self.webhooks.check(webhook)?;
        }
        self.check_version(&request).await?;
        let max_lease_price = self.price_ceiling(&request).await?;
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
            owner: owner.to_string(),
            function: request.function.clone(),
            digest: request.digest,
            fingerprint,
            progress: Progress::new(now, request.deadline_ms),
            max_lease_price,
            webhook: request.webhook.clone(),
            result_key: request.input.result_key(),
            input,
            failure: None,
            created_ms: now,
            ended_ms: None,
            kept_until_ms: None,
        };
        let mut tx = self.store.write().await?;
        if let Some(other) = jobs::get(&mut tx, &job.id).await? {
            // Of two at the same moment, the second finds the first; its own object goes by itself.
            drop(tx);
            return self.same(&other, &job.fingerprint).map(Submitted::Known);
        }
        jobs::insert(&mut tx, &job).await?;
        jobs::insert_recipients(&mut tx, &job.id, recipients.iter()).await?;
        self.hold_input(&mut tx, &job).await?;
        let runners = jobs::runners(&mut tx, &job.digest).await?;
        self.commit(tx, Changed::default().work(runners)).await?;
        Ok(Submitted::New(view::job(&job, None)))
    }

    /// Takes an input that was said to follow.
    pub(crate) async fn put_job_input(
        &self,
        id: JobId,
        declared: Option<u64>,
        body: impl Incoming,
    ) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::get(&mut tx, &id).await?;
        drop(tx);
        let job = job.ok_or(JobError::NotFound(id))?;
        let limit = usize::try_from(job.input.size).unwrap_or(usize::MAX);
        let bytes = self.receive(declared, body, limit).await?;
        let got = bytes.len() as u64;
        let expected = job.input.size;
        if got != expected {
            return Err(JobError::InputSize { expected, got }.into());
        }
        bytes::must_be(&job.input.digest, &bytes)?;
        let recipients = match job.result_key {
            Some(_) => recipients(&bytes)?,
            None => {
                nacre_protocol::job::JobInput::decode(&bytes).map_err(JobError::from)?;
                Vec::new()
            }
        };
        let name = self.keep_object(&id, "input", bytes).await?;
        let mut tx = self.store.write().await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let mut job = job.ok_or(JobError::NotFound(id))?;
        if matches!(job.progress.phase, Phase::Ended(_)) {
            return Err(JobError::Ended.into());
        }
        if job.input.object.is_some() {
            return Err(JobError::InputNotExpected(id).into());
        }
        jobs::set_input(&mut tx, &id, Some(&name)).await?;
        jobs::insert_recipients(&mut tx, &id, recipients.iter()).await?;
        job.input.object = Some(name);
        self.hold_input(&mut tx, &job).await?;
        let runners = jobs::runners(&mut tx, &job.digest).await?;
        self.commit(tx, Changed::default().work(runners)).await
    }

    /// Where a job stands; waits up to `wait_ms` until it has ended.
    pub(crate) async fn job(&self, id: JobId, wait_ms: u64) -> Result<Job, Error> {
        let mut wait = self.wakers.wait(Topic::Job(id), wait_ms);
        loop {
            let job = self.look_at_job(&id).await?;
            if job.state.is_final() || !wait.again().await {
                return Ok(job);
            }
        }
    }

    /// A page of jobs, the latest first.
    pub(crate) async fn jobs(&self, after: &str, limit: u32) -> Result<Page<Job>, Error> {
        let after = match after {
            "" => None,
            cursor => Some(view::cursor(cursor)?),
        };
        let mut tx = self.store.read().await?;
        let mut rows = jobs::page(&mut tx, after, limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(view::cursor_of);
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let settlement = jobs::settlement(&mut tx, &row.id).await?;
            items.push(view::job(row, settlement.as_ref()));
        }
        Ok(Page { items, next })
    }

    /// A job's result as carried.
    pub(crate) async fn job_result(&self, id: JobId) -> Result<ResultOut, Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::get(&mut tx, &id).await?;
        let job = job.ok_or(JobError::NotFound(id))?;
        let settlement = jobs::settlement(&mut tx, &id).await?;
        drop(tx);
        let settlement = settlement.ok_or(JobError::NoResult(id))?;
        let kept = job.kept_until_ms.unwrap_or_default();
        if kept <= self.clock.now_ms() {
            return Err(JobError::ResultDeleted(id).into());
        }
        let bytes = match self.objects.read_job(&settlement.object).await {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(JobError::ResultDeleted(id).into());
            }
            read => read?,
        };
        Ok(ResultOut {
            bytes,
            sealed: job.result_key.is_some(),
            receipt: settlement.receipt,
        })
    }

    /// Cancels a job that has not ended, and deletes its input and result. The job itself can be asked about as long as any
    /// other, so that its id is not taken for a new job's.
    pub(crate) async fn delete_job(&self, id: JobId) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let mut job = job.ok_or(JobError::NotFound(id))?;
        let mut changed = Changed::default().job(id);
        if !matches!(job.progress.phase, Phase::Ended(_)) {
            let step = self.step_job(&mut tx, &mut job, machine::Event::Cancel, None, now);
            changed = step.await?;
        }
        let settlement = jobs::settlement(&mut tx, &id).await?;
        let objects = [
            job.input.object.clone(),
            settlement.map(|settlement| settlement.object),
        ];
        for object in objects.iter().flatten() {
            jobs::expire_object(&mut tx, object, now).await?;
        }
        self.commit(tx, changed).await?;
        // The promise is kept at once where it can be; the sweep keeps it in any case.
        if let Err(error) = self.delete_expired_objects().await {
            tracing::warn!(%error, "deleted bytes of a job stay until the next sweep");
        }
        Ok(())
    }

    async fn look_at_job(&self, id: &JobId) -> Result<Job, Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::get(&mut tx, id).await?;
        let job = job.ok_or(JobError::NotFound(*id))?;
        let settlement = jobs::settlement(&mut tx, id).await?;
        Ok(view::job(&job, settlement.as_ref()))
    }

    async fn known_job(&self, id: &JobId, fingerprint: &str) -> Result<Option<Job>, Error> {
        let mut tx = self.store.read().await?;
        let Some(job) = jobs::get(&mut tx, id).await? else {
            return Ok(None);
        };
        drop(tx);
        self.same(&job, fingerprint)?;
        self.look_at_job(id).await.map(Some)
    }

    fn same(&self, job: &JobRow, fingerprint: &str) -> Result<Job, Error> {
        if job.fingerprint == fingerprint {
            Ok(view::job(job, None))
        } else {
            Err(JobError::IdReused(job.id).into())
        }
    }

    async fn check_version(&self, request: &CreateJob) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        if !functions::exists(&mut tx, &request.function).await? {
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

    /// The most that a lease may cost which runs the job.
    async fn price_ceiling(&self, request: &CreateJob) -> Result<Option<u64>, Error> {
        let Some(max_price) = request.max_price else {
            return Ok(None);
        };
        if i64::try_from(max_price).is_err() {
            return Err(Error::MaxPrice);
        }
        let (_, manifest) = self.describe(&request.digest).await?;
        Ok(Some(ceiling(max_price, &manifest)))
    }

    async fn lay_in(&self, request: &CreateJob, carried: Option<Vec<u8>>) -> Result<Input, Error> {
        let max = self.job_rules.max_bytes;
        match (carried, &request.input) {
            (Some(carried), _) => {
                if carried.len() > max {
                    return Err(JobError::TooLarge(max).into());
                }
                let (size, digest) = (carried.len() as u64, Digest::of(&carried));
                let object = self.keep_object(&request.id, "input", carried.into());
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

/// What was asked for, in one number. The struct's fields stand in one order, so that the same request has one text.
fn fingerprint(request: &CreateJob) -> Result<String, Error> {
    let text = serde_json::to_vec(request);
    let text = text.map_err(|_| Error::Internal("a job does not become JSON"))?;
    Ok(Digest::of(&text).to_hex())
}

fn recipients(envelope: &[u8]) -> Result<Vec<[u8; 32]>, JobError> {
    Ok(SealedJob::decode(envelope)?.key_ids().copied().collect())
}

/// A job holds the function's memory for at most its timeout, and a lease costs its price per GiB and second: the highest
/// price at which that stays within `max_price`, micro-units.
fn ceiling(max_price: u64, manifest: &FunctionManifest) -> u64 {
    let bytes = u128::from(manifest.limits.memory.bytes()).max(1);
    let millis = manifest.limits.timeout.duration().as_millis().max(1);
    let highest = u128::from(max_price) * (1 << 30) * 1000 / (bytes * millis);
    u64::try_from(highest)
        .unwrap_or(u64::MAX)
        .min(i64::MAX as u64)
}
