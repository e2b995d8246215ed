//! What time brings about for jobs: leases run out, deadlines pass, bytes and jobs have been kept long enough.

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;

use super::machine::{Event, Phase};
use crate::error::Error;
use crate::platform::{Platform, incidents};
use crate::store::incidents::NewIncident;
use crate::store::{commit, jobs};

impl Platform {
    /// Moves jobs whose lease ran out, and ends those whose deadline passed. For the time of one lease after the start of
    /// this process no lease counts as lost: while the control plane was down, no node could renew one.
    pub(crate) async fn move_overdue_jobs(&self) -> Result<(), Error> {
        loop {
            let now = self.clock.now_ms();
            let grace = self.machine_rules().lease_ms;
            let up = now.saturating_sub(self.started_ms) >= grace;
            let lost_before = if up { now } else { 0 };
            let mut tx = self.store.read().await?;
            let overdue = jobs::overdue(&mut tx, now, lost_before).await?;
            drop(tx);
            if overdue.is_empty() {
                return Ok(());
            }
            for id in overdue {
                let mut tx = self.store.write().await?;
                let Some(mut job) = jobs::lock(&mut tx, &id).await? else {
                    continue;
                };
                // Another control plane may have been here, or the node.
                match self
                    .step_job(&mut tx, &mut job, Event::Tick, None, now)
                    .await
                {
                    Err(Error::Job(_)) => {}
                    step => self.commit_step(tx, Event::Tick, &job, step?).await?,
                }
            }
        }
    }

    /// Takes jobs from nodes that have had them for longer than any may, whatever they say of them. The first lease after the
    /// start of this process is a node's to bring what it could not bring before.
    pub(crate) async fn end_overrun_jobs(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        if now.saturating_sub(self.started_ms) < self.machine_rules().lease_ms {
            return Ok(());
        }
        let longest = u64::try_from(self.job_rules.longest.as_millis()).unwrap_or(u64::MAX);
        let before = now.saturating_sub(longest);
        let mut tx = self.store.read().await?;
        let overrun = jobs::overrun(&mut tx, before).await?;
        drop(tx);
        for id in overrun {
            let mut tx = self.store.write().await?;
            let Some(mut job) = jobs::lock(&mut tx, &id).await? else {
                continue;
            };
            // Another control plane may have been here, or the node.
            let still = jobs::leased_ms(&mut tx, &job).await?;
            let held = matches!(
                job.progress.phase,
                Phase::Leased { .. } | Phase::Running { .. }
            );
            let holder = job.progress.holder.filter(|_| held);
            let (Some(holder), true) = (holder, still.is_some_and(|since| since < before)) else {
                continue;
            };
            let incident = NewIncident {
                node: holder.node,
                boot: holder.boot,
                code: incidents::NEVER_FINISHED,
                job: Some(id),
            };
            incidents::note(&mut tx, incident, now).await?;
            match self
                .step_job(&mut tx, &mut job, Event::Overrun, None, now)
                .await
            {
                Err(Error::Job(_)) => {}
                step => self.commit_step(tx, Event::Overrun, &job, step?).await?,
            }
        }
        Ok(())
    }

    /// Deletes bytes that have been kept long enough: the object first, then the row that knows of it, so that a crash
    /// between the two is made good the next time.
    pub(crate) async fn delete_expired_objects(&self) -> Result<(), Error> {
        loop {
            let mut tx = self.store.read().await?;
            let names = jobs::expired_objects(&mut tx, self.clock.now_ms()).await?;
            drop(tx);
            if names.is_empty() {
                return Ok(());
            }
            for name in &names {
                failpoint::before(Step::DeleteObject);
                self.objects.delete_job(name).await?;
                failpoint::after(Step::DeleteObject);
                let mut tx = self.store.write_alone().await?;
                jobs::forget_object(&mut tx, name).await?;
                failpoint::before(Step::ForgetObject);
                commit(tx).await?;
                failpoint::after(Step::ForgetObject);
            }
        }
    }

    /// Forgets ended jobs that have been kept long enough.
    pub(crate) async fn forget_old_jobs(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let any = jobs::kept(&mut tx, now).await?;
        drop(tx);
        if any {
            let mut tx = self.store.write().await?;
            jobs::forget_kept(&mut tx, now).await?;
            failpoint::before(Step::ForgetJobs);
            commit(tx).await?;
            failpoint::after(Step::ForgetJobs);
        }
        Ok(())
    }
}
