//! A fake enclave: the control channel over HTTP, and instead of TLS a banner and an echo.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, head, post, put};
use axum::{Json, Router};
use http::StatusCode;
use nacre_protocol::bundle::Bundle;
use nacre_protocol::control::{
    Counters, EnclaveMetrics, EnclaveStatus, Event, EventPage, FunctionState, FunctionStatus,
    LoadFunction,
};
use nacre_protocol::digest::Digest;
use nacre_protocol::evidence::{Evidence, RegistrationChallenge, register_leaf};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{BootId, FunctionName};
use nacre_protocol::problem::Problem;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A layer with these bytes is no model.
pub(crate) const NO_MODEL: &[u8] = b"not a model";

/// What an enclave prints is for the log of whoever runs it, and for no file of the node's.
pub(crate) const PRINTED: &str = "the input was 4111 1111";

/// The value of an option of the launcher's.
pub(crate) fn option(name: &str) -> String {
    let mut arguments = std::env::args().skip_while(|a| a != name);
    arguments.nth(1).unwrap()
}

/// The "worker program" holds a word that says how to behave.
fn behaviour() -> String {
    std::fs::read_to_string(option("--worker")).unwrap()
}

pub(crate) fn emulator_main() -> ExitCode {
    for name in [
        "--pki-dir",
        "--measure-enclave",
        "--measure-worker",
        "--measure-onnxruntime",
    ] {
        assert!(PathBuf::from(option(name)).is_absolute(), "{name}");
    }
    assert_eq!(option("--latency-ms"), "7");
    assert!(option("--socket").ends_with("/nsm.sock"));
    assert_eq!(std::env::args().next_back().unwrap(), "--exit-on-stdin-eof");
    std::fs::write("nsm.pid", std::process::id().to_string()).unwrap();
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    ExitCode::SUCCESS
}

pub(crate) fn main() -> ExitCode {
    assert_eq!(std::env::vars_os().count(), 0, "the environment is empty");
    match behaviour().as_str() {
        "dies" => {
            eprintln!("cannot load the library");
            return ExitCode::from(3);
        }
        "chatters" => println!("hello"),
        "hangs" => loop {
            std::thread::park();
        },
        _ => {}
    }
    tokio::runtime::Runtime::new().unwrap().block_on(run());
    ExitCode::SUCCESS
}

/// Serves both ports of an enclave on Unix sockets.
pub(crate) fn serve(tls: &str, control: &str) {
    let state = Arc::new(Enclave::new());
    let tls = UnixListener::bind(tls).unwrap();
    let control = UnixListener::bind(control).unwrap();
    tokio::spawn(echo(tls, state.boot_id));
    let router = router(state);
    tokio::spawn(async move { axum::serve(control, router).await });
}

async fn run() {
    eprintln!("{PRINTED}");
    let path = |name: &str| option(name).strip_prefix("unix:").unwrap().to_owned();
    serve(&path("--tls"), &path("--control"));
    let stubborn = behaviour() == "stubborn";
    let mut term = signal(SignalKind::terminate()).unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    let eof = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    if stubborn {
        loop {
            term.recv().await;
        }
    }
    let _ = eof.await;
}

/// Tells each caller which boot answers, and where, and then echoes.
async fn echo(listener: UnixListener, boot_id: BootId) {
    let directory = std::env::current_dir().unwrap();
    let banner = format!("{boot_id} {} {}\n", std::process::id(), directory.display());
    while let Ok((mut stream, _)) = listener.accept().await {
        let banner = banner.clone();
        tokio::spawn(async move {
            let _ = stream.write_all(banner.as_bytes()).await;
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }
}

struct Enclave {
    boot_id: BootId,
    inner: Mutex<Inner>,
    last_seq: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    blobs: BTreeMap<Digest, Bytes>,
    functions: BTreeMap<FunctionName, FunctionStatus>,
    events: Vec<Event>,
}

impl Enclave {
    fn new() -> Self {
        let mut id = [0; 16];
        getrandom::fill(&mut id).unwrap();
        Self {
            boot_id: BootId::from_random(id),
            inner: Mutex::default(),
            last_seq: watch::Sender::new(0),
        }
    }

    fn event(&self, inner: &mut Inner, function: &FunctionName, code: &str) {
        let seq = inner.events.len() as u64 + 1;
        inner.events.push(Event {
            seq,
            at_ms: 1,
            function: function.clone(),
            code: code.to_owned(),
            message: format!("{function} is {code}"),
        });
        self.last_seq.send_replace(seq);
    }
}

fn router(state: Arc<Enclave>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/evidence", post(evidence))
        .route("/v1/blobs/{digest}", head(has_blob).put(put_blob))
        .route("/v1/functions/{name}", put(load).delete(unload))
        .route("/v1/events", get(events))
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

async fn status(State(enclave): State<Arc<Enclave>>) -> Json<EnclaveStatus> {
    let inner = enclave.inner.lock().unwrap();
    Json(EnclaveStatus {
        boot_id: enclave.boot_id,
        version: "fake".to_owned(),
        memory_bytes: option("--memory").trim_end_matches('B').parse().unwrap(),
        processors: 3,
        functions: inner.functions.values().cloned().collect(),
        counters: Counters::default(),
        metrics: EnclaveMetrics::default(),
    })
}

async fn evidence(
    State(enclave): State<Arc<Enclave>>,
    Json(ask): Json<RegistrationChallenge>,
) -> Json<Evidence> {
    let statement = IdentityStatement {
        tls_spki_sha256: [1; 32],
        receipt_key: [2; 64],
        hpke_key: [3; 32],
        boot_id: enclave.boot_id,
    };
    Json(Evidence {
        document: register_leaf(&ask.nonce, &ask.operator, &ask.node).to_vec(),
        statement: statement.encode(),
        leaf_index: 0,
        tree_size: 1,
        path: Vec::new(),
    })
}

async fn has_blob(State(enclave): State<Arc<Enclave>>, Path(digest): Path<Digest>) -> StatusCode {
    if enclave.inner.lock().unwrap().blobs.contains_key(&digest) {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    }
}

async fn put_blob(
    State(enclave): State<Arc<Enclave>>,
    Path(digest): Path<Digest>,
    body: Bytes,
) -> Response {
    if Digest::of(&body) != digest {
        return problem(422, "digest-mismatch");
    }
    enclave.inner.lock().unwrap().blobs.insert(digest, body);
    StatusCode::CREATED.into_response()
}

async fn load(
    State(enclave): State<Arc<Enclave>>,
    Path(name): Path<FunctionName>,
    Json(LoadFunction { digest, lease }): Json<LoadFunction>,
) -> Response {
    let mut inner = enclave.inner.lock().unwrap();
    let Some(manifest) = inner.blobs.get(&digest) else {
        return problem(409, "blob-missing");
    };
    let bundle = Bundle::from_oci_manifest(manifest).unwrap();
    for file in bundle.files() {
        match inner.blobs.get(&file.digest) {
            None => return problem(409, "blob-missing"),
            Some(bytes) if bytes == NO_MODEL => {
                enclave.event(&mut inner, &name, "refused");
                return problem(422, "model-invalid");
            }
            Some(_) => {}
        }
    }
    let status = FunctionStatus {
        name: name.clone(),
        digest,
        state: FunctionState::Ready,
        lease,
        error: None,
        load: Default::default(),
    };
    inner.functions.insert(name.clone(), status.clone());
    enclave.event(&mut inner, &name, "ready");
    Json(status).into_response()
}

async fn unload(State(enclave): State<Arc<Enclave>>, Path(name): Path<FunctionName>) -> StatusCode {
    let mut inner = enclave.inner.lock().unwrap();
    inner.functions.remove(&name);
    enclave.event(&mut inner, &name, "unloaded");
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct After {
    after: u64,
    wait_ms: u64,
}

async fn events(
    State(enclave): State<Arc<Enclave>>,
    Query(After { after, wait_ms }): Query<After>,
) -> Json<EventPage> {
    let mut last_seq = enclave.last_seq.subscribe();
    let news = last_seq.wait_for(|seq| *seq > after);
    let _ = tokio::time::timeout(Duration::from_millis(wait_ms), news).await;
    let inner = enclave.inner.lock().unwrap();
    let events = inner.events.iter().filter(|event| event.seq > after);
    Json(EventPage {
        boot_id: enclave.boot_id,
        events: events.cloned().collect(),
    })
}

fn problem(status: u16, code: &str) -> Response {
    let problem = Problem::new(status, code, "The fake enclave refuses.");
    (StatusCode::from_u16(status).unwrap(), Json(problem)).into_response()
}
