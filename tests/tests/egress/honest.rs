//! A whole platform: the host's own proxy carries, the enclave fetches, and the host's store is there for the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nacre_tests::platform::{Platform, repository, wait_for};
use serde_json::Value;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::server::Server;

const SOON: Duration = Duration::from_secs(10);

/// A server of the web on this machine, and an example function that says it is there.
struct Web {
    server: Server,
    files: TempDir,
    destination: String,
}

impl Web {
    async fn new() -> Self {
        let example = repository().join("examples/iris-network");
        let model = std::fs::read(example.join("model.onnx")).unwrap();
        let authority = Authority::new("the web's");
        let server = Server::start(authority.serves(&["localhost"]), model.clone()).await;
        let destination = format!("localhost:{}", server.address().port());
        let files = tempfile::tempdir().unwrap();
        let manifest = std::fs::read_to_string(example.join("nacre.toml")).unwrap();
        let urls = format!("file = \"model.onnx\"\nurls = [\"https://{destination}/model.onnx\"]");
        let manifest = manifest.replace("file = \"model.onnx\"", &urls);
        let write =
            |name: &str, bytes: &[u8]| std::fs::write(files.path().join(name), bytes).unwrap();
        write("nacre.toml", manifest.as_bytes());
        write("model.onnx", &model);
        write("root.der", &authority.root());
        write("allow", format!("{destination} # this test\n").as_bytes());
        Self {
            server,
            files,
            destination,
        }
    }

    fn path(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// What `nacre dev` is told, beside the operator's word.
    fn enclave_words(&self) -> Vec<String> {
        vec![
            "--egress-allow".to_owned(),
            self.path("allow"),
            "--egress-root".to_owned(),
            self.path("root.der"),
        ]
    }
}

/// Deploys the function, calls it, and gives the codes of its events.
fn deploy_and_call(words: &[String], function: &Path) -> Vec<String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let platform = Platform::start_with(&words).unwrap();
    let deployed = platform
        .json(&["deploy", &function.display().to_string()])
        .unwrap();
    assert_eq!(deployed["version"], 1);
    let input: PathBuf = repository().join("examples/iris-network/input.json");
    let input = input.display().to_string();
    platform
        .json(&["invoke", "iris-network", "--input", &input])
        .unwrap();
    let events = || -> Option<Vec<String>> {
        let log = platform.text(&["--json", "logs", "iris-network"]).ok()?;
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let codes: Vec<String> = lines
            .filter_map(|line| Some(line["event"]["code"].as_str()?.to_owned()))
            .collect();
        codes.iter().any(|code| code == "ready").then_some(codes)
    };
    let codes = wait_for("`ready` in the log", SOON, events).unwrap();
    platform.stop().unwrap();
    codes
}

async fn on_platform(web: &Arc<Web>, words: Vec<String>) -> Vec<String> {
    let dir = web.files.path().to_owned();
    let calling = tokio::task::spawn_blocking(move || deploy_and_call(&words, &dir));
    calling.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enclave_fetches_its_model_through_the_hosts_proxy() {
    let web = Arc::new(Web::new().await);
    let mut words = web.enclave_words();
    words.extend([
        "--egress".to_owned(),
        web.destination.clone(),
        "--egress-allow-private".to_owned(),
    ]);
    let codes = on_platform(&web, words).await;
    assert!(codes.iter().any(|code| code == "fetched"), "{codes:?}");
    assert_eq!(web.server.asked(), [web.destination.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_host_refuses_its_own_store_is_asked() {
    let web = Arc::new(Web::new().await);
    // The operator allows the name, and not this machine's own network.
    let mut words = web.enclave_words();
    words.extend(["--egress".to_owned(), "any".to_owned()]);
    let codes = on_platform(&web, words).await;
    assert!(codes.iter().any(|code| code == "fetch-failed"), "{codes:?}");
    assert!(!codes.iter().any(|code| code == "fetched"), "{codes:?}");
    // Neither side knows of any egress.
    let codes = on_platform(&web, Vec::new()).await;
    assert!(
        !codes.iter().any(|code| code.starts_with("fetch")),
        "{codes:?}"
    );
    assert_eq!(web.server.asked(), [""; 0]);
}
