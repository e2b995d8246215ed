//! The host's side of the enclave's control channel (shapes: [`nacre_protocol::control`]).

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use nacre_protocol::control::{EnclaveStatus, EventPage, FunctionStatus, LoadFunction};
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::{Evidence, RegistrationChallenge};
use nacre_protocol::ids::{FunctionName, LeaseId};
use nacre_protocol::problem::Problem;
use nacre_transport::{Address, ConnectError, connect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

mod consent;
mod jobs;
mod usage;

pub use jobs::RanJob;

/// Longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;
/// How long the enclave may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long it may take for a question that it answers from memory, or with one NSM call.
const QUICK: Duration = Duration::from_secs(10);
/// How long loading a model may take.
const LOAD: Duration = Duration::from_secs(300);
/// How long one blob may take; loading is abandoned with the enclave anyway.
const BLOB: Duration = Duration::from_secs(3600);

type BoxError = Box<dyn StdError + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A client of one enclave's control channel. Every call is its own connection.
#[derive(Debug, Clone)]
pub struct Control {
    address: Address,
}

/// Why the enclave did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The exchange broke off.
    #[error("the enclave's control channel broke: {0}")]
    Http(#[from] hyper::Error),
    /// No answer in time.
    #[error("the enclave did not answer in time")]
    Deadline,
    /// The enclave refused, and says why.
    #[error(transparent)]
    Refused(Problem),
    /// An answer that is not of the control channel's shape.
    #[error(
        "the enclave's answer (status {status}) is not what the control channel says: {reason}"
    )]
    Malformed {
        /// The HTTP status.
        status: StatusCode,
        /// What is wrong.
        reason: String,
    },
}

impl ControlError {
    /// Whether the same call may work a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused(problem) => {
                problem.status >= 500
                    || matches!(problem.status, 404 | 408 | 409 | 425 | 429)
                    || matches!(problem.code.as_str(), "digest-mismatch" | "body-incomplete")
            }
            _ => true,
        }
    }

    /// Stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused(problem) => &problem.code,
            Self::Connect(_) | Self::Http(_) => "enclave-unreachable",
            Self::Deadline => "enclave-timeout",
            Self::Malformed { .. } => "enclave-malformed-answer",
        }
    }
}

impl Control {
    /// A client of the enclave behind this address.
    pub fn new(address: Address) -> Self {
        Self { address }
    }

    /// What the enclave runs.
    pub async fn status(&self) -> Result<EnclaveStatus, ControlError> {
        self.call(Method::GET, "/v1/status", None, QUICK)
            .await?
            .json()
    }

    /// Evidence bound to a registration.
    pub async fn evidence(&self, ask: &RegistrationChallenge) -> Result<Evidence, ControlError> {
        let answer = self.call(Method::POST, "/v1/evidence", json(ask), QUICK);
        answer.await?.json()
    }

    /// Whether the enclave holds a blob.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, ControlError> {
        let path = format!("/v1/blobs/{digest}");
        let request = self.request(Method::HEAD, &path, None);
        let answer = self.exchange(request, QUICK).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.refused()),
        }
    }

    /// Hands a blob to the enclave as it arrives; at no time is more than a chunk of it held here.
    pub async fn put_blob<S, E>(
        &self,
        digest: &Digest,
        size: u64,
        chunks: S,
    ) -> Result<(), ControlError>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: StdError + Send + Sync + 'static,
    {
        let frames =
            chunks.map(|chunk| chunk.map(Frame::data).map_err(|e| Box::new(e) as BoxError));
        let mut request = self.request(
            Method::PUT,
            &format!("/v1/blobs/{digest}"),
            Some(StreamBody::new(frames).boxed_unsync()),
        );
        request.headers_mut().insert(CONTENT_LENGTH, size.into());
        self.exchange(request, BLOB).await?.success().map(drop)
    }

    /// Makes the enclave run a function whose blobs it holds, and bill it to this lease; answers when the worker is ready.
    pub async fn load(
        &self,
        name: &FunctionName,
        digest: Digest,
        lease: LeaseId,
    ) -> Result<FunctionStatus, ControlError> {
        let path = format!("/v1/functions/{name}");
        let answer = self.call(
            Method::PUT,
            &path,
            json(&LoadFunction {
                digest,
                lease: Some(lease),
            }),
            LOAD,
        );
        answer.await?.json()
    }

    /// Makes the enclave forget a function; one that it does not know is forgotten already.
    pub async fn unload(&self, name: &FunctionName) -> Result<(), ControlError> {
        let path = format!("/v1/functions/{name}");
        match self.call(Method::DELETE, &path, None, QUICK).await {
            Err(ControlError::Refused(problem)) if problem.status == 404 => Ok(()),
            other => other.map(drop),
        }
    }

    /// Events after a sequence number; waits for one at most `wait`.
    pub async fn events(&self, after: u64, wait: Duration) -> Result<EventPage, ControlError> {
        let path = format!("/v1/events?after={after}&wait_ms={}", wait.as_millis());
        self.call(Method::GET, &path, None, wait + QUICK)
            .await?
            .json()
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Body>,
        within: Duration,
    ) -> Result<Answer, ControlError> {
        let request = self.request(method, path, body);
        self.exchange(request, within).await?.success()
    }

    fn request(&self, method: Method, path: &str, body: Option<Body>) -> Request<Body> {
        let empty = || Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::new(body.unwrap_or_else(empty));
        *request.method_mut() = method;
        // Names, digests and numbers only: always a valid path.
        *request.uri_mut() = path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, http::HeaderValue::from_static("enclave"));
        headers.insert(
            CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        request
    }

    async fn exchange(
        &self,
        request: Request<Body>,
        within: Duration,
    ) -> Result<Answer, ControlError> {
        self.exchange_up_to(request, within, MAX_ANSWER).await
    }

    async fn exchange_up_to(
        &self,
        request: Request<Body>,
        within: Duration,
        most: usize,
    ) -> Result<Answer, ControlError> {
        let now = Instant::now();
        let stream = connect(&self.address, now + CONNECT).await?;
        timeout_at(now + within, exchange(stream, request, most))
            .await
            .map_err(|_| ControlError::Deadline)?
    }
}

async fn exchange(
    stream: nacre_transport::Stream,
    request: Request<Body>,
    most: usize,
) -> Result<Answer, ControlError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let call = async {
        let response = sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let status = head.status;
        let body = Limited::new(body, most).collect().await;
        match body {
            Ok(body) => Ok(Answer {
                status,
                headers: head.headers,
                body: body.to_bytes(),
            }),
            Err(e) if e.is::<LengthLimitError>() => Err(ControlError::Malformed {
                status,
                reason: format!("longer than {most} bytes"),
            }),
            Err(e) => Err(match e.downcast::<hyper::Error>() {
                Ok(e) => ControlError::Http(*e),
                Err(e) => ControlError::Malformed {
                    status,
                    reason: e.to_string(),
                },
            }),
        }
    };
    let mut call = std::pin::pin!(call);
    let mut connection = std::pin::pin!(connection);
    // The connection makes the call progress; when it ends first, the call knows how.
    tokio::select! {
        biased;
        answer = call.as_mut() => return answer,
        _ = connection.as_mut() => {}
    }
    call.await
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Answer {
    fn success(self) -> Result<Self, ControlError> {
        if self.status.is_success() {
            Ok(self)
        } else {
            Err(self.refused())
        }
    }

    fn refused(self) -> ControlError {
        match serde_json::from_slice(&self.body) {
            Ok(problem) => ControlError::Refused(problem),
            Err(_) => ControlError::Malformed {
                status: self.status,
                reason: "an error without problem details".to_owned(),
            },
        }
    }

    fn json<T: DeserializeOwned>(self) -> Result<T, ControlError> {
        serde_json::from_slice(&self.body).map_err(|e| ControlError::Malformed {
            status: self.status,
            reason: e.to_string(),
        })
    }
}

fn json(value: &impl Serialize) -> Option<Body> {
    let bytes = serde_json::to_vec(value)
        .unwrap_or_else(|_| unreachable!("the protocol's structs become JSON"));
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    Some(body.boxed_unsync())
}
