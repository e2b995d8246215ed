//! Results that their receipts do not prove.

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::api::jobs::JobFailure;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobReceiptError;

use super::machine::{Attempt, Event, Holder};
use crate::error::Error;
use crate::platform::{Changed, Platform, incidents};
use crate::store::incidents::NewIncident;
use crate::store::{Transaction, jobs};

impl Platform {
    /// A result that its receipt does not prove: the attempt is over, the node does not get this job again, and it is noted.
    pub(super) async fn disproved(
        &self,
        attempt: &Attempt,
        holder: &Holder,
        id: &JobId,
        error: &JobReceiptError,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let incident = NewIncident {
            node: holder.node,
            boot: holder.boot,
            code: error.code(),
            job: Some(*id),
        };
        incidents::note(&mut tx, incident, now).await?;
        let changed = self.end_disproved(&mut tx, attempt, id, error, now).await?;
        failpoint::before(Step::Disprove);
        self.commit(tx, changed).await?;
        failpoint::after(Step::Disprove);
        Ok(())
    }

    async fn end_disproved(
        &self,
        tx: &mut Transaction,
        attempt: &Attempt,
        id: &JobId,
        error: &JobReceiptError,
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let Some(mut job) = jobs::lock(tx, id).await? else {
            return Ok(Changed::default());
        };
        job.failure = Some(JobFailure {
            code: error.code().to_owned(),
            message: error.to_string(),
            retryable: true,
        });
        match self
            .step_job(tx, &mut job, Event::Failed(*attempt), None, now_ms)
            .await
        {
            // Over already, and noted all the same.
            Err(Error::Job(_)) => Ok(Changed::default()),
            step => step,
        }
    }
}
