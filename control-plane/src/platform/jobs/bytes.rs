//! Bytes of jobs: in from callers and nodes, into the object store, and out of it again.

use ::bytes::Bytes;
use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;

use crate::error::{Error, JobError, UploadError};
use crate::platform::blobs::{Incoming, next};
use crate::platform::{Platform, random_id};
use crate::store::jobs::{self, JobRow};
use crate::store::{Transaction, commit};

/// For how long an object is kept that no step has come to use: much longer than any upload takes.
const UNUSED_MS: u64 = 3600 * 1000;

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carried {
    Input,
    Result,
}

impl Carried {
    fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Result => "result",
        }
    }

    fn put(self) -> Step {
        match self {
            Self::Input => Step::PutInput,
            Self::Result => Step::PutResult,
        }
    }
}

impl Platform {
    /// A whole body, of at most `limit` bytes and of at most what jobs may have here.
    pub(super) async fn receive(
        &self,
        declared: Option<u64>,
        mut body: impl Incoming,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let limit = limit.min(self.job_rules.max_bytes);
        let too_large = JobError::TooLarge(limit);
        if declared.is_some_and(|declared| declared > limit as u64) {
            return Err(too_large.into());
        }
        let mut whole = Vec::new();
        while let Some(bytes) = next(&mut body).await? {
            if whole.len() + bytes.len() > limit {
                return Err(too_large.into());
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.into())
    }

    /// Writes bytes of a job under a new name, to be deleted soon unless a step comes to use them.
    pub(super) async fn keep_object(
        &self,
        job: &JobId,
        what: Carried,
        bytes: Bytes,
    ) -> Result<String, Error> {
        let name = format!(
            "{}-{}-{}",
            hex::encode(job.as_bytes()),
            what.name(),
            hex::encode(random_id()?)
        );
        let mut tx = self.store.write_alone().await?;
        let expires_ms = self.clock.now_ms() + UNUSED_MS;
        jobs::note_object(&mut tx, &name, expires_ms).await?;
        failpoint::before(Step::NoteObject);
        commit(tx).await?;
        failpoint::after(Step::NoteObject);
        failpoint::before(what.put());
        self.objects.put_job(&name, bytes).await?;
        failpoint::after(what.put());
        Ok(name)
    }

    /// The job's input stays until the job is settled, and if nothing ever settles it, some time longer than its deadline.
    pub(super) async fn hold_input(&self, tx: &mut Transaction, job: &JobRow) -> Result<(), Error> {
        let Some(object) = &job.input.object else {
            return Ok(());
        };
        let until_ms = job.progress.deadline_ms + UNUSED_MS;
        if jobs::expire_object(tx, object, until_ms).await? {
            Ok(())
        } else {
            Err(Error::Internal(
                "an input was swept before its job was made",
            ))
        }
    }
}

/// The bytes must have this digest.
pub(super) fn must_be(expected: &Digest, bytes: &[u8]) -> Result<(), UploadError> {
    let got = Digest::of(bytes);
    if got == *expected {
        Ok(())
    } else {
        Err(UploadError::Mismatch {
            expected: *expected,
            got,
        })
    }
}
