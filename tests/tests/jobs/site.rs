//! A platform with a function, its API, and its database open for reading.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use nacre_client::sealed::draw_job_id;
use nacre_protocol::api::jobs::{Bytes32, CreateJob, Job, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::JobResult;
use nacre_tests::examples::Example;
use nacre_tests::platform::Platform;
use reqwest::Method;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};

pub(crate) struct Site {
    pub(crate) platform: Platform,
    pub(crate) example: Example,
    pub(crate) digest: Digest,
    key: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let example = Example::load("iris-network")?;
        let digest = platform.deploy_example(&example.name)?.parse()?;
        let profile = platform.home().join("profiles/dev/profile.json");
        let profile: Value = serde_json::from_slice(&std::fs::read(profile)?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            key: profile["key"].as_str().context("no key")?.to_owned(),
            http: reqwest::Client::builder().no_proxy().build()?,
            platform,
            example,
            digest,
            runtime,
        })
    }

    /// The example's request as a new job, to be done within so many seconds.
    pub(crate) fn job(&self, seconds: u64) -> anyhow::Result<CreateJob> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        Ok(CreateJob {
            id: draw_job_id()?,
            function: self.example.name.parse()?,
            digest: self.digest,
            deadline_ms: u64::try_from(now.as_millis())? + 1000 * seconds,
            max_price: None,
            webhook: None,
            chain: None,
            input: JobPayload::Plain {
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
                salt: Some(Bytes32([7; 32])),
                body: self.example.request.to_vec(),
            },
        })
    }

    /// Sends a request; `None` while nobody answers it.
    pub(crate) fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<&CreateJob>,
    ) -> Option<(u16, Vec<u8>)> {
        let url = format!("{}{path}", self.platform.ready("control_plane"));
        let mut request = self.http.request(method.clone(), url);
        request = request.bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let response = request.timeout(Duration::from_secs(20)).send().await.ok()?;
            let status = response.status().as_u16();
            Some((status, response.bytes().await.ok()?.to_vec()))
        })
    }

    /// Lays a job in, again and again until it is there.
    pub(crate) fn submit(&self, job: &CreateJob) -> anyhow::Result<()> {
        let answer = nacre_tests::platform::wait_for("it is taken", PATIENCE, || {
            self.ask(&Method::POST, "/v1/jobs", Some(job))
                .filter(|(status, _)| *status < 500)
        })?;
        let said = String::from_utf8_lossy(&answer.1).into_owned();
        ensure!(matches!(answer.0, 200 | 201), "{said}");
        Ok(())
    }

    /// Waits until the job is as wanted.
    pub(crate) fn until(
        &self,
        id: &JobId,
        what: &str,
        wanted: impl Fn(&Job) -> bool,
    ) -> anyhow::Result<Job> {
        nacre_tests::platform::wait_for(what, PATIENCE, || {
            let path = format!("/v1/jobs/{id}");
            let (status, body) = self.ask(&Method::GET, &path, None)?;
            let job = (status == 200).then(|| serde_json::from_slice::<Job>(&body));
            job?.ok().filter(&wanted)
        })
    }

    /// That the job's result is the right answer.
    pub(crate) fn check_result(&self, id: &JobId) -> anyhow::Result<()> {
        let path = format!("/v1/jobs/{id}/result");
        let (status, body) = self.ask(&Method::GET, &path, None).context("no answer")?;
        ensure!(status == 200, "{}", String::from_utf8_lossy(&body));
        self.example.check_body(JobResult::decode(&body)?.body)
    }

    /// A number from the database itself.
    pub(crate) fn count(&self, sql: &'static str) -> anyhow::Result<i64> {
        let data = self.platform.ready("data");
        let url = format!("sqlite://{data}/control-plane/nacre.db");
        self.runtime.block_on(async {
            install_default_drivers();
            let options: AnyConnectOptions = url.parse()?;
            let pool = AnyPoolOptions::new()
                .max_connections(1)
                .connect_with(options)
                .await?;
            let row = sqlx::query(sql).fetch_one(&pool).await?;
            pool.close().await;
            Ok(row.try_get(0)?)
        })
    }
}

/// Longest wait: a lease, a boot and a good deal more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
