//! Jobs.

use bytes::Bytes;
use nacre_protocol::api::jobs::{CreateJob, Job};
use nacre_protocol::ids::JobId;
use nacre_protocol::job::MAX_JOB_BYTES;
use reqwest::Method;

use super::{Api, POLL, expect_success};
use crate::error::CliError;

impl Api {
    /// Lays a job in. The id makes a repeat after a lost answer harmless.
    pub(crate) async fn create_job(&self, job: &CreateJob) -> Result<Job, CliError> {
        self.create("/v1/jobs", job).await
    }

    /// The input of a job that was said to follow.
    pub(crate) async fn put_job_input(&self, id: &JobId, input: Vec<u8>) -> Result<(), CliError> {
        let request = self.request(Method::PUT, &format!("/v1/jobs/{id}/input"));
        expect_success(self.send(request.body(input)).await?)
            .await
            .map(drop)
    }

    /// Where a job stands; with `wait`, at once or when it has ended.
    pub(crate) async fn job(&self, id: &JobId, wait: bool) -> Result<Job, CliError> {
        let wait = if wait { POLL.as_millis() } else { 0 };
        self.get(&format!("/v1/jobs/{id}?wait_ms={wait}")).await
    }

    pub(crate) async fn jobs(&self) -> Result<Vec<Job>, CliError> {
        self.all("/v1/jobs").await
    }

    /// A job's result as carried.
    pub(crate) async fn job_result(&self, id: &JobId) -> Result<Bytes, CliError> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/result"));
        let mut response = expect_success(self.send(request).await?).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(anyhow::Error::from)? {
            if bytes.len() + chunk.len() > MAX_JOB_BYTES {
                return Err(anyhow::anyhow!("the result is longer than a job's may be").into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }

    pub(crate) async fn delete_job(&self, id: &JobId) -> Result<(), CliError> {
        let request = self.request(Method::DELETE, &format!("/v1/jobs/{id}"));
        let response = self.send(request.timeout(POLL)).await?;
        expect_success(response).await.map(drop)
    }
}
