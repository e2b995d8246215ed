//! The control plane's job API as a node uses it.

use std::time::Duration;

use bytes::Bytes;
use nacre_protocol::api::jobs::{AssignedJob, JobFailure};
use nacre_protocol::ids::NodeId;
use nacre_protocol::job::MAX_JOB_BYTES;
use nacre_protocol::{CHAIN_RESULT_HEADER, JOB_RECEIPT_HEADER};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode};

use super::{MAX_ANSWER, Platform, PlatformError, QUICK, Session, read, success};
use crate::control::RanJob;

/// How long an input or a result may take.
const TRANSFER: Duration = Duration::from_secs(120);

impl Platform {
    /// A job to run, and the headers of the trace that it goes on with; waits at most `wait` for one.
    pub(crate) async fn take_job(
        &self,
        session: &Session,
        node: NodeId,
        wait: Duration,
    ) -> Result<Option<(AssignedJob, HeaderMap)>, PlatformError> {
        let mut url = self.url(&["v1", "nodes", &node.to_string(), "jobs"]);
        url.query_pairs_mut()
            .append_pair("wait_ms", &wait.as_millis().to_string());
        let request = self.client.post(url).timeout(wait + QUICK);
        let response = success(request.bearer_auth(&session.token.0)).await?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let headers = response.headers().clone();
        let body = read(response, MAX_ANSWER).await?;
        let job = serde_json::from_slice(&body);
        job.map(|job| Some((job, headers)))
            .map_err(|e| PlatformError::Malformed {
                status,
                reason: e.to_string(),
            })
    }

    /// The job's input as carried.
    pub(crate) async fn job_input(
        &self,
        session: &Session,
        node: NodeId,
        job: &AssignedJob,
    ) -> Result<Bytes, PlatformError> {
        let request = self.of_job(Method::GET, session, node, job, "input");
        read(success(request.timeout(TRANSFER)).await?, MAX_JOB_BYTES).await
    }

    /// Says that the job runs, or still runs.
    pub(crate) async fn job_started(
        &self,
        session: &Session,
        node: NodeId,
        job: &AssignedJob,
    ) -> Result<(), PlatformError> {
        let request = self.of_job(Method::POST, session, node, job, "started");
        success(request.timeout(QUICK)).await.map(drop)
    }

    /// Brings the result.
    pub(crate) async fn job_done(
        &self,
        session: &Session,
        node: NodeId,
        job: &AssignedJob,
        ran: &RanJob,
    ) -> Result<(), PlatformError> {
        let request = self.of_job(Method::PUT, session, node, job, "result");
        let mut request = request.header(JOB_RECEIPT_HEADER, &ran.receipt);
        if let Some(chain_result) = &ran.chain_result {
            request = request.header(CHAIN_RESULT_HEADER, chain_result);
        }
        let request = request.body(ran.result.clone());
        success(request.timeout(TRANSFER)).await.map(drop)
    }

    /// Says why there is no result.
    pub(crate) async fn job_failed(
        &self,
        session: &Session,
        node: NodeId,
        job: &AssignedJob,
        failure: &JobFailure,
    ) -> Result<(), PlatformError> {
        let request = self.of_job(Method::POST, session, node, job, "failed");
        success(request.json(failure).timeout(QUICK))
            .await
            .map(drop)
    }

    fn of_job(
        &self,
        method: Method,
        session: &Session,
        node: NodeId,
        job: &AssignedJob,
        what: &str,
    ) -> RequestBuilder {
        let (node, id) = (node.to_string(), job.id.to_string());
        let mut url = self.url(&["v1", "nodes", &node, "jobs", &id, what]);
        url.query_pairs_mut()
            .append_pair("attempt", &job.attempt.to_string());
        self.client
            .request(method, url)
            .bearer_auth(&session.token.0)
    }
}
