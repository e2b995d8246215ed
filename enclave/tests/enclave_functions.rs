//! What the host may have run, and what it may not (DESIGN §5).
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use enclave_support::peer::{Ask, open};
use enclave_support::{Harness, TestFunction, Wanted};
use nacre_protocol::control::{EventPage, FunctionState, FunctionStatus};
use nacre_protocol::digest::Digest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use worker_support::onnx;

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_put_listed_and_deleted() {
    let harness = Harness::start().await;
    let sums = TestFunction::new("sums", &onnx::arithmetic());
    let mut control = harness.control().await;
    let blob = format!("/v1/blobs/{}", sums.digest());
    assert_eq!(control.send("HEAD", &blob, "").await.status, 404);
    sums.put_blobs(&mut control).await;
    assert_eq!(control.send("HEAD", &blob, "").await.status, 200);

    let status: FunctionStatus = control.load("sums", sums.digest()).await.json();
    assert_eq!(
        (status.state, status.digest),
        (FunctionState::Ready, sums.digest())
    );
    assert_eq!(
        harness.status().await.functions,
        std::slice::from_ref(&status)
    );
    // Again is no new load.
    let again: FunctionStatus = control.load("sums", sums.digest()).await.json();
    assert_eq!(again, status);
    let mut peer = harness.connect().await;
    assert_eq!(peer.send(&Ask::get("/v2/health/ready")).await.status, 200);

    assert_eq!(
        control
            .send("DELETE", "/v1/functions/sums", "")
            .await
            .status,
        204
    );
    assert_eq!(harness.status().await.functions, []);
    assert_eq!(
        control.send("HEAD", &blob, "").await.status,
        404,
        "its blobs go with it"
    );
    assert_eq!(
        peer.send(&Ask::get("/v2/models/sums")).await.code(),
        "unknown-model"
    );
    assert_eq!(
        control
            .send("DELETE", "/v1/functions/sums", "")
            .await
            .status,
        204
    );
    let page: EventPage = control.send("GET", "/v1/events?after=0", "").await.json();
    let codes: Vec<&str> = page
        .events
        .iter()
        .map(|event| event.code.as_str())
        .collect();
    for code in ["ready", "started", "deleted"] {
        assert_eq!(
            codes.iter().filter(|c| **c == code).count(),
            1,
            "{code}: {codes:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_another_digest_never_stay() {
    let harness = Harness::start().await;
    let mut control = harness.control().await;
    let named = Digest::of(b"what was promised");
    let answer = control.put_blob(named, b"what came instead").await;
    assert_eq!(
        (answer.status, answer.problem().code.as_str()),
        (422, "digest-mismatch")
    );
    assert_eq!(
        control
            .send("HEAD", &format!("/v1/blobs/{named}"), "")
            .await
            .status,
        404
    );
    let answer = control.load("sums", named).await;
    assert_eq!(
        (answer.status, answer.problem().code.as_str()),
        (409, "blob-missing")
    );
    let failed = &harness.status().await.functions[0];
    assert_eq!(failed.state, FunctionState::Failed);
    assert!(failed.error.as_ref().unwrap().starts_with("blob-missing: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_function_has_its_code() {
    let harness = Harness::start().await;
    let mut control = harness.control().await;
    let model = onnx::arithmetic();
    let good = || TestFunction::new("sums", &model);
    let mut no_toml = good();
    no_toml
        .files
        .insert("nacre.toml".into(), b"[function".to_vec());
    let mut no_such_output = good();
    no_such_output
        .files
        .get_mut("nacre.toml")
        .unwrap()
        .extend(b"[labels]\ncolour = ['red', 'blue']\n");
    let mut no_model = good();
    no_model.files.remove("model.onnx");
    let cases = [
        (
            TestFunction::new("sums", b"not ONNX at all"),
            "model-invalid",
        ),
        (no_toml, "manifest-invalid"),
        (no_such_output, "labels-mismatch"),
        (no_model, "model-missing"),
        (
            TestFunction::new("differences", &model),
            "function-name-mismatch",
        ),
        (
            TestFunction::with_limits("sums", &model, "1TiB", "1s"),
            "insufficient-memory",
        ),
    ];
    for (function, code) in cases {
        function.put_blobs(&mut control).await;
        let answer = control.load("sums", function.digest()).await;
        assert_eq!(answer.problem().code, code, "{}", answer.text());
        assert!(matches!(answer.status, 422 | 507), "{code}");
    }
    let loose = Digest::of(b"{}");
    control.put_blob(loose, b"{}").await;
    assert_eq!(
        control.load("sums", loose).await.problem().code,
        "bundle-invalid"
    );
    assert_eq!(
        control
            .send("PUT", "/v1/functions/sums", "{")
            .await
            .problem()
            .code,
        "json-malformed"
    );
    // After all of it a good one loads at once.
    harness.deploy(&good()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_and_a_bad_one_does_not() {
    let harness = Harness::start().await;
    let old = TestFunction::new("sums", &onnx::arithmetic());
    let new = TestFunction::with_limits("sums", &onnx::arithmetic(), "32MiB", "5s");
    let bad = TestFunction::new("sums", b"no model");
    harness.deploy(&old).await;
    harness.deploy(&new).await;
    let mut control = harness.control().await;
    let old_blob = format!("/v1/blobs/{}", old.digest());
    assert_eq!(
        control.send("HEAD", &old_blob, "").await.status,
        404,
        "no longer used"
    );

    bad.put_blobs(&mut control).await;
    assert_eq!(control.load("sums", bad.digest()).await.status, 422);
    let states: Vec<_> = harness
        .status()
        .await
        .functions
        .iter()
        .map(|f| (f.digest, f.state))
        .collect();
    assert_eq!(
        states,
        [
            (new.digest(), FunctionState::Ready),
            (bad.digest(), FunctionState::Failed)
        ]
    );
    let answer = harness
        .connect()
        .await
        .send(&Ask::get("/v2/models/sums/ready"))
        .await;
    assert_eq!(
        answer.receipt().unwrap().receipt.function_digest,
        new.digest()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_admitted_and_comes_back() {
    let harness = Harness::with(Wanted {
        memory: 100 << 20,
        ..Wanted::default()
    })
    .await;
    let mut control = harness.control().await;
    let first = TestFunction::new("first", &onnx::arithmetic());
    let second = TestFunction::new("second", &onnx::arithmetic());
    harness.deploy(&first).await;
    second.put_blobs(&mut control).await;
    let answer = control.load("second", second.digest()).await;
    assert_eq!(
        (answer.status, answer.problem().code.as_str()),
        (507, "insufficient-memory")
    );
    control.send("DELETE", "/v1/functions/first", "").await;
    // The first one's model was the second one's too.
    harness.deploy(&second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_above_the_memory_is_refused_before_it_comes() {
    let harness = Harness::start().await;
    let mut stream = open(harness.enclave.control_address()).await;
    let digest = Digest::of(b"huge");
    let head = format!(
        "PUT /v1/blobs/{digest} HTTP/1.1\r\nhost: e\r\ncontent-length: 1099511627776\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 507");
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_upload_leaves_nothing() {
    let harness = Harness::with(Wanted {
        memory: 1 << 20,
        ..Wanted::default()
    })
    .await;
    let bytes = vec![9; 1 << 20];
    let digest = Digest::of(&bytes);
    let mut stream = open(harness.enclave.control_address()).await;
    let head = format!(
        "PUT /v1/blobs/{digest} HTTP/1.1\r\nhost: e\r\ncontent-length: {}\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..1000]).await.unwrap();
    stream.shutdown().await.unwrap();
    // The server's end of the connection comes after it has let go.
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let mut control = harness.control().await;
    assert_eq!(
        control
            .send("HEAD", &format!("/v1/blobs/{digest}"), "")
            .await
            .status,
        404
    );
    assert_eq!(
        control.put_blob(digest, &bytes).await.status,
        201,
        "all the memory is there again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_waited_for() {
    let harness = Harness::start().await;
    let last = |page: &EventPage| page.events.last().map_or(0, |event| event.seq);
    let mut control = harness.control().await;
    let waiting = tokio::spawn({
        let mut control = harness.control().await;
        async move {
            control
                .send("GET", "/v1/events?after=0&wait_ms=30000", "")
                .await
        }
    });
    harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let page: EventPage = waiting.await.unwrap().json();
    assert!(last(&page) >= 1);
    assert_eq!(page.boot_id, harness.enclave.identity().boot_id());
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    assert!(
        page.events[0].at_ms.abs_diff(now) < 60_000,
        "by the attested clock"
    );
    assert_eq!(
        control
            .send("GET", "/v1/events?after=x", "")
            .await
            .problem()
            .code,
        "query-malformed"
    );
}
