//! Where jobs stand, and what came of them.

use nacre_protocol::api::Page;
use nacre_protocol::api::jobs::Job;
use nacre_protocol::ids::{JobId, OrganisationName};

use super::view;
use crate::error::{Error, JobError};
use crate::platform::Platform;
use crate::store::jobs;
use crate::wakers::Topic;

/// What cursors of the list are sealed for.
const LIST: &str = "jobs";

/// A result as it goes to its caller.
pub(crate) struct ResultOut {
    pub(crate) bytes: ::bytes::Bytes,
    pub(crate) sealed: bool,
    pub(crate) receipt: String,
    /// `nacre-chain-result`, where a contract asked.
    pub(crate) chain_result: Option<String>,
}

impl Platform {
    /// Where a job stands; waits up to `wait_ms` until it has ended.
    pub(crate) async fn job(
        &self,
        organisation: &OrganisationName,
        id: JobId,
        wait_ms: u64,
    ) -> Result<Job, Error> {
        let mut wait = self.wakers.wait(Topic::Job(id), wait_ms);
        loop {
            let job = self.look_at_job(organisation, &id).await?;
            if job.state.is_final() || !wait.again().await {
                return Ok(job);
            }
        }
    }

    /// A page of jobs, the latest first.
    pub(crate) async fn jobs(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<Job>, Error> {
        let after = self
            .cursors
            .open(LIST, organisation, after, view::position)?;
        let mut tx = self.store.read().await?;
        let rows = jobs::page(&mut tx, organisation, after, limit + 1).await?;
        let page = self
            .cursors
            .page(LIST, organisation, rows, limit, view::position_of);
        let mut items = Vec::with_capacity(page.items.len());
        for row in &page.items {
            let settlement = jobs::settlement(&mut tx, &row.id).await?;
            items.push(view::job(row, settlement.as_ref()));
        }
        let next = page.next;
        Ok(Page { items, next })
    }

    /// A job's result as carried.
    pub(crate) async fn job_result(
        &self,
        organisation: &OrganisationName,
        id: JobId,
    ) -> Result<ResultOut, Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::owned(&mut tx, &id, organisation).await?;
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
            chain_result: settlement.chain_result,
        })
    }

    async fn look_at_job(&self, organisation: &OrganisationName, id: &JobId) -> Result<Job, Error> {
        let mut tx = self.store.read().await?;
        let job = jobs::owned(&mut tx, id, organisation).await?;
        let job = job.ok_or(JobError::NotFound(*id))?;
        let settlement = jobs::settlement(&mut tx, id).await?;
        Ok(view::job(&job, settlement.as_ref()))
    }
}
