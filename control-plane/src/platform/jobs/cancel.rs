//! Callers take jobs back.

use nacre_protocol::ids::{JobId, OrganisationName};

use super::machine::{Event, Phase};
use crate::error::{Error, JobError};
use crate::platform::{Changed, Platform};
use crate::store::jobs;

impl Platform {
    /// Cancels a job that has not ended, and deletes its input and result. The job itself can be asked about as long as any
    /// other, so that its id is not taken for a new job's.
    pub(crate) async fn delete_job(
        &self,
        organisation: &OrganisationName,
        id: JobId,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let job = jobs::lock(&mut tx, &id).await?;
        let job = job.filter(|job| job.organisation == *organisation);
        let mut job = job.ok_or(JobError::NotFound(id))?;
        let mut changed = Changed::default().job(id);
        if !matches!(job.progress.phase, Phase::Ended(_)) {
            let step = self.step_job(&mut tx, &mut job, Event::Cancel, None, now);
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
        self.commit_step(tx, Event::Cancel, &job, changed).await?;
        // The promise is kept at once where it can be; the sweep keeps it in any case.
        if let Err(error) = self.delete_expired_objects().await {
            tracing::warn!(%error, "deleted bytes of a job stay until the next sweep");
        }
        Ok(())
    }
}
