//! The control planes, and those who ask them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser as _;
use nacre_control_plane::cli::{self, ControlPlaneArgs};
use nacre_control_plane::{Database, keys};
use nacre_emulator::testing::DevNsm;
use nacre_protocol::api::{
    Challenge, Deployment, DesiredState, ObservedFunction, Registered, Version,
};
use nacre_protocol::control::{Event, FunctionState};
use nacre_protocol::digest::Digest;
use reqwest::{Client, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{IMAGE, TestNode, bundle, order};

pub(super) const REPLICAS: usize = 3;
/// Longest that all of it may take.
const DEADLINE: Duration = Duration::from_secs(240);
/// The function that every node runs and writes the log of.
pub(super) const LOGGED: &str = "logged";
/// What a control plane in a process of its own is told, a line each.
const ARGUMENTS: &str = "NACRE_TEST_ARGUMENTS";

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    args: ControlPlaneArgs,
}

/// Not a test: `nacre control-plane`, for the test that kills it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by another test"]
async fn serve() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let program = Program::try_parse_from(arguments.lines()).unwrap();
    cli::run(program.args).await.unwrap();
}

/// What one caller was told.
pub(super) struct Deployed {
    pub(super) deployment: Deployment,
    pub(super) version: Version,
}

/// One control plane in a process of its own.
pub(super) struct Replica(Child);

impl Replica {
    /// SIGKILL.
    pub(super) fn kill(self) {
        drop(self);
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything that replicas and callers share.
pub(super) struct Site {
    pub(super) data: TempDir,
    pub(super) database: String,
    key: String,
    nsm: Mutex<DevNsm>,
    urls: RwLock<[String; REPLICAS]>,
    client: Client,
    turn: AtomicUsize,
    pub(super) answers: AtomicUsize,
    pub(super) again: AtomicUsize,
    /// Nothing new is asked for.
    pub(super) stop: AtomicBool,
    /// Nodes have nothing to bring about any more.
    pub(super) at_rest: AtomicBool,
}

impl Site {
    pub(super) async fn new(database: String) -> Self {
        let data = tempfile::tempdir().unwrap();
        let nsm = DevNsm::new(IMAGE, now_ms());
        std::fs::write(data.path().join("root"), nsm.root_der()).unwrap();
        let [pcr0, pcr1, pcr2] = IMAGE.map(hex::encode);
        let policy = json!({ "measurements": [{ "pcr0": pcr0, "pcr1": pcr1, "pcr2": pcr2 }] });
        std::fs::write(data.path().join("policy"), policy.to_string()).unwrap();
        let made = keys::create(&Database::postgres(&database).unwrap(), "load").await;
        Self {
            key: made.unwrap().key,
            data,
            database,
            nsm: Mutex::new(nsm),
            urls: RwLock::default(),
            client: Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(40))
                .build()
                .unwrap(),
            turn: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            again: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            at_rest: AtomicBool::new(false),
        }
    }

    /// Starts replica `n` and waits until it listens.
    pub(super) fn start(&self, n: usize) -> Replica {
        let log = self.data.path().join(format!("log-{n}"));
        let log = std::fs::File::options().create(true).append(true).open(log);
        let file = |name: &str| self.data.path().join(name).display().to_string();
        let arguments = [
            "nacre control-plane".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--exit-on-stdin-eof".to_owned(),
            // Nodes stay online, however long a control plane is away.
            "--offline-after-ms=600000".to_owned(),
            format!("--database={}", self.database),
            format!("--objects={}", file("objects")),
            format!("--root={}", file("root")),
            format!("--node-policy={}", file("policy")),
        ];
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "survivors::site::serve",
                "--nocapture",
            ])
            .env(ARGUMENTS, arguments.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("listening on ")
                .map(|(_, url)| url.to_owned())
        });
        self.urls.write().unwrap()[n] = url.expect("it listens");
        Replica(child)
    }

    /// Waits until callers had that many answers.
    pub(super) async fn until_answers(&self, wanted: usize, began: Instant) {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while self.answers.load(Ordering::SeqCst) < wanted {
            assert!(began.elapsed() < DEADLINE, "the load stands still");
            tick.tick().await;
        }
    }

    /// Asks one replica after the other until one answers. Refusals fail the test: nothing that is asked is wrong.
    async fn ask(&self, method: Method, path: &str, key: &str, body: Vec<u8>) -> String {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            assert!(began.elapsed() < DEADLINE, "nobody answers {method} {path}");
            let answer = self.ask_once(method.clone(), path, key, body.clone()).await;
            match answer {
                Some((status, text)) if status.is_success() => {
                    self.answers.fetch_add(1, Ordering::SeqCst);
                    return text;
                }
                Some((StatusCode::SERVICE_UNAVAILABLE, _)) | None => {}
                Some((status, text)) => panic!("{method} {path}: {status} {text}"),
            }
            self.again.fetch_add(1, Ordering::SeqCst);
            tick.tick().await;
        }
    }

    async fn ask_once(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: Vec<u8>,
    ) -> Option<(StatusCode, String)> {
        let turn = self.turn.fetch_add(1, Ordering::SeqCst) % REPLICAS;
        let url = format!("{}{path}", self.urls.read().unwrap()[turn]);
        let request = self.client.request(method, url).body(body);
        let request = match key.strip_prefix("token ") {
            Some("none") => request,
            Some(token) => request.bearer_auth(token),
            None => request
                .bearer_auth(&self.key)
                .header("idempotency-key", key),
        };
        let request = request.header("content-type", "application/json");
        let answer = request.send().await.ok()?;
        Some((answer.status(), answer.text().await.ok()?))
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        body: &impl Serialize,
    ) -> T {
        let body = serde_json::to_vec(body).unwrap();
        let answer = self.ask(Method::POST, path, key, body).await;
        serde_json::from_str(&answer).unwrap()
    }

    /// Uploads a function and makes its version.
    pub(super) async fn function(&self, name: &str, model: &str) -> Version {
        let (blobs, bundle) = bundle(name, "1MiB", model);
        for blob in blobs {
            let path = format!("/v1/blobs/{}", Digest::of(&blob));
            self.ask(Method::PUT, &path, "blob", blob).await;
        }
        let body = json!({ "digest": bundle.digest() });
        self.post("/v1/functions", &format!("version-{name}"), &body)
            .await
    }

    /// Functions of its own, each deployed three times.
    pub(super) async fn deploy_on_and_on(self: Arc<Self>, who: usize) -> Vec<Deployed> {
        let mut told = Vec::new();
        for n in 0.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let name = format!("f{who}-{n}");
            let version = self.function(&name, &name).await;
            for replicas in 1..=3 {
                let key = format!("{name}-{replicas}");
                let order = order(&version, replicas);
                let deployment: Deployment = self.post("/v1/deployments", &key, &order).await;
                told.push(Deployed {
                    deployment,
                    version: version.clone(),
                });
            }
        }
        told
    }

    /// Registers until it is told that it is registered; a nonce of one replica at whichever comes next.
    pub(super) async fn register(self: Arc<Self>, mut node: TestNode) -> TestNode {
        loop {
            let path = "/v1/nodes/challenges";
            let challenge = self.ask(Method::POST, path, "token none", vec![]).await;
            let challenge: Challenge = serde_json::from_str(&challenge).unwrap();
            let request = {
                let mut nsm = self.nsm.lock().unwrap();
                node.registration(&mut nsm, challenge.nonce, now_ms())
            };
            let body = serde_json::to_vec(&request).unwrap();
            let once = self.ask_once(Method::POST, "/v1/nodes", "token none", body);
            match once.await {
                Some((StatusCode::CREATED, text)) => {
                    self.answers.fetch_add(1, Ordering::SeqCst);
                    node.token = serde_json::from_str::<Registered>(&text).unwrap().token;
                    return node;
                }
                // Registered or not, nobody knows: once more, with another nonce.
                Some((StatusCode::SERVICE_UNAVAILABLE, _)) | None => {
                    self.again.fetch_add(1, Ordering::SeqCst);
                }
                Some((status, text)) => panic!("registration: {status} {text}"),
            }
        }
    }

    /// Reports an event after the other, and registers anew after each tenth; then on without events, until all is at rest.
    pub(super) async fn report_on_and_on(self: Arc<Self>, mut node: TestNode) -> Written {
        let mut written = Written {
            node: node.id.to_string(),
            boot: node.boot().to_string(),
            events: 0,
            registrations: 1,
        };
        while !self.at_rest.load(Ordering::SeqCst) {
            let token = format!("token {}", node.token);
            let path = format!("/v1/nodes/{}/desired", node.id);
            let desired = self.ask(Method::GET, &path, &token, vec![]).await;
            let desired: DesiredState = serde_json::from_str(&desired).unwrap();
            let counts = !self.stop.load(Ordering::SeqCst);
            written.events += u64::from(counts);
            let event = counts.then(|| Event {
                seq: written.events,
                at_ms: now_ms(),
                function: LOGGED.parse().unwrap(),
                code: "count".to_owned(),
                message: written.events.to_string(),
            });
            let states = desired.functions.iter().map(|function| ObservedFunction {
                lease: function.lease,
                digest: function.digest,
                state: FunctionState::Ready,
                error: None,
                in_flight: Some(0),
                oldest_wait_ms: None,
            });
            let report = node.report(states.collect(), event.into_iter().collect());
            let body = serde_json::to_vec(&report).unwrap();
            let path = format!("/v1/nodes/{}/observed", node.id);
            self.ask(Method::POST, &path, &token, body).await;
            if counts && written.events.is_multiple_of(10) {
                node = self.clone().register(node).await;
                written.registrations += 1;
            }
        }
        written
    }
}

/// What a node was told.
pub(super) struct Written {
    pub(super) node: String,
    pub(super) boot: String,
    pub(super) events: u64,
    pub(super) registrations: usize,
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap().as_millis()).unwrap()
}
