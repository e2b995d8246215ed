//! What control planes, callers and nodes share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, RwLock};
use std::time::{Duration, Instant, SystemTime};

use nacre_control_plane::{Database, keys};
use nacre_emulator::testing::DevNsm;
use nacre_protocol::api::{Challenge, DesiredState, ObservedFunction, Registered, Version};
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::invariants::Told;
use crate::signer::Signer;
use crate::support::{IMAGE, bundle, order};

/// Longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How long a node has a job.
pub(crate) const LEASE_MS: u64 = 500;
/// Tries after which a job fails.
pub(crate) const TRIES: u32 = 4;

/// The site.
pub(crate) struct Site {
    pub(crate) data: TempDir,
    /// PostgreSQL's URL; absent: SQLite.
    pub(crate) postgres: Option<String>,
    pub(crate) key: String,
    /// Where each control plane listens now.
    pub(crate) urls: RwLock<Vec<String>>,
    pub(crate) client: Client,
    turn: AtomicUsize,
    pub(crate) answers: AtomicUsize,
    /// Callers lay nothing more in.
    pub(crate) enough: AtomicBool,
    /// Nodes stop.
    pub(crate) over: AtomicBool,
    /// Where webhooks go.
    pub(crate) hook: RwLock<String>,
    told: Mutex<Told>,
}

impl Site {
    /// Makes the files that control planes read, and an API key.
    pub(crate) async fn new(postgres: Option<String>, replicas: usize, nsm: &DevNsm) -> Self {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("root"), nsm.root_der()).unwrap();
        let [pcr0, pcr1, pcr2] = IMAGE.map(hex::encode);
        let policy = json!({ "measurements": [{ "pcr0": pcr0, "pcr1": pcr1, "pcr2": pcr2 }] });
        std::fs::write(data.path().join("policy"), policy.to_string()).unwrap();
        std::fs::create_dir(data.path().join("failpoints")).unwrap();
        let database = match &postgres {
            Some(url) => Database::postgres(url).unwrap(),
            None => Database::Folder(data.path().to_owned()),
        };
        let client = Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(20));
        Self {
            key: keys::create(&database, "chaos").await.unwrap().key,
            data,
            postgres,
            urls: RwLock::new(vec![String::new(); replicas]),
            client: client.build().unwrap(),
            turn: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            enough: AtomicBool::new(false),
            over: AtomicBool::new(false),
            hook: RwLock::default(),
            told: Mutex::new(Told {
                max_tries: u64::from(TRIES),
                ..Told::default()
            }),
        }
    }

    /// What everybody was told so far.
    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// The database's URL for those who read it.
    pub(crate) fn database(&self) -> String {
        match &self.postgres {
            Some(url) => url.clone(),
            None => format!("sqlite://{}/nacre.db", self.data.path().display()),
        }
    }

    /// Where the objects are.
    pub(crate) fn objects(&self) -> PathBuf {
        self.data.path().join("objects")
    }

    /// Asks one control plane after the other until one answers. An answer that says that it is our fault is a defect.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        path: &str,
        dress: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> (StatusCode, Vec<u8>) {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            assert!(began.elapsed() < PATIENCE, "nobody answers {method} {path}");
            let turn = self.turn.fetch_add(1, Ordering::SeqCst);
            let url = {
                let urls = self.urls.read().unwrap();
                format!("{}{path}", urls[turn % urls.len()])
            };
            let sent = dress(self.client.request(method.clone(), url)).send().await;
            if let Ok(answer) = sent {
                let status = answer.status();
                if let Ok(body) = answer.bytes().await
                    && status != StatusCode::SERVICE_UNAVAILABLE
                {
                    let said = String::from_utf8_lossy(&body);
                    assert!(
                        !status.is_server_error(),
                        "{method} {path}: {status} {said}"
                    );
                    self.answers.fetch_add(1, Ordering::SeqCst);
                    return (status, body.to_vec());
                }
            }
            tick.tick().await;
        }
    }

    /// The same with the API key.
    pub(crate) async fn ask_as_caller(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Vec<u8>) {
        let dress = |request: RequestBuilder| {
            let request = request.bearer_auth(&self.key);
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.ask(method, path, dress).await
    }

    /// A function that runs on all these nodes, which are registered first.
    pub(crate) async fn set_up(&self, nsm: &mut DevNsm, nodes: &mut [Signer]) -> Version {
        for node in &mut *nodes {
            self.register(nsm, node).await;
        }
        let (blobs, bundle) = bundle("iris", "1MiB", "model");
        for blob in blobs {
            let path = format!("/v1/blobs/{}", Digest::of(&blob));
            let dress = |r: RequestBuilder| r.bearer_auth(&self.key).body(blob.clone());
            assert!(self.ask(&Method::PUT, &path, dress).await.0.is_success());
        }
        let digest = json!({ "digest": bundle.digest() });
        let made = self.ask_as_caller(&Method::POST, "/v1/functions", Some(&digest));
        let version: Version = serde_json::from_slice(&made.await.1).unwrap();
        let order = order(&version, u32::try_from(nodes.len()).unwrap());
        let order = serde_json::to_value(order).unwrap();
        let deployed = self.ask_as_caller(&Method::POST, "/v1/deployments", Some(&order));
        assert_eq!(deployed.await.0, 201);
        for node in nodes {
            self.report_ready(node).await;
        }
        let secret = self.ask_as_caller(&Method::GET, "/v1/webhook-secret", None);
        let secret: Value = serde_json::from_slice(&secret.await.1).unwrap();
        self.told().secret = secret["secret"].as_str().unwrap().to_owned();
        version
    }

    async fn register(&self, nsm: &mut DevNsm, signer: &mut Signer) {
        let asked = self.ask(&Method::POST, "/v1/nodes/challenges", |r| r).await;
        let challenge: Challenge = serde_json::from_slice(&asked.1).unwrap();
        let request = signer.node.registration(nsm, challenge.nonce, now_ms());
        let (status, body) = self
            .ask(&Method::POST, "/v1/nodes", |r| r.json(&request))
            .await;
        assert_eq!(status, 201);
        signer.node.token = serde_json::from_slice::<Registered>(&body).unwrap().token;
    }

    async fn report_ready(&self, signer: &Signer) {
        let node = &signer.node;
        let path = format!("/v1/nodes/{}/desired", node.id);
        let dress = |r: RequestBuilder| r.bearer_auth(&node.token);
        let desired = self.ask(&Method::GET, &path, dress).await.1;
        let desired: DesiredState = serde_json::from_slice(&desired).unwrap();
        let ready = desired.functions.iter().map(|function| ObservedFunction {
            lease: function.lease,
            digest: function.digest,
            state: FunctionState::Ready,
            error: None,
            in_flight: None,
            oldest_wait_ms: None,
        });
        let report = node.report(ready.collect(), vec![]);
        let path = format!("/v1/nodes/{}/observed", node.id);
        let dress = |r: RequestBuilder| r.bearer_auth(&node.token).json(&report);
        assert_eq!(self.ask(&Method::POST, &path, dress).await.0, 204);
    }
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}

/// Lets time pass. What passes here is time that somebody takes, not time for something to happen.
pub(crate) async fn take_time(ms: u64) {
    let _ = tokio::time::timeout(Duration::from_millis(ms), core::future::pending::<()>()).await;
}
