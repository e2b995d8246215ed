//! The control channel: how the host tells its enclave what to run. The contract is [`nacre_protocol::control`].
//!
//! Everything here comes from the host, which is not trusted: blobs are taken by their digest alone, sizes are bounded,
//! and nothing that a caller sent can be read from here. (A job in the open is the host's to read before it comes here; a
//! sealed one opens for this boot alone and leaves sealed to its caller, see [`crate::jobs`].)
//!
//! **What the host can set, and what not.** Each request names one of the operations of [`routes::ControlRoute`], and these are
//! all. Three of them change what is run, and what they take is two kinds of words: a function's name, which is a DNS label,
//! and a digest. (Beside them a lease's id, which is signed into usage receipts and decides nothing; a job's terms, which
//! its seal binds; the operator and the registry that a consent names, see [`nacre_protocol::operator_consent`]; and the number
//! up to which usage is acknowledged.) Bytes are kept under their own hash. From them a function comes to be whose code, limits, access and model
//! addresses stand in the bundle that the digest names, and callers refuse any other digest (DESIGN §3.2, step 5); the name is
//! part of the bundle and must be the one the host says. So behaviour follows from measured things alone: the image (PCR0–2),
//! the kind of node (PCR16) and the bundle (function digest, in every receipt).
//!
//! There is no operation that sets an argument, an environment variable, a path, a port, a limit, a log level, an address to
//! connect to or a clock. The program's arguments come from the measured `/etc/nacre/boot` by way of init; paths and limits
//! of workers from those arguments; the share of memory from how much this machine has, which the host chooses in any case,
//! and which decides only whether a function fits. Bodies are JSON of at most 4 KiB whose unknown fields are refused,
//! or a blob that is counted against the memory before it is read.
//!
//! What the host does decide is which functions run, when they are evicted, and whether the enclave is told anything at all.
//! That is denial of service, which it can have more cheaply.

mod blobs;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_protocol::control::{
    AcknowledgeUsage, AskConsent, Consent, EnclaveStatus, EventPage, LoadFunction, UsagePage,
};
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::evidence::{RegistrationChallenge, register_leaf};
use nacre_protocol::ids::FunctionName;
use nacre_protocol::operator_consent::OperatorConsent;
use nacre_protocol::problem::{PROBLEM_JSON, Problem};
use nacre_transport::Listener;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::boot::Enclave;
use crate::http::{
    BodyLimits, ConnectionLimits, Stopping, accept_loop, linger, read_body, serve_connection,
};
use crate::jobs;
use routes::{ControlRoute, EventQuery};

/// Most connections of the host at once.
const MAX_CONNECTIONS: usize = 64;
/// Largest JSON body.
const MAX_JSON: usize = 4096;

/// Serves the host until the program is stopping.
pub(crate) async fn serve(enclave: Arc<Enclave>, listener: Listener, stopping: Stopping) {
    let json = BodyLimits::new(MAX_JSON, MAX_CONNECTIONS * 2 * MAX_JSON);
    accept_loop(listener, MAX_CONNECTIONS, stopping.clone(), move |stream| {
        let channel = Channel {
            enclave: Arc::clone(&enclave),
            json: json.clone(),
        };
        let stopping = stopping.clone();
        async move {
            let limits = ConnectionLimits::default();
            serve_connection(stream, limits, stopping, |request| {
                channel.clone().answer(request)
            })
            .await;
        }
    })
    .await;
}

#[derive(Clone)]
struct Channel {
    enclave: Arc<Enclave>,
    json: BodyLimits,
}

impl Channel {
    async fn answer(self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let route = ControlRoute::parse(
            request.method(),
            request.uri().path(),
            request.uri().query(),
        );
        let outcome = match route {
            Ok(route) => self.perform(route, request).await,
            Err(refused) => {
                let (parts, body) = request.into_parts();
                linger(&parts.headers, body);
                Err(refused)
            }
        };
        outcome.unwrap_or_else(|problem| refused(&problem))
    }

    async fn perform(
        &self,
        route: ControlRoute,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let functions = &self.enclave.functions;
        match route {
            ControlRoute::Status => Ok(json(StatusCode::OK, &self.status())),
            ControlRoute::Evidence => self.evidence(request).await,
            ControlRoute::Consent => self.consent(request).await,
            ControlRoute::HasBlob(digest) => match functions.blobs().get(&digest) {
                Some(_) => Ok(empty(StatusCode::OK)),
                None => Ok(empty(StatusCode::NOT_FOUND)),
            },
            ControlRoute::PutBlob(digest) => {
                let status = blobs::put(functions.blobs(), digest, request).await?;
                Ok(empty(status))
            }
            ControlRoute::Load(name) => self.load(name, request).await,
            ControlRoute::Delete(name) => {
                functions.delete(&name).await;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            ControlRoute::Events(query) => Ok(json(StatusCode::OK, &self.events(query).await)),
            ControlRoute::RunJob(run) => Ok(jobs::answer(&self.enclave, &run, request).await),
            ControlRoute::Usage(query) => Ok(json(StatusCode::OK, &self.usage(query).await)),
            ControlRoute::AcknowledgeUsage => self.acknowledge(request).await,
        }
    }

    fn status(&self) -> EnclaveStatus {
        let enclave = &self.enclave;
        EnclaveStatus {
            boot_id: enclave.node.identity().boot_id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            memory_bytes: enclave.functions.budget().limit(),
            processors: processors(),
            functions: enclave.functions.status(),
            counters: enclave.counters.snapshot(enclave.node.clock()),
            metrics: enclave.metrics(),
        }
    }

    async fn evidence(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        let challenge: RegistrationChallenge = self.read(request).await?;
        let leaf = register_leaf(&challenge.nonce, &challenge.operator, &challenge.node);
        let evidence = self
            .enclave
            .node
            .freshness()
            .evidence(leaf)
            .await
            .map_err(|error| {
                Problem::new(
                    503,
                    "attestation-unavailable",
                    "No attestation at the moment",
                )
                .with_detail(error.to_string())
            })?;
        Ok(json(StatusCode::OK, &evidence))
    }

    /// Agrees to work for the operator that the host names: why it may, [`nacre_protocol::operator_consent`] says.
    async fn consent(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Problem> {
        let ask: AskConsent = self.read(request).await?;
        let answer = self.enclave.receipts.with_key(|key| Consent {
            receipt_key: EthAddress::of_key(key.verifying_key()),
            consent: OperatorConsent::sign(key, ask.operator, &ask.domain()),
        });
        Ok(json(StatusCode::OK, &answer))
    }

    async fn load(
        &self,
        name: FunctionName,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let LoadFunction { digest, lease } = self.read(request).await?;
        let status = self
            .enclave
            .functions
            .load(name, digest, lease)
            .await
            .map_err(|error| {
                Problem::new(
                    error.status(),
                    error.code(),
                    "The function cannot be loaded",
                )
                .with_detail(error.to_string())
            })?;
        Ok(json(StatusCode::OK, &status))
    }

    async fn events(&self, query: EventQuery) -> EventPage {
        let wait = Duration::from_millis(query.wait_ms);
        EventPage {
            boot_id: self.enclave.node.identity().boot_id(),
            events: self
                .enclave
                .functions
                .events()
                .after(query.after, wait)
                .await,
        }
    }

    async fn usage(&self, query: EventQuery) -> UsagePage {
        let enclave = &self.enclave;
        let wait = Duration::from_millis(query.wait_ms);
        let clock = enclave.node.clock();
        UsagePage {
            boot_id: enclave.node.identity().boot_id(),
            receipts: enclave.usage.page(query.after, wait, clock).await,
        }
    }

    async fn acknowledge(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Problem> {
        let AcknowledgeUsage { through } = self.read(request).await?;
        self.enclave.usage.acknowledge(through).map_err(|error| {
            Problem::new(409, "usage-not-issued", "So much usage was not issued yet")
                .with_detail(error.to_string())
        })?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn read<T: DeserializeOwned>(&self, request: Request<Incoming>) -> Result<T, Problem> {
        let (parts, mut body) = request.into_parts();
        let arrived = match read_body(&parts.headers, &mut body, &self.json, |_| ()).await {
            Ok(arrived) => arrived,
            Err(error) => {
                if error.is_refusal() {
                    linger(&parts.headers, body);
                }
                let problem = Problem::new(error.status(), error.code(), "The body did not arrive");
                return Err(problem.with_detail(error.to_string()));
            }
        };
        serde_json::from_slice(&arrived.bytes).map_err(|error| {
            Problem::new(
                400,
                "json-malformed",
                "The body is not what this path takes",
            )
            .with_detail(error.to_string())
        })
    }
}

/// Processors that this program may use, as the machine says.
fn processors() -> u32 {
    let counted = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(counted).unwrap_or(u32::MAX)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    with_body(status, "application/json", body)
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn refused(problem: &Problem) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let mut response = with_body(status, PROBLEM_JSON, body);
    let headers = response.headers_mut();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let allow = problem.detail.as_deref().unwrap_or_default();
        headers.extend(
            HeaderValue::from_str(allow)
                .ok()
                .map(|allow| (ALLOW, allow)),
        );
    }
    if status == StatusCode::REQUEST_TIMEOUT {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
