//! Blobs in S3, against moto's server.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nacre_protocol::api::Version;
use nacre_protocol::digest::Digest;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::restart::{KILLED_OBJECTS, Killed};
use crate::support::{Server, bundle, expect};

const BUCKET: &str = "nacre-test";

/// moto's server with an empty bucket.
struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// `None` where the tests' Python is not there.
    async fn start() -> Option<Self> {
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/venv/bin/python");
        let python = std::env::var_os("NACRE_TEST_PYTHON").unwrap_or_else(|| setup.into());
        if !Path::new(&python).is_file() {
            println!("left out: no Python with moto; `make setup` brings it");
            return None;
        }
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(python)
            .args([
                "-c",
                "import sys, moto.server; moto.server.main(sys.argv[1:])",
            ])
            .args(["--host", "127.0.0.1", "--port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            let line = line.unwrap();
            line.split_once("Running on ")
                .map(|(_, url)| url.trim().to_owned())
        });
        // Read on, so that it never waits for somebody to.
        std::thread::spawn(move || lines.for_each(drop));
        let moto = Self {
            child,
            url: url.expect("moto says where it listens"),
        };
        let made = moto.ask(Method::PUT, "").send().await.unwrap();
        assert_eq!(made.status(), StatusCode::OK);
        Some(moto)
    }

    fn ask(&self, method: Method, key: &str) -> RequestBuilder {
        let client = Client::builder().no_proxy().build().unwrap();
        client.request(method, format!("{}/{BUCKET}/{key}", self.url))
    }

    /// All keys of the bucket, in order.
    async fn keys(&self) -> Vec<String> {
        let list = self.ask(Method::GET, "?list-type=2").send().await.unwrap();
        let text = list.text().await.unwrap();
        let keys = text.split("<Key>").skip(1);
        keys.map(|rest| rest.split('<').next().unwrap().to_owned())
            .collect()
    }

    fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            (KILLED_OBJECTS, format!("s3://{BUCKET}/here")),
            ("AWS_ENDPOINT_URL", self.url.clone()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ]
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn blobs_live_in_a_bucket() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let mut server = Server::start().await;
    server.stop().await;
    let running = Killed::start(&server, &moto.environment());
    server.url.clone_from(&running.url);

    // Nothing, little, and more than two of the parts that S3 takes.
    let large: Vec<u8> = (0..20_000_003u32).map(|n| (n % 251) as u8).collect();
    let blobs = [vec![], b"little".to_vec(), large];
    for blob in &blobs {
        assert_eq!(server.put(blob).await.status(), StatusCode::CREATED);
        assert_eq!(server.put(blob).await.status(), StatusCode::OK);
    }
    let version: Version = server.function("iris", "1MiB", "model").await;
    let mut expected: Vec<_> = blobs.to_vec();
    expected.extend(bundle("iris", "1MiB", "model").0);
    let mut names: Vec<_> = expected
        .iter()
        .map(|blob| format!("here/blobs/sha256/{}", Digest::of(blob).to_hex()))
        .collect();
    names.sort();
    assert_eq!(moto.keys().await, names);

    // What is not what it is called leaves nothing, be it small or in parts.
    for bytes in [vec![1; 10], vec![2; 17 << 20]] {
        let path = format!("/v1/blobs/{}", Digest::of(b"another"));
        let put = server.request(Method::PUT, &path).body(bytes);
        let refused = put.send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(moto.keys().await, names);

    // An object that a crash left without a row goes at the next start; another prefix is another's.
    let orphan = Digest::of(b"orphan").to_hex();
    for prefix in ["here", "there"] {
        let put = moto.ask(Method::PUT, &format!("{prefix}/blobs/sha256/{orphan}"));
        assert!(
            put.body("orphan")
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    running.kill();
    let running = Killed::start(&server, &moto.environment());
    server.url.clone_from(&running.url);
    names.push(format!("there/blobs/sha256/{orphan}"));
    assert_eq!(moto.keys().await, names);
    for blob in &expected {
        let path = format!("/v1/blobs/{}", Digest::of(blob));
        let got = server.request(Method::GET, &path).send().await.unwrap();
        assert!(got.bytes().await.unwrap() == *blob);
    }
    let again = json!({ "digest": version.digest });
    let again = server.request(Method::POST, "/v1/functions").json(&again);
    assert_eq!(expect::<Version>(again, 201).await, version);
}
