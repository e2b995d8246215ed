//! Inputs that follow their jobs, and whom sealed ones are sealed to.

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::ids::{JobId, OrganisationName};
use nacre_protocol::sealed::SealedJob;

use super::bytes::{Carried, must_be};
use super::machine::Phase;
use crate::error::{Error, JobError};
use crate::platform::blobs::Incoming;
use crate::platform::{Changed, Platform};
use crate::store::jobs;

impl Platform {
    /// Takes an input that was said to follow.
    pub(crate) async fn put_job_input(
        &self,
        organisation: &OrganisationName,
        id: JobId,
        declared: Option<u64>,
        body: impl Incoming,
    ) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::owned(&mut tx, &id, organisation).await?;
        drop(tx);
        let job = job.ok_or(JobError::NotFound(id))?;
        let limit = usize::try_from(job.input.size).unwrap_or(usize::MAX);
        let bytes = self.receive(declared, body, limit).await?;
        let got = bytes.len() as u64;
        let expected = job.input.size;
        if got != expected {
            return Err(JobError::InputSize { expected, got }.into());
        }
        must_be(&job.input.digest, &bytes)?;
        let recipients = match job.result_key {
            Some(_) => recipients(&bytes)?,
            None => {
                nacre_protocol::job::JobInput::decode(&bytes).map_err(JobError::from)?;
                Vec::new()
            }
        };
        let name = self.keep_object(&id, Carried::Input, bytes).await?;
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
        failpoint::before(Step::AttachInput);
        self.commit(tx, Changed::default().work(runners)).await?;
        failpoint::after(Step::AttachInput);
        Ok(())
    }
}

/// SHA-256 of each key that an envelope is sealed to.
pub(super) fn recipients(envelope: &[u8]) -> Result<Vec<[u8; 32]>, JobError> {
    Ok(SealedJob::decode(envelope)?.key_ids().copied().collect())
}
