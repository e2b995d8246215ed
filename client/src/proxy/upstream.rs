//! One function's enclaves: which endpoint, how long to try, and when to ask again where they are.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use nacre_protocol::ids::FunctionName;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::refusal::Refusal;
use super::{ProxiedFunction, Resolver};
use crate::appraisal::AttestedEnclave;
use crate::checked::CheckedResponse;
use crate::connection::Endpoint;
use crate::error::ClientError;
use crate::pool::{AttestedClient, ClientOptions};
use crate::trust::Trust;

/// How long the resolver may take.
const RESOLVE: Duration = Duration::from_secs(3);
/// The resolver is not asked more often than this about one function.
const RESOLVE_INTERVAL: Duration = Duration::from_millis(500);
/// The pause before the second try; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A function with the connections to its enclaves.
pub(super) struct Upstream {
    name: FunctionName,
    client: AttestedClient,
    resolver: Arc<dyn DynResolver>,
    asked: Mutex<Option<Asked>>,
}

/// When the resolver was asked, and why it had no answer.
struct Asked {
    at: Instant,
    failed: Option<String>,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    /// The request, with the body as the caller encoded it.
    pub(super) request: &'a Request<Bytes>,
    /// The body decoded, where it is encoded.
    pub(super) decoded: Option<&'a Bytes>,
    /// Whether it is for the function; otherwise it is about the enclave.
    pub(super) names_function: bool,
}

/// An answer that was checked, and who gave it.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) answer: CheckedResponse,
    pub(super) enclave: Arc<AttestedEnclave>,
}

/// Why there is no answer.
#[derive(Debug)]
struct Failure {
    error: ClientError,
    /// The enclave may have got the request.
    sent: bool,
}

impl Upstream {
    pub(super) fn new(
        function: ProxiedFunction,
        trust: Trust,
        options: ClientOptions,
        resolver: Arc<dyn DynResolver>,
    ) -> Self {
        Self {
            name: function.name,
            client: AttestedClient::new(trust, Some(function.digest), Vec::new(), options),
            resolver,
            asked: Mutex::default(),
        }
    }

    /// Sends a request and checks the answer. While nothing could be sent, it is tried again for as long as `patience`.
    /// What may have been sent is sent once more at most, and only because inference and reading change nothing.
    pub(super) async fn forward(
        &self,
        outgoing: Outgoing<'_>,
        patience: Duration,
    ) -> Result<Incoming, Refusal> {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        let mut again = true;
        loop {
            let known = self.client.endpoints();
            let failure = match self.attempt(outgoing).await {
                Ok(got) if again && is_elsewhere(&got.answer) => {
                    again = false;
                    if self.moved(&known).await {
                        continue;
                    }
                    return Ok(got);
                }
                Ok(got) => return Ok(got),
                Err(failure) => failure,
            };
            let (error, now) = (&failure.error, Instant::now());
            tracing::debug!(function = %self.name, code = error.code(), sent = failure.sent, "call failed");
            let broken = matches!(error, ClientError::Http(_));
            let refused = error.result_code().is_some();
            let repeat = match failure.sent {
                // A lost connection costs one repetition. Any other failure is an answer of some kind.
                true => {
                    broken
                        && std::mem::take(&mut again)
                        && (self.moved(&known).await || now < deadline)
                }
                // Evidence that was refused does not get better, but the function may run elsewhere by now.
                false if refused => std::mem::take(&mut again) && self.moved(&known).await,
                false if self.moved(&known).await => now < deadline || std::mem::take(&mut again),
                false if now < deadline => {
                    sleep_until((now + pause).min(deadline)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    true
                }
                false => false,
            };
            if !repeat {
                return Err(Refusal::of_call(error, self.resolver_failure().await));
            }
        }
    }

    async fn attempt(&self, outgoing: Outgoing<'_>) -> Result<Incoming, Failure> {
        let unsent = |error| Failure { error, sent: false };
        let leased = self.client.checkout().await.map_err(unsent)?;
        let request = outgoing.request.clone();
        let decoded = outgoing.decoded.map(|body| &body[..]);
        let answer = if outgoing.names_function {
            self.client.call_on(leased, request, decoded).await
        } else {
            let client = self.client.without_function();
            client.call_on(leased, request, decoded).await
        };
        let (answer, enclave) = answer.map_err(|error| Failure { error, sent: true })?;
        Ok(Incoming { answer, enclave })
    }

    /// Asks the resolver, unless it was just asked, and says whether the endpoints are others than those that are known
    /// to fail. A resolver that fails changes nothing: calls do not depend on it.
    async fn moved(&self, known: &[Endpoint]) -> bool {
        let mut asked = self.asked.lock().await;
        let recent = |asked: &Asked| asked.at.elapsed() < RESOLVE_INTERVAL;
        if !asked.as_ref().is_some_and(recent) {
            let answer = timeout(RESOLVE, self.resolver.ask(&self.name)).await;
            let failed = match answer.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                Ok(endpoints) => {
                    self.client.set_endpoints(endpoints);
                    None
                }
                Err(reason) => Some(reason),
            };
            let at = Instant::now();
            *asked = Some(Asked { at, failed });
        }
        let now: HashSet<_> = self.client.endpoints().into_iter().collect();
        now != known.iter().cloned().collect()
    }

    async fn resolver_failure(&self) -> Option<String> {
        self.asked.lock().await.as_ref()?.failed.clone()
    }
}

/// Whether an enclave said, without the function having run, that it is not the one to ask (any more).
fn is_elsewhere(answer: &CheckedResponse) -> bool {
    let status = answer.response.status();
    answer.proof.is_none()
        && matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE
        )
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("endpoints", &self.client.endpoints())
            .finish_non_exhaustive()
    }
}

/// [`Resolver`] behind a pointer.
pub(super) trait DynResolver: Send + Sync {
    /// See [`Resolver::endpoints`].
    fn ask<'a>(
        &'a self,
        function: &'a FunctionName,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Endpoint>, String>> + Send + 'a>>;
}

impl<R: Resolver> DynResolver for R {
    fn ask<'a>(
        &'a self,
        function: &'a FunctionName,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Endpoint>, String>> + Send + 'a>> {
        Box::pin(self.endpoints(function))
    }
}
