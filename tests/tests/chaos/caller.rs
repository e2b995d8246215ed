//! Callers of a platform that dies all the time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use nacre_client::sealed::{JobRequest, draw_job_id, seal};
use nacre_client::{AttestedClient, AttestedEnclave};
use nacre_protocol::api::jobs::{Bytes32, CreateJob, Job, JobPayload, JobState};
use nacre_protocol::ids::JobId;
use nacre_protocol::job::{JobResult, JobTerms};
use nacre_tests::examples::Example;
use reqwest::Method;

use crate::PATIENCE;
use crate::invariants::{Told, ToldJob};
use crate::machine::{Machine, TRIES};

/// How long a sealed job may take: longer than a lease and another try, and not so long that one whose enclave has died holds its
/// caller up.
const SEALED_MS: u64 = 15_000;

pub(crate) struct Caller {
    http: reqwest::Client,
    url: String,
    key: String,
    example: Example,
    digest: nacre_protocol::digest::Digest,
    client: AttestedClient,
    /// Where webhooks go.
    hook: String,
    pub(crate) answers: AtomicUsize,
    /// Jobs that are done.
    pub(crate) done: AtomicUsize,
    /// Sealed results that opened.
    pub(crate) opened: AtomicUsize,
    pub(crate) enough: AtomicBool,
    told: Mutex<Told>,
}

impl Caller {
    /// Callers of this machine, who want to hear of their jobs' ends here.
    pub(crate) fn of(machine: &Machine, hook: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy();
        Ok(Self {
            http: http.timeout(Duration::from_secs(20)).build()?,
            url: machine.url().to_owned(),
            key: machine.key()?,
            example: Example::load(Machine::EXAMPLE)?,
            digest: machine.digest,
            client: machine.client(),
            hook,
            answers: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
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

    /// A job after the other; each that can be done is, with the right answer. Of three, one is sealed to the enclave that runs,
    /// the end of two is told by webhook, and the result of one is deleted.
    pub(crate) async fn lay_in_on_and_on(self: Arc<Self>) -> anyhow::Result<()> {
        let mut count = 0;
        while !self.enough.load(Ordering::SeqCst) {
            count += 1;
            let id = match count % 3 {
                1 => self.sealed().await?,
                rest => self.plain(rest == 2).await?,
            };
            if let Some(id) = id.filter(|_| count % 3 == 0) {
                let path = format!("/v1/jobs/{id}");
                let (status, _) = self.ask(&Method::DELETE, &path, None).await?;
                ensure!(status == 204, "{status}");
                if let Some(told) = self.told().jobs.get_mut(&id) {
                    told.deleted = true;
                }
            }
        }
        Ok(())
    }

    /// Learns what webhooks are signed with, before the first job.
    pub(crate) async fn learn_secret(&self) -> anyhow::Result<()> {
        let (status, body) = self.ask(&Method::GET, "/v1/webhook-secret", None).await?;
        ensure!(status == 200, "{status}");
        let said: serde_json::Value = serde_json::from_slice(&body)?;
        let secret = said["secret"].as_str().context("no secret")?;
        secret.clone_into(&mut self.told().secret);
        Ok(())
    }

    /// A job in the open, which any enclave may run: it is done.
    async fn plain(&self, webhook: bool) -> anyhow::Result<Option<JobId>> {
        let job = CreateJob {
            id: draw_job_id()?,
            function: self.example.name.parse()?,
            digest: self.digest,
            deadline_ms: now_ms() + 3_600_000,
            max_price: None,
            webhook: webhook.then(|| self.hook.clone()),
            chain: None,
            input: JobPayload::Plain {
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
                salt: Some(Bytes32([7; 32])),
                body: self.example.request.to_vec(),
            },
        };
        ensure!(self.lay_in(&job, &[JobState::Done]).await?, "in an hour");
        self.until_ended(job.id).await?;
        let body = self.result(job.id).await?;
        self.example.check_body(JobResult::decode(&body)?.body)?;
        Ok(Some(job.id))
    }

    /// A job that only one run of the enclave can open: it is done, or its time runs out. None where that was so at once.
    async fn sealed(&self) -> anyhow::Result<Option<JobId>> {
        let enclave = self.attest().await?;
        let terms = JobTerms {
            job: draw_job_id()?,
            function: self.digest,
            deadline_ms: now_ms() + SEALED_MS,
        };
        let request = JobRequest {
            content_type: "application/json",
            inference_header_length: "",
            body: &self.example.request,
        };
        let submission = seal([&*enclave], terms, request)?;
        let mut job = submission.create_job(self.example.name.parse()?);
        job.webhook = Some(self.hook.clone());
        let ends = &[JobState::Done, JobState::Expired];
        if !self.lay_in(&job, ends).await? {
            return Ok(None);
        }
        if self.until_ended(job.id).await? == JobState::Done {
            let opened = submission.ticket.open(&self.result(job.id).await?)?;
            ensure!(opened.boot_id == enclave.statement().boot_id);
            self.example.check_body(&opened.body)?;
            self.opened.fetch_add(1, Ordering::SeqCst);
        }
        Ok(Some(job.id))
    }

    /// The enclave that runs, as soon as one does.
    async fn attest(&self) -> anyhow::Result<Arc<AttestedEnclave>> {
        let asking = async {
            let mut tick = tokio::time::interval(Duration::from_millis(50));
            loop {
                tick.tick().await;
                if let Ok(enclave) = self.client.attest().await {
                    return enclave;
                }
            }
        };
        let enclave = tokio::time::timeout(PATIENCE, asking).await;
        enclave.context("no enclave attests")
    }

    /// Lays a job in. False if its deadline passed meanwhile; then there is none.
    async fn lay_in(&self, job: &CreateJob, may_end: &'static [JobState]) -> anyhow::Result<bool> {
        let (status, said) = self.ask(&Method::POST, "/v1/jobs", Some(job)).await?;
        if status == 422 && job.deadline_ms <= now_ms() {
            return Ok(false);
        }
        ensure!(
            matches!(status, 200 | 201),
            "{}",
            String::from_utf8_lossy(&said)
        );
        let told = ToldJob {
            may_end,
            webhook: job.webhook.is_some(),
            deleted: false,
        };
        self.told().jobs.insert(job.id, told);
        Ok(true)
    }

    async fn until_ended(&self, id: JobId) -> anyhow::Result<JobState> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let path = format!("/v1/jobs/{id}?wait_ms=2000");
            let (status, body) = self.ask(&Method::GET, &path, None).await?;
            ensure!(status == 200, "{status}");
            let job: Job = serde_json::from_slice(&body)?;
            if job.state.is_final() {
                if job.state == JobState::Done {
                    self.done.fetch_add(1, Ordering::SeqCst);
                }
                return Ok(job.state);
            }
        }
        anyhow::bail!("{id} has not ended within {PATIENCE:?}")
    }

    async fn result(&self, id: JobId) -> anyhow::Result<Vec<u8>> {
        let path = format!("/v1/jobs/{id}/result");
        let (status, body) = self.ask(&Method::GET, &path, None).await?;
        ensure!(status == 200, "{}", String::from_utf8_lossy(&body));
        Ok(body)
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
