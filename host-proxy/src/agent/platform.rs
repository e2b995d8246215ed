//! The control plane's API as a node uses it (shapes: [`nacre_protocol::api`]).

use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::Signer as _;
use futures_util::{Stream, StreamExt as _};
use nacre_protocol::api::commands::{
    ClaimNode, NodeCommand, SignedCommand, claim_message, command_message,
};
use nacre_protocol::api::{
    Challenge, DesiredState, IDEMPOTENCY_KEY, ObservedState, RegisterNode, Registered,
};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{BootId, NodeId};
use nacre_protocol::problem::Problem;
use nacre_telemetry::trace;
use reqwest::header::HeaderMap;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::data::NodeIdentity;

mod chain;
mod jobs;
mod usage;

/// Longest JSON answer that is read.
const MAX_ANSWER: usize = 4 << 20;
/// How long an answer may take beyond the time that the question itself says.
const QUICK: Duration = Duration::from_secs(10);

/// A registration that holds.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Which run of the enclave was registered.
    pub(crate) boot: BootId,
    /// Bearer token.
    pub(crate) token: Token,
    /// How often to report at least.
    pub(crate) report_every: Duration,
}

/// A bearer token, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// An API key, which no log shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey(Token);

impl ApiKey {
    /// Takes the key's text.
    pub fn new(text: &str) -> Self {
        Self(Token(text.trim().to_owned()))
    }
}

/// Why the control plane did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// The URL is none that the API can stand under.
    #[error("{0} is not the URL of a control plane: http:// or https://, a host, no query")]
    Url(String),
    /// The API key is none.
    #[error("the API key is not of the form nacre_<id>_<secret>")]
    ApiKey,
    /// No answer.
    #[error("the control plane cannot be reached: {}", innermost(.0))]
    Unreachable(#[source] reqwest::Error),
    /// It refused, and says why.
    #[error("the control plane refused: {0}")]
    Refused(Problem),
    /// An answer that is not the API's.
    #[error("the control plane's answer (status {status}) is not the API's: {reason}")]
    Malformed {
        /// The HTTP status.
        status: StatusCode,
        /// What is wrong.
        reason: String,
    },
}

/// reqwest's own message repeats the URL; the innermost says what happened.
fn innermost(error: &reqwest::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

impl PlatformError {
    /// Whether a node's own endpoint said that it does not know this node, boot or token.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(self.status(), Some(401 | 403 | 404 | 409 | 410))
    }

    /// Whether the same question may be answered a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        !matches!(self.status(), Some(400 | 404 | 410 | 413 | 422))
    }

    /// Stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Url(_) => "control-plane-url",
            Self::ApiKey => "api-key-malformed",
            Self::Unreachable(_) => "control-plane-unreachable",
            Self::Refused(problem) => &problem.code,
            Self::Malformed { .. } => "control-plane-malformed-answer",
        }
    }

    /// The HTTP status, where there was an answer.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Malformed { status, .. } => Some(status.as_u16()),
            Self::Url(_) | Self::ApiKey | Self::Unreachable(_) => None,
        }
    }
}

/// A client of the control plane.
#[derive(Debug, Clone)]
pub(crate) struct Platform {
    base: Url,
    api_key: Option<ApiKey>,
    client: Client,
}

impl Platform {
    pub(crate) fn new(base: Url, api_key: Option<ApiKey>) -> Result<Self, PlatformError> {
        let plain = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.query().is_none()
            && base.fragment().is_none();
        if !plain {
            return Err(PlatformError::Url(base.to_string()));
        }
        let mut client = Client::builder()
            .connect_timeout(Duration::from_secs(2))
            .read_timeout(Duration::from_secs(60))
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&base) {
            client = client.no_proxy();
        }
        Ok(Self {
            base,
            api_key,
            client: client.build().map_err(PlatformError::Unreachable)?,
        })
    }

    /// A nonce for one registration.
    pub(crate) async fn challenge(&self) -> Result<Challenge, PlatformError> {
        let request = self.client.post(self.url(&["v1", "nodes", "challenges"]));
        json(once(request).timeout(QUICK)).await
    }

    /// Tells the control plane what the operator wants of a node.
    pub(crate) async fn command(
        &self,
        identity: &NodeIdentity,
        command: NodeCommand,
    ) -> Result<(), PlatformError> {
        let nonce = self.challenge().await?.nonce;
        let message = command_message(&nonce, &identity.node, command);
        let signed = SignedCommand {
            command,
            nonce,
            signature: identity.operator_key.sign(&message).to_bytes(),
        };
        let url = self.url(&["v1", "nodes", &identity.node.to_string(), "commands"]);
        let request = self.client.post(url).json(&signed).timeout(QUICK);
        success(request).await.map(drop)
    }

    /// Gives a node to the organisation of the API key.
    pub(crate) async fn claim(&self, identity: &NodeIdentity) -> Result<(), PlatformError> {
        let ApiKey(Token(key)) = self.api_key.as_ref().ok_or(PlatformError::ApiKey)?;
        let key_id = key.split('_').nth(1).ok_or(PlatformError::ApiKey)?;
        let nonce = self.challenge().await?.nonce;
        let message = claim_message(&nonce, &identity.node, key_id);
        let claim = ClaimNode {
            node: identity.node,
            nonce,
            signature: identity.operator_key.sign(&message).to_bytes(),
        };
        let request = self.client.post(self.url(&["v1", "nodes", "claims"]));
        let request = request.bearer_auth(key).json(&claim).timeout(QUICK);
        success(request).await.map(drop)
    }

    pub(crate) async fn register(&self, node: &RegisterNode) -> Result<Session, PlatformError> {
        let boot = nacre_protocol::identity::IdentityStatement::decode(&node.evidence.statement)
            .map_err(|e| PlatformError::Malformed {
                status: StatusCode::OK,
                reason: format!("the enclave's own evidence: {e}"),
            })?
            .boot_id;
        let mut request = self.client.post(self.url(&["v1", "nodes"])).json(node);
        if let Some(ApiKey(Token(key))) = &self.api_key {
            request = request.bearer_auth(key);
        }
        let Registered {
            token,
            report_every_ms,
        } = json(once(request).timeout(QUICK)).await?;
        Ok(Session {
            boot,
            token: Token(token),
            report_every: Duration::from_millis(report_every_ms.clamp(100, 60_000)),
        })
    }

    /// The desired state, and the headers of the trace that it goes on with; with a known revision, waits for another one
    /// at most `wait`.
    pub(crate) async fn desired(
        &self,
        session: &Session,
        node: NodeId,
        after: Option<u64>,
        wait: Duration,
    ) -> Result<(DesiredState, HeaderMap), PlatformError> {
        let mut url = self.url(&["v1", "nodes", &node.to_string(), "desired"]);
        if let Some(after) = after {
            url.query_pairs_mut()
                .append_pair("after", &after.to_string())
                .append_pair("wait_ms", &wait.as_millis().to_string());
        }
        let request = self.client.get(url).timeout(wait + QUICK);
        let response = success(request.bearer_auth(&session.token.0)).await?;
        let headers = response.headers().clone();
        Ok((parse(response).await?, headers))
    }

    pub(crate) async fn report(
        &self,
        session: &Session,
        node: NodeId,
        state: &ObservedState,
    ) -> Result<(), PlatformError> {
        let url = self.url(&["v1", "nodes", &node.to_string(), "observed"]);
        let request = self.client.post(url).json(state).timeout(QUICK);
        success(request.bearer_auth(&session.token.0))
            .await
            .map(drop)
    }

    /// A blob that is small enough to be held.
    pub(crate) async fn small_blob(
        &self,
        session: &Session,
        digest: &Digest,
        most: usize,
    ) -> Result<Bytes, PlatformError> {
        let response = success(self.blob_request(session, digest).timeout(QUICK)).await?;
        read(response, most).await
    }

    /// A blob as it arrives. Only the time between two chunks is bounded.
    pub(crate) async fn blob(
        &self,
        session: &Session,
        digest: &Digest,
    ) -> Result<impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + 'static, PlatformError>
    {
        let response = success(self.blob_request(session, digest)).await?;
        Ok(response.bytes_stream())
    }

    fn blob_request(&self, session: &Session, digest: &Digest) -> RequestBuilder {
        let url = self.url(&["v1", "blobs", &digest.to_string()]);
        self.client.get(url).bearer_auth(&session.token.0)
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// Gives a creating POST its key. Each is sent once: a registration that was lost begins with a new challenge.
fn once(request: RequestBuilder) -> RequestBuilder {
    let mut key = [0; 16];
    match getrandom::fill(&mut key) {
        Ok(()) => request.header(IDEMPOTENCY_KEY, hex::encode(key)),
        Err(_) => request,
    }
}

async fn json<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, PlatformError> {
    parse(success(request).await?).await
}

async fn parse<T: DeserializeOwned>(response: Response) -> Result<T, PlatformError> {
    let status = response.status();
    let body = read(response, MAX_ANSWER).await?;
    serde_json::from_slice(&body).map_err(|e| PlatformError::Malformed {
        status,
        reason: e.to_string(),
    })
}

async fn success(request: RequestBuilder) -> Result<Response, PlatformError> {
    let request = request.headers(trace::headers());
    let response = request.send().await.map_err(PlatformError::Unreachable)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = read(response, MAX_ANSWER).await?;
    Err(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => PlatformError::Refused(Problem {
            status: status.as_u16(),
            ..problem
        }),
        Err(_) => PlatformError::Malformed {
            status,
            reason: "an error without problem details".to_owned(),
        },
    })
}

async fn read(response: Response, most: usize) -> Result<Bytes, PlatformError> {
    let status = response.status();
    let mut chunks = response.bytes_stream();
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(PlatformError::Unreachable)?;
        if body.len() + chunk.len() > most {
            return Err(PlatformError::Malformed {
                status,
                reason: format!("longer than {most} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}
