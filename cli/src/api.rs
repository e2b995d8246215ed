//! The control plane's REST API, as the command line uses it.

use std::time::Duration;

use nacre_protocol::api::market::{Demand, SetCanary};
use nacre_protocol::api::{
    CreateDeployment, CreateVersion, Deployment, Function, IDEMPOTENCY_KEY, LogLine, Node, Page,
    Version,
};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName};
use nacre_protocol::problem::Problem;
use nacre_telemetry::trace;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;
use crate::profile::Profile;

mod chain;
mod incidents;
mod jobs;
mod keys;
mod ledger;
mod payouts;

/// How long one long poll waits at the server.
const POLL: Duration = Duration::from_secs(20);
/// Largest JSON answer that is read.
const MAX_ANSWER: usize = 64 << 20;

/// A control plane with the caller's key.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Client,
    url: String,
    key: String,
}

impl Api {
    /// The control plane of a profile.
    pub(crate) fn new(profile: &Profile) -> Result<Self, CliError> {
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .no_proxy()
            .build()
            .map_err(anyhow::Error::from)?;
        let url = profile.url.trim_end_matches('/').to_owned();
        let key = profile.key.clone();
        Ok(Self { http, url, key })
    }

    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, CliError> {
        let ask = |method| {
            let request = self.request(method, &format!("/v1/blobs/{digest}"));
            self.send(request.timeout(POLL))
        };
        match ask(Method::HEAD).await?.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // An answer to HEAD has no body that would say why.
            _ => expect_success(ask(Method::GET).await?).await.map(|_| true),
        }
    }

    pub(crate) async fn put_blob(
        &self,
        digest: &Digest,
        length: u64,
        body: reqwest::Body,
    ) -> Result<(), CliError> {
        let request = self
            .request(Method::PUT, &format!("/v1/blobs/{digest}"))
            .header(reqwest::header::CONTENT_LENGTH, length)
            .body(body);
        expect_success(self.send(request).await?).await.map(drop)
    }

    pub(crate) async fn create_version(&self, digest: Digest) -> Result<Version, CliError> {
        self.create("/v1/functions", &CreateVersion { digest })
            .await
    }

    pub(crate) async fn create_deployment(
        &self,
        order: &CreateDeployment,
    ) -> Result<Deployment, CliError> {
        self.create("/v1/deployments", order).await
    }

    /// Puts a version on trial.
    pub(crate) async fn set_canary(
        &self,
        name: &FunctionName,
        canary: &SetCanary,
    ) -> Result<Deployment, CliError> {
        let path = format!("/v1/functions/{name}/canary");
        self.create(&path, canary).await
    }

    /// `promote` or `rollback`: the deployment that is in force then.
    pub(crate) async fn turn(
        &self,
        name: &FunctionName,
        what: &str,
        body: &impl Serialize,
    ) -> Result<Deployment, CliError> {
        let path = format!("/v1/functions/{name}/{what}");
        self.create(&path, body).await
    }

    /// Says that a caller waits for a replica.
    pub(crate) async fn demand(
        &self,
        name: &FunctionName,
        demand: &Demand,
    ) -> Result<(), CliError> {
        let path = format!("/v1/functions/{name}/demand");
        let request = self.request(Method::POST, &path).json(demand).timeout(POLL);
        expect_success(self.send(request).await?).await.map(drop)
    }

    /// The deployment, at once or when its state is no longer `loading`.
    pub(crate) async fn deployment(&self, id: &DeploymentId) -> Result<Deployment, CliError> {
        let wait = POLL.as_millis();
        let path = format!("/v1/deployments/{id}?wait_ms={wait}&after_state=loading");
        self.get(&path).await
    }

    pub(crate) async fn functions(&self) -> Result<Vec<Function>, CliError> {
        self.all("/v1/functions").await
    }

    pub(crate) async fn function(&self, name: &FunctionName) -> Result<Function, CliError> {
        self.get(&format!("/v1/functions/{name}")).await
    }

    pub(crate) async fn delete_function(&self, name: &FunctionName) -> Result<(), CliError> {
        let request = self.request(Method::DELETE, &format!("/v1/functions/{name}"));
        let response = self.send(request.timeout(POLL)).await?;
        expect_success(response).await.map(drop)
    }

    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, CliError> {
        self.all("/v1/nodes").await
    }

    /// Log lines after a cursor; with `wait` the server waits for the first.
    pub(crate) async fn logs(
        &self,
        name: &FunctionName,
        after: u64,
        wait: bool,
    ) -> Result<Vec<LogLine>, CliError> {
        let wait = if wait { POLL.as_millis() } else { 0 };
        let path = format!("/v1/functions/{name}/logs?after={after}&wait_ms={wait}");
        let page: Page<LogLine> = self.get(&path).await?;
        Ok(page.items)
    }

    async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, CliError> {
        let mut items = Vec::new();
        let mut after = None::<String>;
        loop {
            let query = after
                .map(|after| format!("?after={after}"))
                .unwrap_or_default();
            let page: Page<T> = self.get(&format!("{path}{query}")).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let request = self.request(Method::GET, path).timeout(POLL * 2);
        parse(expect_success(self.send(request).await?).await?).await
    }

    /// POSTs something that creates. The key makes a repeat after a lost answer harmless, so one is tried.
    async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let mut key = [0; 16];
        getrandom::fill(&mut key).map_err(anyhow::Error::from)?;
        let request = || {
            self.request(Method::POST, path)
                .header(IDEMPOTENCY_KEY, hex::encode(key))
                .timeout(POLL)
                .json(body)
        };
        let response = match self.send(request()).await {
            Err(CliError::Unreachable { .. }) => self.send(request()).await?,
            sent => sent?,
        };
        parse(expect_success(response).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.key)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let request = request.headers(trace::headers());
        request.send().await.map_err(|error| CliError::Unreachable {
            url: self.url.clone(),
            reason: root_cause(&error),
        })
    }
}

async fn expect_success(response: Response) -> Result<Response, CliError> {
    if response.status().is_success() {
        Ok(response)
    } else {
        Err(refusal(response).await)
    }
}

async fn refusal(response: Response) -> CliError {
    let status = response.status().as_u16();
    match parse::<Problem>(response).await {
        Ok(problem) => CliError::Platform(problem),
        Err(_) => CliError::Platform(Problem::new(
            status,
            "not-a-control-plane",
            "the server did not answer as a Nacre control plane",
        )),
    }
}

async fn parse<T: DeserializeOwned>(mut response: Response) -> Result<T, CliError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(anyhow::Error::from)? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(anyhow::anyhow!("the control plane's answer is larger than 64 MiB").into());
        }
        bytes.extend_from_slice(&chunk);
    }
    let parsed = serde_json::from_slice(&bytes);
    Ok(parsed.map_err(|e| anyhow::anyhow!("the control plane's answer: {e}"))?)
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
