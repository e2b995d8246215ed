//! Running jobs: take one, run it in the enclave, bring its result.
//!
//! A lane does one job after the other. There are [`LANES`], so that the next job's input arrives while one runs; the
//! enclave runs one job of a function at a time, and whoever comes second waits here for its turn. While a lane has a job,
//! it says so in time; when the control plane answers that somebody else has the job or that it has ended, the lane drops
//! it, and with it the request that the enclave works on.
//!
//! A node that is to stop takes no more jobs and ends when those that it has are done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use nacre_failpoint as failpoint;
use nacre_failpoint::Step;
use nacre_protocol::api::jobs::{AssignedJob, JobFailure};
use nacre_protocol::digest::Digest;
use nacre_telemetry::trace;
use reqwest::header::HeaderMap;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::platform::{PlatformError, Session};
use super::{Boot, Link, platform_backoff};
use crate::backoff::pause;
use crate::control::{ControlError, RanJob};
use crate::metrics::JobEnd;

/// Jobs that a node has at a time.
const LANES: usize = 2;
/// How long the control plane may keep a question while there is no job.
const WAIT: Duration = Duration::from_secs(20);
/// An answer without a job that comes sooner than this is not a long poll.
const TOO_SOON: Duration = Duration::from_millis(500);
/// Longest that a job may run, whatever its deadline.
const LONGEST: Duration = Duration::from_secs(3600);

/// One turn for each function: the enclave runs one job of each at a time.
#[derive(Default)]
struct Turns(Mutex<HashMap<Digest, Arc<Turn<()>>>>);

impl Turns {
    fn of(&self, function: Digest) -> Arc<Turn<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(function).or_default())
    }
}

/// Runs jobs until the node is to stop.
pub(super) async fn run(link: &Link, boot: &Boot) {
    let turns = Turns::default();
    join_all((0..LANES).map(|_| lane(link, boot, &turns))).await;
    // One that only leaves has other things to do until it stops.
    link.config.stop.cancelled().await;
}

async fn lane(link: &Link, boot: &Boot, turns: &Turns) {
    loop {
        let (session, job, headers) = tokio::select! {
            biased;
            () = link.config.stop.cancelled() => return,
            () = link.config.leave.cancelled() => return,
            taken = take(link, boot) => taken,
        };
        tracing::info!(job = %job.id, attempt = job.attempt, "job taken");
        let held = Held {
            link,
            boot,
            session,
            job,
        };
        let span = trace::work("run job", &headers);
        tokio::select! {
            () = held.carry_out(turns).instrument(span) => {}
            error = held.keep() => {
                link.config.work.job(JobEnd::Dropped);
                tracing::info!(job = %held.job.id, %error, "job dropped: it is not this node's any more");
            }
        }
    }
}

async fn take(link: &Link, boot: &Boot) -> (Session, AssignedJob, HeaderMap) {
    let node = link.config.identity.node;
    let mut backoff = platform_backoff();
    loop {
        let session = link.session_of(boot.id).await;
        let asked = Instant::now();
        failpoint::before(Step::AskForJob);
        match link.platform.take_job(&session, node, WAIT).await {
            Ok(Some((job, headers))) => {
                failpoint::after(Step::AskForJob);
                return (session, job, headers);
            }
            Ok(None) if asked.elapsed() >= TOO_SOON => {
                backoff.reset();
                continue;
            }
            Ok(None) => {}
            // Whether the session has ended is for the reports to find out.
            Err(error) => tracing::debug!(%error, "cannot ask for jobs"),
        }
        pause(backoff.next_jittered()).await;
    }
}

/// A job that this node has.
struct Held<'a> {
    link: &'a Link,
    boot: &'a Boot,
    session: Session,
    job: AssignedJob,
}

impl Held<'_> {
    /// Keeps the lease; ends when the job is somebody else's, or nobody's.
    async fn keep(&self) -> PlatformError {
        let node = self.link.config.identity.node;
        let lease = Duration::from_millis(self.job.lease_until_ms.saturating_sub(now_ms()));
        // The other machine's clock may be wrong.
        let every = (lease / 4).clamp(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let platform = &self.link.platform;
            match platform.job_started(&self.session, node, &self.job).await {
                Err(error) if is_over(&error) => return error,
                Err(error) => tracing::debug!(%error, "cannot keep a job's lease"),
                Ok(()) => {}
            }
            pause(every).await;
        }
    }

    async fn carry_out(&self, turns: &Turns) {
        match self.perform(turns).await {
            Ok(ran) => self.bring(&ran).await,
            Err(failure) => {
                tracing::warn!(job = %self.job.id, code = failure.code, "job has no result: {}", failure.message);
                self.link.config.work.job(JobEnd::Failed);
                self.give_up(&failure).await;
            }
        }
    }

    async fn perform(&self, turns: &Turns) -> Result<RanJob, JobFailure> {
        let node = self.link.config.identity.node;
        failpoint::before(Step::FetchInput);
        let input = self
            .link
            .platform
            .job_input(&self.session, node, &self.job)
            .await
            .map_err(|error| JobFailure {
                code: error.code().to_owned(),
                message: error.to_string(),
                retryable: true,
            })?;
        failpoint::after(Step::FetchInput);
        let turn = turns.of(self.job.digest);
        let _turn = turn.lock().await;
        let left = Duration::from_millis(self.job.deadline_ms.saturating_sub(now_ms()));
        let run = self.job.run();
        failpoint::before(Step::RunJob);
        let ran = self.boot.control.run_job(&run, input, left.min(LONGEST));
        let ran = ran.await;
        failpoint::after(Step::RunJob);
        Ok(ran?)
    }

    async fn bring(&self, ran: &RanJob) {
        let node = self.link.config.identity.node;
        let mut backoff = platform_backoff();
        loop {
            let platform = &self.link.platform;
            failpoint::before(Step::BringResult);
            match platform.job_done(&self.session, node, &self.job, ran).await {
                Ok(()) => {
                    failpoint::after(Step::BringResult);
                    tracing::info!(job = %self.job.id, "job done");
                    self.link.config.work.job(JobEnd::Done);
                    return;
                }
                Err(error) if is_final(&error) => {
                    tracing::warn!(job = %self.job.id, %error, "result not taken");
                    self.link.config.work.job(JobEnd::Dropped);
                    return;
                }
                Err(error) => tracing::warn!(job = %self.job.id, %error, "cannot bring a result"),
            }
            pause(backoff.next_jittered()).await;
        }
    }

    async fn give_up(&self, failure: &JobFailure) {
        let node = self.link.config.identity.node;
        let mut backoff = platform_backoff();
        loop {
            let platform = &self.link.platform;
            failpoint::before(Step::ReportFailure);
            match platform
                .job_failed(&self.session, node, &self.job, failure)
                .await
            {
                Ok(()) => {
                    failpoint::after(Step::ReportFailure);
                    return;
                }
                Err(error) if is_final(&error) => return,
                Err(error) => tracing::debug!(%error, "cannot give a job up"),
            }
            pause(backoff.next_jittered()).await;
        }
    }
}

/// Whether the control plane says that the job is not this node's any more.
fn is_over(error: &PlatformError) -> bool {
    matches!(error.status(), Some(401 | 403 | 404 | 409 | 410))
}

/// Whether saying it again has no use.
fn is_final(error: &PlatformError) -> bool {
    is_over(error) || !error.is_transient()
}

impl From<ControlError> for JobFailure {
    fn from(error: ControlError) -> Self {
        let code = match &error {
            // Not run at all.
            ControlError::Connect(_) => "enclave-unreachable",
            // It was, and perhaps that is why the enclave has gone.
            ControlError::Http(_) => "enclave-lost",
            ControlError::Deadline => "enclave-timeout",
            other => other.code(),
        };
        let message = match &error {
            ControlError::Refused(problem) => problem.to_string(),
            other => other.to_string(),
        };
        Self {
            code: code.to_owned(),
            message,
            retryable: error.is_transient(),
        }
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
