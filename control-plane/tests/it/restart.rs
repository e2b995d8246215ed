//! What was answered survives a stop, and a kill in the middle of work.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use nacre_control_plane::clock::Clock;
use nacre_control_plane::{ControlPlane, Database};
use nacre_emulator::testing::DevNsm;
use nacre_protocol::api::{Deployment, Function, LogLine, Page, Registered, Version};
use nacre_protocol::control::FunctionState::{Loading, Ready};
use nacre_protocol::digest::Digest;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{
    IMAGE, START_MS, Server, TestNode, bundle, config, expect, files, order, refused,
};

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register(&mut node).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    server.report(&node, Ready).await;
    let desired = server.desired(&node, "").await;
    let function: Function = server.get("/v1/functions/iris").await;
    server.stop().await;
    // Longer than a node may be silent: the time that nobody could report does not count.
    server.pass(60_000);
    server.resume().await;
    assert_eq!(server.get::<Function>("/v1/functions/iris").await, function);
    assert_eq!(server.deployment(deployment.id).await.state, Ready);
    // The node's token and its known revision hold.
    assert_eq!(server.desired(&node, "").await, desired);
    server.report(&node, Ready).await;
    server.audit().await;
    let logs: Page<LogLine> = server.get("/v1/functions/iris/logs").await;
    assert_eq!(logs.items, []);
    // It is silent now of its own accord.
    server.pass(6000);
    server
        .until(deployment.id, |deployment| deployment.state == Loading)
        .await;
}

#[tokio::test]
async fn a_nonce_outlives_a_restart_and_is_still_used_once() {
    let mut server = Server::start().await;
    let node = TestNode::new(1, 1, 1);
    let nonce = server.challenge().await;
    server.stop().await;
    server.resume().await;
    let request = node.registration(&mut server.nsm, nonce, START_MS);
    let post = |server: &Server| server.anonymous(Method::POST, "/v1/nodes").json(&request);
    let _: Registered = expect(post(&server), 201).await;
    server.stop().await;
    server.resume().await;
    refused(post(&server), 403, "nonce-invalid").await;
}

const KILLED_DATA: &str = "NACRE_TEST_KILLED_DATA";
const KILLED_DATABASE: &str = "NACRE_TEST_KILLED_DATABASE";
pub(crate) const KILLED_OBJECTS: &str = "NACRE_TEST_KILLED_OBJECTS";

/// Not a test: the process that `a_kill_loses_nothing_that_was_answered` kills.
#[tokio::test]
#[ignore = "started by another test"]
async fn serve_until_killed() {
    let Some(data) = std::env::var_os(KILLED_DATA) else {
        return;
    };
    let nsm = DevNsm::new(IMAGE, START_MS);
    let mut config = config(data.as_ref(), nsm.root_der());
    config.clock = Clock::from_fn(|| START_MS);
    if let Ok(url) = std::env::var(KILLED_DATABASE) {
        config.database = Database::postgres(&url).unwrap();
    }
    if let Ok(objects) = std::env::var(KILLED_OBJECTS) {
        config.objects = objects.parse().unwrap();
    }
    let control_plane = ControlPlane::bind(config).await.unwrap();
    println!("listening on {}", control_plane.url());
    std::future::pending::<()>().await;
}

/// A control plane in a process of its own, on a stopped server's data.
pub(crate) struct Killed {
    child: Child,
    pub(crate) url: String,
}

impl Killed {
    pub(crate) fn start(server: &Server, environment: &[(&str, String)]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.envs(environment.iter().cloned());
        if let Database::Postgres(url) = &server.database {
            command.env(KILLED_DATABASE, url.as_str());
        }
        let mut child = command
            .args([
                "--ignored",
                "--exact",
                "restart::serve_until_killed",
                "--nocapture",
            ])
            .env(KILLED_DATA, server.data.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("listening on ")
                .map(|(_, url)| url.to_owned())
        });
        Self {
            child,
            url: url.unwrap(),
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_answered() {
    let mut server = Server::start().await;
    server.stop().await;
    let mut answered: Vec<(u32, Version, String)> = Vec::new();
    let mut asked = 0;
    for round in 0..4u64 {
        let victim = Killed::start(&server, &[]);
        let enough = Notify::new();
        let before = answered.len();
        let work = async {
            loop {
                asked += 1;
                let done = deploy(&victim.url, &server.key, asked).await;
                let Some((version, deployment)) = done else {
                    return;
                };
                answered.push((asked, version, deployment));
                if answered.len() == before + 3 {
                    enough.notify_one();
                }
            }
        };
        let uploads = half_an_upload(&victim.url, &server.key);
        // Some answers in, each round a little later: wherever everything is at that moment.
        let kill = async {
            enough.notified().await;
            let mut tick = tokio::time::interval(Duration::from_millis(1 + 7 * round));
            tick.tick().await;
            tick.tick().await;
        };
        tokio::select! {
            () = kill => {}
            () = work => panic!("the server gave up before it was killed"),
            () = uploads => panic!("an upload that never ends ended"),
        }
        victim.kill();
    }

    server.resume().await;
    for (n, version, deployment) in &answered {
        let function: Function = server.get(&format!("/v1/functions/f{n}")).await;
        assert_eq!(function.versions, std::slice::from_ref(version));
        let live = function.deployment.unwrap();
        assert_eq!(
            serde_json::from_str::<Deployment>(deployment).unwrap().id,
            live.id
        );
        // The same question again: the stored answer, byte for byte.
        let again = server.request(Method::POST, "/v1/deployments");
        let again = again
            .header("idempotency-key", format!("k{n}"))
            .json(&order(version, 1));
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), StatusCode::CREATED);
        assert_eq!(&again.text().await.unwrap(), deployment);
        for blob in bundle(&format!("f{n}"), "1MiB", &n.to_string()).0 {
            let path = format!("/v1/blobs/{}", Digest::of(&blob));
            let got = server.request(Method::GET, &path).send().await.unwrap();
            assert!(got.bytes().await.unwrap() == blob);
        }
    }
    server.audit().await;
    // What was half way is whole or gone.
    for name in files(&server.data.path().join("objects")) {
        // Where control planes share a folder, another may be at it: it goes when it is a day old.
        if server.is_shared() && name.contains('#') {
            continue;
        }
        let path = server.data.path().join("objects/blobs/sha256").join(&name);
        assert_eq!(Digest::of(&std::fs::read(path).unwrap()).to_hex(), name);
    }
}

/// Uploads, makes and deploys function number `n`; `None` when the server has gone.
async fn deploy(url: &str, key: &str, n: u32) -> Option<(Version, String)> {
    let client = Client::builder().no_proxy().build().unwrap();
    let (blobs, bundle) = bundle(&format!("f{n}"), "1MiB", &n.to_string());
    for blob in blobs {
        let put = client.put(format!("{url}/v1/blobs/{}", Digest::of(&blob)));
        put.bearer_auth(key).body(blob).send().await.ok()?;
    }
    let create = client.post(format!("{url}/v1/functions")).bearer_auth(key);
    let create = create.json(&json!({ "digest": bundle.digest() }));
    let version: Version = create.send().await.ok()?.json().await.ok()?;
    let post = client
        .post(format!("{url}/v1/deployments"))
        .bearer_auth(key);
    let post = post
        .header("idempotency-key", format!("k{n}"))
        .json(&order(&version, 1));
    let answer = post.send().await.ok()?.text().await.ok()?;
    Some((version, answer))
}

/// An upload that stays half way.
async fn half_an_upload(url: &str, key: &str) {
    let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(vec![1; 65536])).take(160);
    let body = reqwest::Body::wrap_stream(chunks.chain(stream::pending()));
    let client = Client::builder().no_proxy().build().unwrap();
    let put = client.put(format!("{url}/v1/blobs/{}", Digest::of(b"never")));
    let _ = put.bearer_auth(key).body(body).send().await;
}
