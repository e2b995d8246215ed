//! Nodes: each job says how the one who has it behaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use nacre_protocol::JOB_RECEIPT_HEADER;
use nacre_protocol::api::jobs::AssignedJob;
use nacre_protocol::digest::Digest;
use nacre_protocol::job::{JobInput, JobTerms, SignedJobReceipt};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::callers::Kind;
use crate::signer::Signer;
use crate::site::{LEASE_MS, Site, take_time};

/// One lane of a node: a job after the other, until all is over.
pub(crate) async fn work_on_and_on(site: Arc<Site>, signer: Arc<Signer>) {
    let path = format!("/v1/nodes/{}/jobs?wait_ms=300", signer.node.id);
    while !site.over.load(Ordering::SeqCst) {
        let dress = |r: RequestBuilder| r.bearer_auth(&signer.node.token);
        let (status, body) = site.ask(&Method::POST, &path, dress).await;
        if status == StatusCode::NO_CONTENT {
            continue;
        }
        assert_eq!(status, 200);
        let job = serde_json::from_slice(&body).unwrap();
        Held {
            site: &site,
            signer: &signer,
            job,
        }
        .carry_out()
        .await;
    }
}

struct Held<'a> {
    site: &'a Site,
    signer: &'a Signer,
    job: AssignedJob,
}

impl Held<'_> {
    async fn carry_out(&self) {
        let Some(input) = self.input().await else {
            return;
        };
        let kind = JobInput::decode(&input).unwrap().body;
        let kind: Kind = serde_json::from_slice(kind).unwrap();
        if kind == Kind::Endless {
            return;
        }
        let first = self.job.attempt == 1;
        match kind {
            Kind::Poison => return self.fail("worker-crashed").await,
            Kind::Stumble if first => return self.fail("worker-crashed").await,
            Kind::Busy if first => return self.fail("jobs-busy").await,
            Kind::Vanish if first => return,
            Kind::Lie if first => return self.lie(&input).await,
            Kind::Late if first => take_time(LEASE_MS + 200).await,
            Kind::Slow => {
                for _ in 0..6 {
                    if !self.start().await {
                        return;
                    }
                    take_time(LEASE_MS / 4).await;
                }
            }
            _ => {
                if !self.start().await {
                    return;
                }
            }
        }
        self.bring(&input).await;
    }

    /// `None` if the job is not this node's any more.
    async fn input(&self) -> Option<Vec<u8>> {
        let (status, body) = self.ask(&Method::GET, "input", |r| r).await;
        (status == 200).then_some(body)
    }

    async fn start(&self) -> bool {
        self.ask(&Method::POST, "started", |r| r).await.0 == 204
    }

    async fn fail(&self, code: &str) {
        let failure = json!({ "code": code, "message": "why", "retryable": true });
        self.ask(&Method::POST, "failed", |r| r.json(&failure))
            .await;
    }

    async fn bring(&self, input: &[u8]) {
        let result = format!("result of {}", self.job.id).repeat(20).into_bytes();
        let receipt = self.signer.receipt(&self.job, input, &result);
        if self.put(&result, &receipt).await == 204 {
            let node = self.signer.node.id.to_string();
            let before = self.site.told().taken.insert(self.job.id, node.clone());
            assert!(before.is_none_or(|before| before == node), "taken from two");
        }
    }

    async fn lie(&self, input: &[u8]) {
        let terms = JobTerms {
            job: self.job.id,
            function: Digest::of(b"another function"),
            deadline_ms: self.job.deadline_ms,
        };
        let receipt = self.signer.sign(terms, input, b"result");
        self.site.told().lied.insert(self.job.id);
        if self.put(b"result", &receipt).await == 422 {
            self.site.told().caught.insert(self.job.id);
        }
    }

    async fn put(&self, result: &[u8], receipt: &SignedJobReceipt) -> StatusCode {
        let receipt = receipt.to_header();
        let dress =
            |r: RequestBuilder| r.header(JOB_RECEIPT_HEADER, &receipt).body(result.to_vec());
        self.ask(&Method::PUT, "result", dress).await.0
    }

    /// Answered with success, or with a word that the job is somebody else's or over, or with 422 for a lie.
    async fn ask(
        &self,
        method: &Method,
        what: &str,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> (StatusCode, Vec<u8>) {
        let (node, id, attempt) = (self.signer.node.id, self.job.id, self.job.attempt);
        let path = format!("/v1/nodes/{node}/jobs/{id}/{what}?attempt={attempt}");
        let dress = |r: RequestBuilder| dress(r.bearer_auth(&self.signer.node.token));
        let answer = self.site.ask(method, &path, dress).await;
        let fine = matches!(answer.0.as_u16(), 200 | 204 | 404 | 409 | 422);
        assert!(fine, "{}: {}", answer.0, String::from_utf8_lossy(&answer.1));
        answer
    }
}
