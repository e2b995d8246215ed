//! Where the routes come from, and what remains of them when that is away. The gateway is run as `nacre gateway` runs it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use nacre_gateway::cli::{GatewayArgs, run};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::callers::who_answers;
use crate::nodes::{Manner, PlayedNode, nowhere};
use crate::world::{DEADLINE, until};

#[derive(clap::Parser)]
struct Words {
    #[command(flatten)]
    args: GatewayArgs,
}

/// `nacre gateway` with these words, in a task that ends with the value.
struct Running {
    address: SocketAddr,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    async fn start(words: &[&str]) -> Self {
        let address = nowhere().await;
        let listen = address.to_string();
        let all = ["gateway", "--listen", &listen, "--zone", "fn.example.org"];
        let all = all.iter().chain(words);
        let args = Words::try_parse_from(all).unwrap().args;
        let task = tokio::spawn(run(args, std::future::pending()));
        Self { address, task }
    }

    async fn answers(&self, letter: u8) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let connected = tokio::net::TcpStream::connect(self.address).await.is_ok();
            if connected && who_answers(self.address).await == Some(letter) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline && !self.task.is_finished(),
                "not in time: {}",
                char::from(letter)
            );
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Written whole or not at all, as an operator's tools do it.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

fn file_with(node: &PlayedNode) -> String {
    format!("[[functions.iris]]\nnodes = [\"{}\"]\n", node.address)
}

#[tokio::test]
async fn a_file_is_read_again_when_it_changes_and_a_mistake_in_it_changes_nothing() {
    let (a, b) = (
        PlayedNode::start(Manner::Answers(b'a')).await,
        PlayedNode::start(Manner::Answers(b'b')).await,
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    write(&path, &file_with(&a));
    let words = ["--routes", path.to_str().unwrap(), "--poll-every", "100ms"];
    let gateway = Running::start(&words).await;
    gateway.answers(b'a').await;
    write(&path, "[[functions.iris]]\nnodes = [\"nonsense\"]\n");
    for _ in 0..20 {
        gateway.answers(b'a').await;
    }
    write(&path, &file_with(&b));
    gateway.answers(b'b').await;
    fs::remove_file(&path).unwrap();
    for _ in 0..20 {
        assert_eq!(who_answers(gateway.address).await, Some(b'b'));
    }
}

#[tokio::test]
async fn a_gateway_does_not_start_with_a_file_that_makes_no_sense() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    for text in [None, Some("[[functions.iris]]\nnodes = [\"nonsense\"]\n")] {
        if let Some(text) = text {
            write(&path, text);
        }
        let mut gateway = Running::start(&["--routes", path.to_str().unwrap()]).await;
        let ended = tokio::time::timeout(DEADLINE, &mut gateway.task).await;
        let error = ended.unwrap().unwrap().unwrap_err().to_string();
        assert!(error.contains("routes.toml"), "{error}");
    }
}

/// A control plane that answers `GET /v1/routes` in pages of one, to those who have the key.
struct PlayedControlPlane {
    address: SocketAddr,
    functions: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<u64>>,
    serving: JoinHandle<()>,
}

impl PlayedControlPlane {
    async fn start(functions: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let functions = Arc::new(Mutex::new(functions));
        let asked = Arc::<Mutex<u64>>::default();
        let (list, count) = (Arc::clone(&functions), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let head = String::from_utf8(head).unwrap();
                let (status, body) = answer(&head, &list.lock().unwrap());
                *count.lock().unwrap() += 1;
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Self {
            address,
            functions,
            asked,
            serving,
        }
    }

    async fn kill(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }
}

fn answer(head: &str, functions: &[Value]) -> (&'static str, String) {
    let line = head.lines().next().unwrap_or_default();
    if !head.contains("authorization: Bearer the-key\r\n") {
        return ("401 Unauthorized", String::new());
    }
    let Some(query) = line.strip_prefix("GET /base/v1/routes?") else {
        return ("404 Not Found", String::new());
    };
    let query = query.split(' ').next().unwrap_or_default();
    let after = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("after="));
    let at: usize = after.map_or(0, |after| after.parse().unwrap());
    let next = (at + 1 < functions.len()).then(|| (at + 1).to_string());
    let items: Vec<_> = functions.iter().skip(at).take(1).collect();
    let mut page = json!({ "items": items });
    if let Some(next) = next {
        page["next"] = next.into();
    }
    ("200 OK", page.to_string())
}

fn function(name: &str, node: &PlayedNode) -> Value {
    let digest = format!("sha256:{}", "7".repeat(64));
    let deployment = format!("dep_{}", "2".repeat(32));
    let node = json!({
        "node": format!("node_{}", "1".repeat(32)), "endpoint": node.address.to_string(),
    });
    json!({
        "function": name,
        "routes": [
            {"digest": digest, "deployment": deployment, "weight": 10_000, "nodes": [node]}
        ],
    })
}

#[tokio::test]
async fn losing_the_control_plane_changes_nothing_not_even_for_a_gateway_that_starts_then() {
    let (a, b) = (
        PlayedNode::start(Manner::Answers(b'a')).await,
        PlayedNode::start(Manner::Answers(b'b')).await,
    );
    let functions = vec![function("another", &b), function("iris", &a)];
    let control_plane = PlayedControlPlane::start(functions).await;
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, "the-key\n").unwrap();
    let data = folder.path().join("data");
    let url = format!("http://{}/base/", control_plane.address);
    let words = [
        "--control-plane",
        &url,
        "--key-file",
        key.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
        "--poll-every",
        "100ms",
    ];
    let gateway = Running::start(&words).await;
    gateway.answers(b'a').await;
    *control_plane.functions.lock().unwrap() = vec![function("iris", &b)];
    gateway.answers(b'b').await;

    // A key that is refused is as good as a control plane that is away.
    fs::write(&key, "revoked").unwrap();
    let before = *control_plane.asked.lock().unwrap();
    until("it was asked again", || {
        *control_plane.asked.lock().unwrap() > before + 2
    })
    .await;
    assert_eq!(who_answers(gateway.address).await, Some(b'b'));
    control_plane.kill().await;
    for _ in 0..20 {
        assert_eq!(who_answers(gateway.address).await, Some(b'b'));
    }
    drop(gateway);
    let again = Running::start(&words).await;
    again.answers(b'b').await;
}
