//! From nothing to a verifier that answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_attestation_verifier::{Roots, Verifier};
use nacre_enclave::http::{ConnectionLimits, reply};
use nacre_enclave::identity::Identity;
use nacre_enclave::node::{self, BootError, Booted, Exporter, FrontLimits, Node, serve_plain};
use nacre_enclave::nsm::NsmHandle;
use nacre_protocol::ATTESTATION_PATH;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::problem::Problem;
use nacre_transport::{Address, Listener};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::desk::{Desk, DeskLimits, Visitor};
use crate::judge::Judge;
use crate::metrics::{Metrics, OPENMETRICS};

/// What this program's PCR16 is extended with, hashed: so hardware tells a verifier from a node that runs functions.
pub const VERIFIER_NODE: &[u8] = b"nacre/verifier/v1";

/// Most connections of those who read metrics.
const MAX_WATCHERS: usize = 16;

/// What a verifier is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where callers come in, with TLS.
    pub tls: Address,
    /// Where metrics are read, without TLS.
    pub metrics: Option<Address>,
    /// The one root; the program gives what it was built with, see [`crate::root`].
    pub roots: Roots,
    /// What requests may cost.
    pub desk: DeskLimits,
    /// Limits of the public listener.
    pub front: FrontLimits,
}

impl Config {
    /// The usual limits.
    pub fn new(tls: Address, roots: Roots) -> Self {
        Self {
            tls,
            metrics: None,
            roots,
            desk: DeskLimits::default(),
            front: FrontLimits {
                max_connections: 1024,
                handshake: Duration::from_secs(10),
                connection: ConnectionLimits {
                    idle: Duration::from_secs(60),
                    ..ConnectionLimits::default()
                },
            },
        }
    }
}

/// A verifier that accepts connections. Must be [stopped](RunningVerifier::stop) to end in order.
pub struct RunningVerifier {
    node: Arc<Node>,
    signer: EthAddress,
    tls: Address,
    metrics: Option<Address>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Boots a verifier with this module. When it returns, connections are accepted.
///
/// # Errors
///
/// [`BootError`]
pub async fn boot(nsm: NsmHandle, config: Config) -> Result<RunningVerifier, BootError> {
    let Booted {
        node,
        receipt_key,
        front,
        ..
    } = node::boot(nsm, VERIFIER_NODE).await?;
    let judge = Arc::new(Judge::new(Verifier::new(config.roots)));
    let root = judge.verifier().roots().fingerprint();
    match judge.warning() {
        None => tracing::info!(root, "trusts the AWS Nitro root"),
        Some(warning) => tracing::warn!(root, "{warning}: this build trusts no Nitro hardware"),
    }
    let metrics = Arc::new(Metrics::new(&judge));
    let signer = receipt_key.address();
    let clock = Arc::clone(node.clock());
    let desk = Desk::new(judge, receipt_key, clock, Arc::clone(&metrics), config.desk);

    let public = Listener::bind(&config.tls).await?;
    let watchers = match &config.metrics {
        Some(address) => Some(Listener::bind(address).await?),
        None => None,
    };
    let (stop, stopping) = watch::channel(false);
    let tls = public.local_address().clone();
    let metrics_address = watchers
        .as_ref()
        .map(|listener| listener.local_address().clone());
    let mut tasks = JoinSet::new();
    let shared = Arc::new(Public {
        desk: Arc::new(desk),
        node: Arc::clone(&node),
        metrics: Arc::clone(&metrics),
    });
    let connected = move |exporter| {
        let caller = Arc::new(Caller {
            exporter,
            visitor: shared.desk.visitor(),
            public: Arc::clone(&shared),
        });
        move |request| {
            let caller = Arc::clone(&caller);
            async move { caller.answer(request).await }
        }
    };
    tasks.spawn(front.serve(public, config.front, stopping.clone(), connected));
    if let Some(listener) = watchers {
        let limits = config.front.connection;
        let node = Arc::clone(&node);
        let answer = move |request| {
            let answer = watched(&metrics, &node, &request);
            async move { answer }
        };
        tasks.spawn(serve_plain(
            listener,
            MAX_WATCHERS,
            limits,
            stopping,
            answer,
        ));
    }
    Ok(RunningVerifier {
        node,
        signer,
        tls,
        metrics: metrics_address,
        stop,
        tasks,
    })
}

impl RunningVerifier {
    /// Where callers come in, with the port that the kernel chose.
    pub fn tls_address(&self) -> &Address {
        &self.tls
    }

    /// Where metrics are read.
    pub fn metrics_address(&self) -> Option<&Address> {
        self.metrics.as_ref()
    }

    /// Who this boot is.
    pub fn identity(&self) -> &Identity {
        self.node.identity()
    }

    /// The address of the key that signs.
    pub fn signer(&self) -> EthAddress {
        self.signer
    }

    /// Accepts no more, answers what has begun, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

type Answer = Response<Full<Bytes>>;

/// One public connection.
struct Caller {
    exporter: Exporter,
    visitor: Visitor,
    public: Arc<Public>,
}

/// What all public connections share.
struct Public {
    desk: Arc<Desk>,
    node: Arc<Node>,
    metrics: Arc<Metrics>,
}

impl Caller {
    /// The node's own paths, then the desk's.
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let Public {
            desk,
            node,
            metrics,
        } = &*self.public;
        let (method, uri) = (request.method(), request.uri());
        match node.answer(&self.exporter, method, uri).await {
            Some(answer) => {
                let path = [ATTESTATION_PATH, "/healthz", "/readyz"];
                let path = path.into_iter().find(|path| *path == uri.path());
                metrics.answered(path.unwrap_or("other"), answer.status().as_u16());
                answer
            }
            None => desk.answer(&self.visitor, request).await,
        }
    }
}

/// Answers those who watch the process.
fn watched(metrics: &Metrics, node: &Node, request: &Request<Incoming>) -> Answer {
    let (method, uri) = (request.method(), request.uri());
    if let Some(answer) = node.answer_probe(method, uri) {
        return answer;
    }
    if uri.path() != "/metrics" {
        let problem = Problem::new(404, "not-found", "There is nothing at this path");
        return reply::problem(&problem);
    }
    if method != Method::GET && method != Method::HEAD {
        return reply::method_not_allowed("GET, HEAD");
    }
    reply::with_body(StatusCode::OK, OPENMETRICS, metrics.encode().into())
}
