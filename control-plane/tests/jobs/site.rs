//! A control plane with a function, nodes that sign, and its database open for reading.

use nacre_control_plane::{Config, Database};
use nacre_protocol::JOB_RECEIPT_HEADER;
use nacre_protocol::api::Version;
use nacre_protocol::api::jobs::{AssignedJob, Bytes32, CreateJob, Job, JobPayload, JobState};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::JobId;
use nacre_protocol::job::SignedJobReceipt;
use reqwest::{Method, RequestBuilder, StatusCode};
use sqlx::Row as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};

use crate::signer::Signer;
use crate::support::{Server, expect};

/// How long a node has a job here.
pub(crate) const LEASE_MS: u64 = 500;
/// Longer than a node that failed is passed over.
pub(crate) const LATER_MS: u64 = 2_500;

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) version: Version,
}

impl Site {
    /// A function on as many nodes, all ready.
    pub(crate) async fn start(nodes: u8) -> (Self, Vec<Signer>) {
        Self::tuned(nodes, |config| {
            config.jobs.lease = std::time::Duration::from_millis(LEASE_MS);
        })
        .await
    }

    pub(crate) async fn tuned(nodes: u8, tune: fn(&mut Config)) -> (Self, Vec<Signer>) {
        let mut server = Server::tuned(tune).await;
        let version = server.function("iris", "64MiB", "model").await;
        let mut signers = Vec::new();
        for n in 1..=nodes {
            let mut signer = Signer::new(n);
            server.register(&mut signer.node).await;
            signers.push(signer);
        }
        server.deploy(&version, u32::from(nodes)).await;
        for signer in &signers {
            server.report(&signer.node, FunctionState::Ready).await;
        }
        (Self { server, version }, signers)
    }

    pub(crate) fn job(&self, n: u8) -> CreateJob {
        CreateJob {
            id: JobId::from_random([n; 16]),
            function: self.version.function.clone(),
            digest: self.version.digest,
            deadline_ms: self.server.now_ms() + 60_000,
            max_price: None,
            webhook: None,
            chain: None,
            input: JobPayload::Plain {
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
                salt: Some(Bytes32([7; 32])),
                body: format!("{{\"n\":{n}}}").into_bytes(),
            },
        }
    }

    pub(crate) fn create(&self, job: &CreateJob) -> RequestBuilder {
        self.server.request(Method::POST, "/v1/jobs").json(job)
    }

    /// Lays job `n` in.
    pub(crate) async fn submit(&self, n: u8) -> JobId {
        let job = self.job(n);
        let made: Job = expect(self.create(&job), 201).await;
        assert_eq!(made.state, JobState::Queued);
        job.id
    }

    pub(crate) async fn look(&self, id: JobId) -> Job {
        self.server.get(&format!("/v1/jobs/{id}")).await
    }

    /// Waits until it is in this state.
    pub(crate) async fn until(&self, id: JobId, state: JobState) -> Job {
        let poll = async {
            loop {
                let job = self.look(id).await;
                if job.state == state {
                    return job;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), poll)
            .await
            .expect("it comes to this state")
    }

    /// What the node is given, if anything.
    pub(crate) async fn take(&self, signer: &Signer, wait_ms: u64) -> Option<AssignedJob> {
        let path = format!("/v1/nodes/{}/jobs?wait_ms={wait_ms}", signer.node.id);
        let request = self.server.anonymous(Method::POST, &path);
        let response = request
            .bearer_auth(&signer.node.token)
            .send()
            .await
            .unwrap();
        if response.status() == StatusCode::NO_CONTENT {
            return None;
        }
        assert_eq!(response.status(), 200);
        Some(response.json().await.unwrap())
    }

    pub(crate) fn of_job(
        &self,
        method: Method,
        signer: &Signer,
        job: &AssignedJob,
        what: &str,
    ) -> RequestBuilder {
        let (node, id, attempt) = (signer.node.id, job.id, job.attempt);
        let path = format!("/v1/nodes/{node}/jobs/{id}/{what}?attempt={attempt}");
        self.server
            .anonymous(method, &path)
            .bearer_auth(&signer.node.token)
    }

    /// The input as the node gets it.
    pub(crate) async fn input(&self, signer: &Signer, job: &AssignedJob) -> Vec<u8> {
        let request = self.of_job(Method::GET, signer, job, "input");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let bytes = response.bytes().await.unwrap();
        assert_eq!(bytes.len() as u64, job.input_size);
        bytes.to_vec()
    }

    /// Brings this result with this receipt.
    pub(crate) fn bring(
        &self,
        signer: &Signer,
        job: &AssignedJob,
        result: &[u8],
        receipt: &SignedJobReceipt,
    ) -> RequestBuilder {
        self.of_job(Method::PUT, signer, job, "result")
            .header(JOB_RECEIPT_HEADER, receipt.to_header())
            .body(result.to_vec())
    }

    /// What an honest node does with a job.
    pub(crate) async fn finish(&self, signer: &Signer, job: &AssignedJob, result: &[u8]) -> u16 {
        let input = self.input(signer, job).await;
        let receipt = signer.receipt(job, &input, result);
        let sent = self.bring(signer, job, result, &receipt).send().await;
        sent.unwrap().status().as_u16()
    }

    pub(crate) fn fail(&self, signer: &Signer, job: &AssignedJob, code: &str) -> RequestBuilder {
        let failure = serde_json::json!({"code": code, "message": "why", "retryable": true});
        self.of_job(Method::POST, signer, job, "failed")
            .json(&failure)
    }

    /// A number from the database itself.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        install_default_drivers();
        let url = match &self.server.database {
            Database::Folder(folder) => format!("sqlite://{}/nacre.db", folder.display()),
            Database::Postgres(url) => url.to_string(),
        };
        let options: AnyConnectOptions = url.parse().unwrap();
        let pool = AnyPoolOptions::new().max_connections(1);
        let pool = pool.connect_with(options).await.unwrap();
        let row = sqlx::query(sql).fetch_one(&pool).await.unwrap();
        pool.close().await;
        row.get(0)
    }
}
