//! The nodes as one: what `alloy` sends its requests through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use alloy::primitives::keccak256;
use alloy::rpc::json_rpc::{
    Id, Request, RequestPacket, Response, ResponsePacket, ResponsePayload, SerializedRequest,
};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::endpoint::{Endpoint, EndpointError};
use super::gather::{Have, gather};
use super::quorum::{self, Kind};
use crate::error::ChainError;

/// Why the nodes together gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// None, or too few of them, answered at all.
    #[error("{method}: {answered} of the {needed} nodes needed answered: {failures}")]
    Unreachable {
        /// What was asked.
        method: String,
        /// How many answered.
        answered: usize,
        /// How many had to.
        needed: usize,
        /// Each other node with its reason.
        failures: String,
    },
    /// They answered, and contradict each other.
    #[error("{method}: no {needed} of {answered} nodes agree: one of them is behind, or lies")]
    Disagreement {
        /// What was asked.
        method: String,
        /// How many answered.
        answered: usize,
        /// How many had to agree.
        needed: usize,
    },
}

impl RpcError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "rpc-unreachable",
            Self::Disagreement { .. } => "rpc-disagreement",
        }
    }
}

/// All nodes.
#[derive(Debug, Clone)]
pub(super) struct Endpoints(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoints: Vec<Endpoint>,
    /// The node that answered last.
    first: AtomicUsize,
    quorum: Option<usize>,
}

impl Endpoints {
    pub(super) fn new(rpc: &super::Rpc) -> Result<Self, ChainError> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| ChainError::BadRpc {
                reason: error.to_string(),
            })?;
        let urls = rpc.urls.iter();
        Ok(Self(Arc::new(Inner {
            endpoints: urls
                .map(|url| Endpoint::new(client.clone(), url.clone(), rpc))
                .collect(),
            first: AtomicUsize::new(0),
            quorum: rpc.quorum.map(Into::into),
        })))
    }
}

impl tower::Service<RequestPacket> for Endpoints {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            inner
                .answer(request)
                .await
                .map_err(TransportErrorKind::custom)
        })
    }
}

impl Inner {
    async fn answer(&self, request: RequestPacket) -> Result<ResponsePacket, RpcError> {
        let Some(quorum) = self.quorum else {
            return self.any(&request).await;
        };
        match request {
            RequestPacket::Single(request) => {
                Ok(ResponsePacket::Single(self.agree(request, quorum).await?))
            }
            RequestPacket::Batch(requests) => {
                let mut answers = Vec::with_capacity(requests.len());
                for request in requests {
                    answers.push(self.agree(request, quorum).await?);
                }
                Ok(ResponsePacket::Batch(answers))
            }
        }
    }

    /// The first answer of any node, beginning with the one that answered last.
    async fn any(&self, request: &RequestPacket) -> Result<ResponsePacket, RpcError> {
        let first = self.first.load(Ordering::Relaxed);
        let mut failures = Failures::default();
        for turn in 0..self.endpoints.len() {
            let at = (first + turn) % self.endpoints.len();
            let endpoint = &self.endpoints[at];
            match endpoint.ask(request).await {
                Ok(answer) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(if turn == 0 {
                        answer
                    } else {
                        known_is_sent(request, answer)
                    });
                }
                Err(error) => failures.add(endpoint, &error),
            }
        }
        Err(failures.unreachable(method_of(request), 0, 1))
    }

    /// What `quorum` nodes say.
    async fn agree(&self, request: SerializedRequest, quorum: usize) -> Result<Response, RpcError> {
        let mut params: Value = request
            .params()
            .and_then(|params| serde_json::from_str(params.get()).ok())
            .unwrap_or(Value::Null);
        match quorum::kind(request.method(), &params) {
            Kind::Opinion => single(self.any(&request.into()).await?),
            Kind::Broadcast => self.broadcast(request).await,
            Kind::Height => {
                let height = self.height(quorum).await?;
                Ok(success(request.id(), &format!("{height:#x}")))
            }
            Kind::Fact if quorum::names(&params, "latest") => {
                quorum::pinned(&mut params, self.height(quorum).await?);
                let pinned = Request::new(request.method_clone(), request.id().clone(), params);
                let pinned = pinned.serialize().unwrap_or(request);
                self.compared(pinned, quorum).await
            }
            Kind::Fact | Kind::Found => self.compared(request, quorum).await,
        }
    }

    async fn height(&self, quorum: usize) -> Result<u64, RpcError> {
        let request = Request::new("eth_blockNumber", Id::Number(0), Value::Array(Vec::new()));
        let request = request
            .serialize()
            .map_err(|_| disagreement("eth_blockNumber", 0, quorum))?;
        // Nodes a block apart are as one: a slower one is not waited for.
        let settled = |answers: &[Response]| {
            let mut heights: Vec<_> = answers.iter().filter_map(number).collect();
            heights.sort_unstable_by(|one, other| other.cmp(one));
            let last = quorum.checked_sub(1).and_then(|at| heights.get(at));
            last.is_some_and(|last| heights[0] - last <= 1)
        };
        let heights = self
            .ask_all(&request.into(), quorum, "eth_blockNumber", settled)
            .await?;
        let heights: Vec<_> = heights.iter().filter_map(number).collect();
        let agreed = quorum::height(&heights, quorum);
        agreed.ok_or_else(|| disagreement("eth_blockNumber", heights.len(), quorum))
    }

    async fn compared(
        &self,
        request: SerializedRequest,
        quorum: usize,
    ) -> Result<Response, RpcError> {
        let method = request.method().to_owned();
        let found = quorum::kind(&method, &Value::Null) == Kind::Found;
        let id = request.id().clone();
        let essences = |answers: &[Response]| -> Vec<_> {
            let essences = answers.iter();
            essences
                .map(|answer| quorum::essence(&method, answer))
                .collect()
        };
        let settled = |answers: &[Response]| quorum::agreed(&essences(answers), quorum).is_some();
        let mut answers = self
            .ask_all(&request.into(), quorum, &method, settled)
            .await?;
        let essences = essences(&answers);
        match quorum::agreed(&essences, quorum) {
            Some(at) => Ok(answers.swap_remove(at)),
            // Not known to enough yet.
            None if found && essences.iter().any(Value::is_null) => Ok(success(&id, &())),
            None => Err(disagreement(&method, answers.len(), quorum)),
        }
    }

    /// Every answer there is, at least `quorum`; fewer than all where those are `settled`.
    async fn ask_all(
        &self,
        request: &RequestPacket,
        quorum: usize,
        method: &str,
        settled: impl Fn(&[Response]) -> bool,
    ) -> Result<Vec<Response>, RpcError> {
        let asked = self
            .endpoints
            .iter()
            .map(async |endpoint| (endpoint, endpoint.ask(request).await));
        let asked = asked.map(async |asked| {
            let (endpoint, answer) = asked.await;
            (endpoint, answer.map(|answer| single(answer).ok()))
        });
        let good = |answers: &[(_, Result<Option<Response>, _>)]| -> Vec<Response> {
            let good = answers
                .iter()
                .filter_map(|(_, answer)| answer.as_ref().ok()?.clone());
            good.collect()
        };
        let have = |answers: &[(_, Result<Option<Response>, _>)]| match good(answers) {
            good if good.len() < quorum => Have::TooFew,
            good if settled(&good) => Have::All,
            _ => Have::Enough,
        };
        let (mut answers, mut failures) = (Vec::new(), Failures::default());
        for (endpoint, answer) in gather(asked, have).await {
            match answer {
                Ok(answer) => answers.extend(answer),
                Err(error) => failures.add(endpoint, &error),
            }
        }
        if answers.len() < quorum {
            return Err(failures.unreachable(method.to_owned(), answers.len(), quorum));
        }
        Ok(answers)
    }

    /// Hands a transaction to every node; it is sent where one took it.
    async fn broadcast(&self, request: SerializedRequest) -> Result<Response, RpcError> {
        let request = RequestPacket::Single(request);
        let asked = self
            .endpoints
            .iter()
            .map(async |endpoint| (endpoint, endpoint.ask(&request).await));
        let took = |answers: &[(_, Result<ResponsePacket, _>)]| {
            let mut answers = answers.iter();
            match answers.any(|(_, answer)| answer.as_ref().is_ok_and(ResponsePacket::is_success)) {
                true => Have::Enough,
                false => Have::TooFew,
            }
        };
        let (mut refusal, mut failures) = (None, Failures::default());
        for (endpoint, answer) in gather(asked, took).await {
            match answer.map(|answer| known_is_sent(&request, answer)) {
                Ok(answer) if answer.is_success() => return single(answer),
                Ok(answer) => refusal = Some(answer),
                Err(error) => failures.add(endpoint, &error),
            }
        }
        match refusal {
            Some(refusal) => single(refusal),
            None => Err(failures.unreachable(method_of(&request), 0, 1)),
        }
    }
}

/// Nodes that failed, for people.
#[derive(Default)]
struct Failures(Vec<String>);

impl Failures {
    fn add(&mut self, endpoint: &Endpoint, error: &EndpointError) {
        tracing::debug!(node = endpoint.name(), %error, "an Ethereum node failed");
        self.0.push(format!("{} {error}", endpoint.name()));
    }

    fn unreachable(self, method: String, answered: usize, needed: usize) -> RpcError {
        RpcError::Unreachable {
            method,
            answered,
            needed,
            failures: self.0.join("; "),
        }
    }
}

fn disagreement(method: &str, answered: usize, needed: usize) -> RpcError {
    RpcError::Disagreement {
        method: method.to_owned(),
        answered,
        needed,
    }
}

fn method_of(request: &RequestPacket) -> String {
    request.method_names().next().unwrap_or("").to_owned()
}

fn single(answer: ResponsePacket) -> Result<Response, RpcError> {
    match answer {
        ResponsePacket::Single(answer) => Ok(answer),
        // `Endpoint` lets none through that does not fit the request.
        ResponsePacket::Batch(_) => Err(disagreement("", 0, 1)),
    }
}

fn success(id: &Id, result: &impl serde::Serialize) -> Response {
    let result = to_raw_value(result).unwrap_or_else(|_| RawValue::NULL.to_owned());
    Response {
        id: id.clone(),
        payload: ResponsePayload::Success(result),
    }
}

fn number(answer: &Response) -> Option<u64> {
    let text: String = answer.try_success_as()?.ok()?;
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// A transaction that a node has already was sent by the request to the node before, whose answer was lost.
fn known_is_sent(request: &RequestPacket, answer: ResponsePacket) -> ResponsePacket {
    let known = |answer: &ResponsePacket| {
        answer.first_error_message().is_some_and(|words| {
            let words = words.to_lowercase();
            words.contains("already known") || words.contains("already imported")
        })
    };
    match request.as_single() {
        Some(request) if request.method() == "eth_sendRawTransaction" && known(&answer) => {
            let raw = request
                .params()
                .and_then(|params| serde_json::from_str::<[String; 1]>(params.get()).ok());
            let raw = raw.and_then(|[raw]| hex::decode(raw.strip_prefix("0x")?).ok());
            match raw {
                Some(raw) => ResponsePacket::Single(success(request.id(), &keccak256(raw))),
                None => answer,
            }
        }
        _ => answer,
    }
}
