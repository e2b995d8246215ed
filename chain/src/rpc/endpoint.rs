//! One node: a request there and back, in bounded time and memory.

use std::time::Duration;

use alloy::rpc::json_rpc::{Id, RequestPacket, ResponsePacket};
use futures_util::StreamExt as _;
use url::Url;

/// Why a node gave no answer that could be used. Never has the address beyond its host: paths and queries hold keys.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No connection, or it broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It took longer than the limit.
    #[error("did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// It answered with an HTTP error.
    #[error("answered with HTTP status {0}")]
    Status(u16),
    /// The answer is longer than the limit.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The answer is not JSON-RPC, or to something else.
    #[error("the answer makes no sense: {0}")]
    Malformed(String),
    /// It has had enough of our requests.
    #[error("refused for its limits: {0}")]
    Limited(String),
}

/// A node's address, and how long and how much it may answer.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    client: reqwest::Client,
    url: Url,
    time_limit: Duration,
    max_answer: usize,
}

/// The JSON-RPC error of a node that a caller asks too much (EIP-1474).
const LIMIT_EXCEEDED: i64 = -32005;

impl Endpoint {
    pub(super) fn new(client: reqwest::Client, url: Url, rpc: &super::Rpc) -> Self {
        Self {
            client,
            url,
            time_limit: rpc.time_limit,
            max_answer: rpc.max_answer,
        }
    }

    /// The host, for people.
    pub(super) fn name(&self) -> String {
        name_of(&self.url)
    }

    /// Asks; a JSON-RPC error is an answer.
    pub(super) async fn ask(
        &self,
        request: &RequestPacket,
    ) -> Result<ResponsePacket, EndpointError> {
        let asked = tokio::time::timeout(self.time_limit, self.exchange(request));
        let answer = asked
            .await
            .map_err(|_| EndpointError::TimedOut(self.time_limit))??;
        check(request, &answer)?;
        Ok(answer)
    }

    async fn exchange(&self, request: &RequestPacket) -> Result<ResponsePacket, EndpointError> {
        let unreachable = |error: reqwest::Error| EndpointError::Unreachable(words(error));
        let request = self.client.post(self.url.clone()).json(request);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(unreachable)?;
            if body.len() + chunk.len() > self.max_answer {
                return Err(EndpointError::TooLong(self.max_answer));
            }
            body.extend_from_slice(&chunk);
        }
        match serde_json::from_slice(&body) {
            Ok(answer) => Ok(answer),
            Err(_) if !status.is_success() => Err(EndpointError::Status(status.as_u16())),
            Err(error) => Err(EndpointError::Malformed(error.to_string())),
        }
    }
}

/// What may be said of an address: its host and port.
pub(super) fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Whether it is an answer to that, each to each.
fn check(request: &RequestPacket, answer: &ResponsePacket) -> Result<(), EndpointError> {
    let fits = match (request, answer) {
        (RequestPacket::Single(request), ResponsePacket::Single(answer)) => {
            *request.id() == answer.id
        }
        (RequestPacket::Batch(requests), ResponsePacket::Batch(answers)) => {
            let answered = |id: &Id| answers.iter().filter(|answer| answer.id == *id).count() == 1;
            requests.len() == answers.len() && requests.iter().all(|request| answered(request.id()))
        }
        _ => false,
    };
    if !fits {
        return Err(EndpointError::Malformed(
            "it is to another request".to_owned(),
        ));
    }
    match answer.as_error() {
        Some(error) if error.code == LIMIT_EXCEEDED => {
            Err(EndpointError::Limited(error.message.to_string()))
        }
        _ => Ok(()),
    }
}

/// The error and its causes, without the address.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
