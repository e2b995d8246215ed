//! A fake control plane: nodes' API only, with real checks of registrations and tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use ed25519_dalek::{Signature, VerifyingKey};
use http::{HeaderMap, StatusCode};
use nacre_protocol::api::{
    Challenge, DesiredFunction, DesiredState, ObservedFunction, ObservedState, RegisterNode,
    Registered,
};
use nacre_protocol::bundle::{Bundle, BundleFile};
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::{register_leaf, registration_message};
use nacre_protocol::ids::{BootId, LeaseId, NodeId};
use nacre_protocol::problem::Problem;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct Platform {
    inner: Mutex<Inner>,
    /// Rises with whatever happens.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
pub(crate) struct Inner {
    nonces: BTreeSet<[u8; 32]>,
    pub(crate) token: Option<String>,
    pub(crate) registrations: Vec<RegisterNode>,
    pub(crate) desired: Vec<DesiredFunction>,
    pub(crate) revision: u64,
    pub(crate) blobs: BTreeMap<Digest, Bytes>,
    /// The token with which a blob was last read.
    pub(crate) read_with: Option<String>,
    pub(crate) observed: Option<ObservedState>,
    pub(crate) reports: u64,
    /// `(boot, seq, code)` of every event, as often as it came.
    pub(crate) events: Vec<(BootId, u64, String)>,
    /// Answer this many reports with an error after taking them.
    pub(crate) lose_reports: u32,
}

/// A control plane that listens; dropping it is its death.
pub(crate) struct Listening {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Platform {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            changed: watch::Sender::new(0),
        })
    }

    pub(crate) async fn listen(self: &Arc<Self>, address: Option<SocketAddr>) -> Listening {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket
            .bind(address.unwrap_or("127.0.0.1:0".parse().unwrap()))
            .unwrap();
        let listener = socket.listen(64).unwrap();
        Listening {
            address: listener.local_addr().unwrap(),
            server: tokio::spawn(serve(listener, router(Arc::clone(self)))),
        }
    }

    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let result = change(&mut self.inner());
        self.changed.send_modify(|n| *n += 1);
        result
    }

    /// Makes a bundle of these files and wants it run.
    pub(crate) fn deploy(&self, name: &str, files: &[(&str, Vec<u8>)]) -> Digest {
        let listed = files.iter().map(|(name, bytes)| BundleFile {
            name: (*name).to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            urls: Vec::new(),
        });
        let manifest = Bundle::new(listed.collect()).unwrap().to_oci_manifest();
        let digest = Digest::of(&manifest);
        self.change(|inner| {
            for (_, bytes) in files {
                inner.blobs.insert(Digest::of(bytes), bytes.clone().into());
            }
            inner.blobs.insert(digest, manifest.into());
            inner.desired.push(DesiredFunction {
                lease: LeaseId::from_random([inner.desired.len() as u8; 16]),
                name: name.parse().unwrap(),
                digest,
            });
            inner.revision += 1;
        });
        digest
    }

    pub(crate) fn delete(&self, name: &str) {
        self.change(|inner| {
            inner.desired.retain(|f| f.name.as_str() != name);
            inner.revision += 1;
        });
    }

    /// Waits until this holds.
    pub(crate) async fn until(&self, within: Duration, what: &str, holds: impl Fn(&Inner) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !holds(&self.inner()) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(within, wait).await.is_err() {
            let inner = self.inner();
            panic!(
                "not within {within:?}: {what}; last report {:?}",
                inner.observed
            );
        }
    }
}

impl Inner {
    pub(crate) fn observed_of(&self, digest: Digest) -> Option<&ObservedFunction> {
        self.observed
            .as_ref()?
            .functions
            .iter()
            .find(|f| f.digest == digest)
    }

    pub(crate) fn is_ready(&self, digest: Digest) -> bool {
        self.observed_of(digest)
            .is_some_and(|f| f.state == FunctionState::Ready)
    }
}

/// Without keep-alive of the task: aborting it drops the listener, and its connections with the connection tasks' abort.
async fn serve(listener: TcpListener, router: Router) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .await;
        });
    }
}

fn router(platform: Arc<Platform>) -> Router {
    Router::new()
        .route("/base/v1/nodes/challenges", post(challenge))
        .route("/base/v1/nodes", post(register))
        .route("/base/v1/nodes/{id}/desired", get(desired))
        .route("/base/v1/nodes/{id}/observed", post(observed))
        .route("/base/v1/blobs/{digest}", get(blob))
        .with_state(platform)
}

async fn challenge(State(platform): State<Arc<Platform>>, headers: HeaderMap) -> Response {
    if !headers.contains_key("idempotency-key") {
        return problem(400, "idempotency-key-missing");
    }
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).unwrap();
    platform.inner().nonces.insert(nonce);
    Json(Challenge { nonce }).into_response()
}

async fn register(
    State(platform): State<Arc<Platform>>,
    Json(node): Json<RegisterNode>,
) -> Response {
    if !platform.inner().nonces.remove(&node.nonce) {
        return problem(409, "nonce-unknown");
    }
    let leaf = register_leaf(&node.nonce, &node.operator, &node.id);
    let key = VerifyingKey::from_bytes(node.operator.as_bytes()).unwrap();
    let signature = Signature::from_bytes(&node.signature);
    let signed = key
        .verify_strict(&registration_message(&leaf), &signature)
        .is_ok();
    if !signed || node.evidence.document != leaf {
        return problem(403, "registration-invalid");
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).unwrap();
    let token = hex::encode(random);
    platform.change(|inner| {
        inner.token = Some(token.clone());
        inner.registrations.push(node);
    });
    Json(Registered {
        token,
        report_every_ms: 500,
    })
    .into_response()
}

fn authorised(inner: &Inner, headers: &HeaderMap) -> bool {
    let given = headers.get("authorization").and_then(|v| v.to_str().ok());
    inner.token.is_some() && given.and_then(|v| v.strip_prefix("Bearer ")) == inner.token.as_deref()
}

#[derive(Deserialize)]
struct Wait {
    after: Option<u64>,
    wait_ms: Option<u64>,
}

async fn desired(
    State(platform): State<Arc<Platform>>,
    Path(_): Path<NodeId>,
    Query(wait): Query<Wait>,
    headers: HeaderMap,
) -> Response {
    let mut changed = platform.changed.subscribe();
    let other = async {
        while wait.after == Some(platform.inner().revision) {
            changed.changed().await.unwrap();
        }
    };
    let patience = Duration::from_millis(wait.wait_ms.unwrap_or(0));
    let _ = tokio::time::timeout(patience, other).await;
    let inner = platform.inner();
    if !authorised(&inner, &headers) {
        return problem(401, "token-unknown");
    }
    Json(DesiredState {
        revision: inner.revision,
        functions: inner.desired.clone(),
    })
    .into_response()
}

async fn observed(
    State(platform): State<Arc<Platform>>,
    Path(_): Path<NodeId>,
    headers: HeaderMap,
    Json(state): Json<ObservedState>,
) -> Response {
    platform.change(|inner| {
        if !authorised(inner, &headers) {
            return problem(401, "token-unknown");
        }
        for event in &state.events {
            inner
                .events
                .push((state.boot_id, event.seq, event.code.clone()));
        }
        inner.observed = Some(state);
        inner.reports += 1;
        if inner.lose_reports > 0 {
            inner.lose_reports -= 1;
            return problem(503, "unavailable");
        }
        StatusCode::NO_CONTENT.into_response()
    })
}

async fn blob(
    State(platform): State<Arc<Platform>>,
    Path(digest): Path<Digest>,
    headers: HeaderMap,
) -> Response {
    let mut inner = platform.inner();
    if !authorised(&inner, &headers) {
        return problem(401, "token-unknown");
    }
    inner.read_with = inner.token.clone();
    match inner.blobs.get(&digest) {
        Some(bytes) => bytes.clone().into_response(),
        None => problem(404, "blob-not-found"),
    }
}

fn problem(status: u16, code: &str) -> Response {
    let problem = Problem::new(status, code, "The fake control plane refuses.");
    (StatusCode::from_u16(status).unwrap(), Json(problem)).into_response()
}
