//! Bad input gets a clear error with a code, and the next request is answered at once.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_protocol::control::LoadFunction;
use nacre_protocol::digest::Digest;
use nacre_tests::examples::Example;
use nacre_tests::http::{Answer, ask_socket};
use nacre_tests::platform::Platform;
use nacre_tests::tls::{RawTls, post, post_head};
use reqwest::header::AUTHORIZATION;
use serde_json::{Value, json};

const AT_ONCE: Duration = Duration::from_secs(1);
const GIBIBYTE: u64 = 1 << 30;

#[test]
fn a_bad_request_is_refused_in_words_and_the_next_one_is_answered_at_once() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    platform.deploy_example(&example.name)?;
    let node = platform.ready("node");
    let mut stalled = half_a_request(node, &example)?;

    for (what, path, body, status, code) in bad_requests(&example)? {
        let answer = post(node, &path, &body).context(what)?;
        refused(what, &answer, status, code)?;
        answered_at_once(node, &example).context(what)?;
    }

    let mut claims_a_gibibyte = RawTls::connect(node)?;
    claims_a_gibibyte.send(&post_head(&example.path(), GIBIBYTE))?;
    let answer = claims_a_gibibyte.answer()?;
    refused("1 GiB", &answer, 413, "body-too-large")?;
    answered_at_once(node, &example).context("after a claim of 1 GiB")?;
    drop(claims_a_gibibyte);

    let mut broken_off = half_a_request(node, &example)?;
    broken_off.finish()?;
    refused("half a body", &broken_off.answer()?, 400, "body-incomplete")?;
    answered_at_once(node, &example).context("after half a body")?;
    drop(half_a_request(node, &example)?);
    answered_at_once(node, &example).context("after a caller who has gone")?;

    // The one from the beginning has sent nothing since; the enclave does not wait for ever.
    refused("a body that stops", &stalled.answer()?, 408, "body-timeout")?;
    ensure!(
        stalled.peer_closes(),
        "a connection in the middle of a body is of no use"
    );
    answered_at_once(node, &example).context("after a body that stops")
}

#[test]
fn the_command_line_repeats_what_the_enclave_says() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    platform.deploy_example("iris-network")?;
    let cases = [
        ("{\"inputs\": [", "malformed-json"),
        (
            r#"{"inputs": [{"name": "measurements", "shape": [1, 5], "datatype": "FP32", "data": [1, 2, 3, 4, 5]}]}"#,
            "wrong-shape",
        ),
        (
            r#"{"inputs": [{"name": "measurements", "shape": [1, 4], "datatype": "INT64", "data": [1, 2, 3, 4]}]}"#,
            "wrong-datatype",
        ),
    ];
    for (input, code) in cases {
        let refused = platform.refusal(&["invoke", "iris-network", "--input", input])?;
        assert_eq!(refused.is(), (6, code));
        assert!(refused.message.contains("400"), "{}", refused.message);
    }
    Ok(())
}

#[test]
fn what_is_no_model_is_not_deployed() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    platform.deploy_example(&example.name)?;
    let dir = tempfile::tempdir()?;
    let toml = std::fs::read_to_string(example.dir().join("nacre.toml"))?;
    std::fs::write(
        dir.path().join("nacre.toml"),
        toml.replace("iris-network", "no-model"),
    )?;
    std::fs::write(dir.path().join("model.onnx"), "these bytes are no model")?;

    let refused = platform.refusal(&["deploy", dir.path().to_str().unwrap()])?;
    assert_eq!(refused.is(), (6, "deployment-failed"));
    assert!(
        refused.message.contains("model-invalid"),
        "{}",
        refused.message
    );
    let listed = platform.json(&["functions", "no-model"])?;
    assert_eq!(listed[0]["deployment"]["state"], "failed");
    answered_at_once(platform.ready("node"), &example)
}

#[test]
fn bytes_with_another_digest_are_never_taken() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    platform.deploy_example(&example.name)?;
    let model = std::fs::read(example.dir().join("model.onnx"))?;
    let claimed = Digest::of(b"what was promised");

    let control_plane = ControlPlane::of(&platform)?;
    let (status, problem) = control_plane.put_blob(&claimed, &model)?;
    assert_eq!((status, &problem["code"]), (422, &"digest-mismatch".into()));
    assert_eq!(control_plane.has_blob(&claimed)?, 404);

    let socket = platform.control_socket()?;
    let ask = |method: &str, path: String, body: &[u8]| ask_socket(&socket, method, &path, body);
    let before = platform.enclave_status()?;
    let answer = ask("PUT", format!("/v1/blobs/{claimed}"), &model)?;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (422, "digest-mismatch")
    );
    assert_eq!(
        ask("HEAD", format!("/v1/blobs/{claimed}"), b"")?.status,
        404
    );
    let load = serde_json::to_vec(&LoadFunction {
        digest: claimed,
        lease: None,
    })?;
    let answer = ask("PUT", "/v1/functions/swapped".to_owned(), &load)?;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "blob-missing")
    );
    let after = platform.enclave_status()?;
    assert_eq!(
        after.counters.workers_started,
        before.counters.workers_started
    );
    answered_at_once(platform.ready("node"), &example)
}

/// What is wrong, path, body, and the answer's status and code.
type BadRequest = (&'static str, String, Vec<u8>, u16, &'static str);

fn bad_requests(example: &Example) -> anyhow::Result<Vec<BadRequest>> {
    let good: Value = serde_json::from_slice(&example.request)?;
    let with = |field: &str, value: Value| {
        let mut request = good.clone();
        request["inputs"][0][field] = value;
        request.to_string().into_bytes()
    };
    let here = example.path();
    let deep = [br#"{"nobody reads this": "#.to_vec(), b"[".repeat(100_000)].concat();
    let cut = example.request[..example.request.len() - 3].to_vec();
    Ok(vec![
        ("cut JSON", here.clone(), cut, 400, "malformed-json"),
        (
            "no JSON",
            here.clone(),
            b"\x00\xff\x00".to_vec(),
            400,
            "malformed-json",
        ),
        ("empty", here.clone(), vec![], 400, "malformed-json"),
        (
            "no inputs",
            here.clone(),
            b"{}".to_vec(),
            400,
            "missing-field",
        ),
        (
            "an array",
            here.clone(),
            b"[]".to_vec(),
            400,
            "invalid-request",
        ),
        ("deep JSON", here.clone(), deep, 400, "malformed-json"),
        (
            "wrong shape",
            here.clone(),
            with("shape", json!([4, 1])),
            400,
            "wrong-shape",
        ),
        (
            "too few elements",
            here.clone(),
            with("shape", json!([2, 4])),
            400,
            "tensor-length",
        ),
        (
            "more than memory",
            here.clone(),
            with("shape", json!([u64::MAX, 4])),
            400,
            "invalid-shape",
        ),
        (
            "wrong type",
            here.clone(),
            with("datatype", json!("BOOL")),
            400,
            "wrong-value",
        ),
        (
            "type of another model",
            here.clone(),
            with("datatype", json!("FP64")),
            400,
            "wrong-datatype",
        ),
        (
            "no type",
            here.clone(),
            with("datatype", json!("FP33")),
            400,
            "unknown-datatype",
        ),
        (
            "words for numbers",
            here,
            with("data", json!(["a", "b", "c", "d"])),
            400,
            "wrong-value",
        ),
        (
            "unknown model",
            "/v2/models/nobody/infer".to_owned(),
            example.request.to_vec(),
            404,
            "unknown-model",
        ),
    ])
}

fn refused(what: &str, answer: &Answer, status: u16, code: &str) -> anyhow::Result<()> {
    let body = answer.json()?;
    ensure!(
        (answer.status, answer.code().as_str()) == (status, code),
        "{what}: {} {body}, wanted {status} {code}",
        answer.status
    );
    let words = body["error"].as_str().unwrap_or_default();
    ensure!(words.contains(' '), "{what}: nothing is explained: {body}");
    Ok(())
}

/// A valid request on a new connection.
fn answered_at_once(node: &str, example: &Example) -> anyhow::Result<()> {
    let begun = Instant::now();
    let answer = post(node, &example.path(), &example.request)?;
    let took = begun.elapsed();
    ensure!(
        answer.status == 200,
        "{}: {:?}",
        answer.status,
        answer.json()
    );
    example.check_body(&answer.body)?;
    ensure!(took < AT_ONCE, "answered after {took:?}");
    Ok(())
}

/// A connection on which half of a body was sent.
fn half_a_request(node: &str, example: &Example) -> anyhow::Result<RawTls> {
    let mut connection = RawTls::connect(node)?;
    let body = &example.request;
    connection.send(&post_head(&example.path(), body.len() as u64))?;
    connection.send(&body[..body.len() / 2])?;
    Ok(connection)
}

/// The control plane's API with the developer's key.
struct ControlPlane {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    url: String,
    key: String,
}

impl ControlPlane {
    fn of(platform: &Platform) -> anyhow::Result<Self> {
        let profile = platform.home().join("profiles/dev/profile.json");
        let profile: Value = serde_json::from_slice(&std::fs::read(profile)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            http: reqwest::Client::builder().no_proxy().build()?,
            url: platform.ready("control_plane").to_owned(),
            key: format!("Bearer {}", profile["key"].as_str().context("no key")?),
        })
    }

    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> anyhow::Result<(u16, Value)> {
        let request = self.http.put(format!("{}/v1/blobs/{digest}", self.url));
        let request = request
            .header(AUTHORIZATION, &self.key)
            .body(bytes.to_vec());
        self.runtime.block_on(async {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.json().await?))
        })
    }

    fn has_blob(&self, digest: &Digest) -> anyhow::Result<u16> {
        let request = self.http.head(format!("{}/v1/blobs/{digest}", self.url));
        let response = self
            .runtime
            .block_on(request.header(AUTHORIZATION, &self.key).send())?;
        Ok(response.status().as_u16())
    }
}
