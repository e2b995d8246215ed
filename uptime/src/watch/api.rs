//! The control plane's API, as a watcher uses it.

use std::time::Duration;

use nacre_protocol::api::{Function, Node, Page};
use nacre_protocol::ids::FunctionName;
use nacre_protocol::problem::Problem;
use nacre_protocol::uptime::{
    COMMITS_PATH, PostCommit, PostReveal, REVEAL_HEADER, REVEALS_PATH, RevealTicket, SCHEDULE_PATH,
    Schedule,
};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::error::WatchError;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Largest JSON answer that is read.
const MAX_ANSWER: usize = 16 << 20;

/// A control plane, with the API key that reads its lists.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    http: Client,
    url: String,
    key: Option<String>,
}

impl ControlPlane {
    /// The control plane at this address. Commitments and reveals need no key: the watcher signs them.
    pub fn new(url: &str, key: Option<String>) -> Result<Self, WatchError> {
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|e| WatchError::Usage(e.to_string()))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { http, url, key })
    }

    /// All nodes.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, WatchError> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let response = self
                .send(self.request(Method::GET, &format!("/v1/nodes{after}")))
                .await?;
            let page: Page<Node> = self.parse(self.expect_success(response).await?).await?;
            items.extend(page.items);
            match page.next {
                // A server that never ends its list is cut off.
                Some(next) if items.len() <= super::targets::MAX_TARGETS => {
                    after = format!("?after={next}");
                }
                _ => return Ok(items),
            }
        }
    }

    /// One function; `None` where there is none.
    pub(crate) async fn function(
        &self,
        name: &FunctionName,
    ) -> Result<Option<Function>, WatchError> {
        let path = format!("/v1/functions/{}", name.as_str());
        let response = self.send(self.request(Method::GET, &path)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.parse(self.expect_success(response).await?)
            .await
            .map(Some)
    }

    /// How time is cut there.
    pub(crate) async fn schedule(&self) -> Result<Schedule, WatchError> {
        let response = self.send(self.request(Method::GET, SCHEDULE_PATH)).await?;
        self.parse(self.expect_success(response).await?).await
    }

    /// Posts a commitment.
    pub(crate) async fn commit(&self, commit: &PostCommit) -> Result<(), WatchError> {
        let request = self.request(Method::POST, COMMITS_PATH);
        self.post(request.json(commit)).await
    }

    /// Posts a reveal.
    pub(crate) async fn reveal(&self, reveal: &PostReveal) -> Result<(), WatchError> {
        let ticket = RevealTicket::from(reveal).to_string();
        let request = self.request(Method::POST, REVEALS_PATH);
        self.post(request.header(REVEAL_HEADER, ticket).json(reveal))
            .await
    }

    async fn post(&self, request: RequestBuilder) -> Result<(), WatchError> {
        let response = self.send(request).await?;
        self.expect_success(response).await.map(drop)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, WatchError> {
        request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    async fn expect_success(&self, response: Response) -> Result<Response, WatchError> {
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let problem = self.parse::<Problem>(response).await.unwrap_or_else(|_| {
            let title = "the server did not answer as a Nacre control plane";
            Problem::new(status, "not-a-control-plane", title)
        });
        Err(WatchError::Platform(problem))
    }

    async fn parse<T: DeserializeOwned>(&self, mut response: Response) -> Result<T, WatchError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(self.not_understood("an answer larger than 16 MiB".to_owned()));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|e| self.not_understood(e.to_string()))
    }

    fn not_understood(&self, what: String) -> WatchError {
        let title = "the control plane's answer cannot be read";
        let problem = Problem::new(502, "control-plane-answer-malformed", title);
        WatchError::Platform(problem.with_detail(format!("{}: {what}", self.url)))
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> WatchError {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        WatchError::Unreachable {
            url: self.url.clone(),
            reason: cause.to_string(),
        }
    }
}
