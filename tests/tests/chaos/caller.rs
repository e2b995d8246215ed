//! Callers of a platform that dies all the time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use nacre_client::sealed::draw_job_id;
use nacre_protocol::api::jobs::{Bytes32, CreateJob, Job, JobPayload, JobState};
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobResult;
use nacre_tests::examples::Example;
use reqwest::Method;

use crate::PATIENCE;
use crate::invariants::{Told, ToldJob};
use crate::machine::{Machine, TRIES};

pub(crate) struct Caller {
    http: reqwest::Client,
    url: String,
    key: String,
    example: Example,
    digest: nacre_protocol::digest::Digest,
    pub(crate) answers: AtomicUsize,
    pub(crate) enough: AtomicBool,
    told: Mutex<Told>,
}

impl Caller {
    pub(crate) fn of(machine: &Machine) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy();
        Ok(Self {
            http: http.timeout(Duration::from_secs(20)).build()?,
            url: machine.url().to_owned(),
            key: machine.key()?,
            example: Example::load(Machine::EXAMPLE)?,
            digest: machine.digest,
            answers: AtomicUsize::new(0),
            enough: AtomicBool::new(false),
            told: Mutex::new(Told {
                max_tries: u64::from(TRIES),
                ..Told::default()
            }),
        })
    }

    /// What callers were told so far.
    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job after the other; each is done, with the right answer. The result of each third is deleted then.
    pub(crate) async fn lay_in_on_and_on(self: Arc<Self>) -> anyhow::Result<()> {
        let mut count = 0;
        while !self.enough.load(Ordering::SeqCst) {
            count += 1;
            let id = self.lay_in().await?;
            self.until_done(id).await?;
            self.check_result(id).await?;
            if count % 3 == 0 {
                let (status, _) = self
                    .ask(&Method::DELETE, &format!("/v1/jobs/{id}"), None)
                    .await?;
                ensure!(status == 204, "{status}");
                if let Some(told) = self.told().jobs.get_mut(&id) {
                    told.deleted = true;
                }
            }
        }
        Ok(())
    }

    async fn lay_in(&self) -> anyhow::Result<JobId> {
        let job = CreateJob {
            id: draw_job_id()?,
            function: self.example.name.parse()?,
            digest: self.digest,
            deadline_ms: now_ms() + 3_600_000,
            max_price: None,
            webhook: None,
            chain: None,
            input: JobPayload::Plain {
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
                salt: Some(Bytes32([7; 32])),
                body: self.example.request.to_vec(),
            },
        };
        let (status, said) = self.ask(&Method::POST, "/v1/jobs", Some(&job)).await?;
        ensure!(
            matches!(status, 200 | 201),
            "{}",
            String::from_utf8_lossy(&said)
        );
        let told = ToldJob {
            may_end: &[JobState::Done],
            webhook: false,
            deleted: false,
        };
        self.told().jobs.insert(job.id, told);
        Ok(job.id)
    }

    async fn until_done(&self, id: JobId) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let path = format!("/v1/jobs/{id}?wait_ms=2000");
            let (status, body) = self.ask(&Method::GET, &path, None).await?;
            ensure!(status == 200, "{status}");
            let job: Job = serde_json::from_slice(&body)?;
            if job.state.is_final() {
                ensure!(job.state == JobState::Done, "{job:?}");
                return Ok(());
            }
        }
        anyhow::bail!("{id} is not done within {PATIENCE:?}")
    }

    async fn check_result(&self, id: JobId) -> anyhow::Result<()> {
        let (status, body) = self
            .ask(&Method::GET, &format!("/v1/jobs/{id}/result"), None)
            .await?;
        ensure!(status == 200, "{}", String::from_utf8_lossy(&body));
        self.example.check_body(JobResult::decode(&body)?.body)
    }

    /// Asks again and again until somebody answers.
    async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&CreateJob>,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let asking = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            loop {
                tick.tick().await;
                let request = self
                    .http
                    .request(method.clone(), format!("{}{path}", self.url));
                let request = request.bearer_auth(&self.key);
                let request = match body {
                    Some(body) => request.json(body),
                    None => request,
                };
                let Ok(answer) = request.send().await else {
                    continue;
                };
                let status = answer.status().as_u16();
                if status != 503
                    && let Ok(body) = answer.bytes().await
                {
                    self.answers.fetch_add(1, Ordering::SeqCst);
                    return (status, body.to_vec());
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        answer.with_context(|| format!("nobody answers {method} {path}"))
    }
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
