//! KServe over TLS with receipts (DESIGN §3.3), and what bad requests get.
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use std::io::Write as _;
use std::time::Duration;

use enclave_support::peer::{Ask, tls};
use enclave_support::{Answer, Harness, TestFunction, Wanted};
use nacre_enclave::config::Limits;
use nacre_protocol::digest::Digest;
use nacre_protocol::encoding::base64url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use worker_support::onnx;

const SUMS: &str = r#"{"id":"7","inputs":[
    {"name":"a","shape":[2],"datatype":"FP32","data":[1,2]},
    {"name":"b","shape":[2],"datatype":"FP32","data":[10,20]}]}"#;

/// The receipt verifies for exactly this request and answer.
#[track_caller]
fn check_receipt(harness: &Harness, digest: Digest, ask: &Ask, body: &[u8], answer: &Answer) {
    let receipt = answer.receipt().expect("a receipt");
    receipt
        .verify(
            &harness.receipt_key(),
            &digest,
            &ask.parts(body),
            &answer.parts(),
        )
        .unwrap();
    assert_eq!(answer.header("nacre-salt"), base64url(&receipt.salt));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64;
    assert!(receipt.receipt.started_ms.abs_diff(now) < 60_000);
    let mut changed = answer.clone();
    let mut bytes = changed.body.to_vec();
    bytes.push(b' ');
    changed.body = bytes.into();
    assert!(
        receipt
            .verify(
                &harness.receipt_key(),
                &digest,
                &ask.parts(body),
                &changed.parts()
            )
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_and_its_receipt() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let mut peer = harness.connect().await;
    let ask = Ask::infer("sums", SUMS).with("nacre-function", digest);
    let answer = peer.send(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body: serde_json::Value = answer.json();
    assert_eq!(
        (&body["id"], &body["model_name"]),
        (&"7".into(), &"sums".into())
    );
    assert_eq!(body["outputs"][0]["data"], serde_json::json!([11.0, 22.0]));
    assert_eq!(body["outputs"][1]["data"], serde_json::json!([10.0, 40.0]));
    check_receipt(&harness, digest, &ask, SUMS.as_bytes(), &answer);

    // The caller's own salt, a query, the version, and a content type: all of it is covered.
    let ask = Ask {
        path: format!("/v2/models/sums/versions/{}/infer?trace=1", digest.to_hex()),
        ..Ask::infer("sums", SUMS)
    };
    let ask = ask
        .with("nacre-salt", base64url(&[9; 32]))
        .with("content-type", "application/json");
    let answer = peer.send(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.receipt().unwrap().salt, [9; 32]);
    check_receipt(&harness, digest, &ask, SUMS.as_bytes(), &answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_tensors_and_compressed_bodies_are_covered_too() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let mut peer = harness.connect().await;
    let json = br#"{"parameters":{"binary_data_output":true},"inputs":[
        {"name":"a","shape":[2],"datatype":"FP32","parameters":{"binary_data_size":8}},
        {"name":"b","shape":[2],"datatype":"FP32","data":[10,20]}]}"#;
    let tensor: Vec<u8> = [1f32, 2.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let body = [&json[..], &tensor].concat();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&body).unwrap();
    let compressed = gzip.finish().unwrap();
    let ask = Ask::infer("sums", compressed)
        .with("content-encoding", "gzip")
        .with("content-type", "application/octet-stream")
        .with("inference-header-content-length", json.len());
    let answer = peer.send(&ask).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let header: usize = answer
        .header("inference-header-content-length")
        .parse()
        .unwrap();
    let values: Vec<f32> = answer.body[header..]
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    assert_eq!(values, [11.0, 22.0, 10.0, 40.0]);
    check_receipt(&harness, digest, &ask, &body, &answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_errors_have_receipts_and_strangers_have_none() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let mut peer = harness.connect().await;
    for (path, status) in [
        ("/v2/models/sums", 200),
        ("/v2/models/sums/ready", 200),
        ("/v2/models/sums/config", 200),
        ("/v2/models/sums/stats", 200),
        ("/v2/models/sums/versions/2", 404),
    ] {
        for method in ["GET", "HEAD"] {
            let ask = Ask {
                method,
                ..Ask::get(path)
            };
            let answer = peer.send(&ask).await;
            assert_eq!(answer.status, status, "{path}");
            check_receipt_of_head(&harness, digest, &ask, &answer);
        }
    }
    for (body, code) in bad_bodies() {
        let ask = Ask::infer("sums", body);
        let answer = peer.send(&ask).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, code),
            "{}",
            answer.text()
        );
        check_receipt(&harness, digest, &ask, body.as_bytes(), &answer);
    }
    for path in [
        "/v2",
        "/v2/health/live",
        "/v2/models/other",
        "/v2/models/other/infer",
        "/v2/nothing",
    ] {
        let answer = peer.send(&Ask::get(path)).await;
        assert_eq!(answer.receipt(), None, "{path}");
    }
    assert_eq!(
        peer.send(&Ask::infer("other", SUMS)).await.code(),
        "unknown-model"
    );
}

fn check_receipt_of_head(harness: &Harness, digest: Digest, ask: &Ask, answer: &Answer) {
    if ask.method == "HEAD" {
        assert_eq!(answer.body, "");
    }
    check_receipt(harness, digest, ask, b"", answer);
}

fn bad_bodies() -> [(&'static str, &'static str); 6] {
    [
        ("", "malformed-json"),
        (r#"{"inputs":"#, "malformed-json"),
        (r#"{"inputs":[]}"#, "missing-input"),
        (
            r#"{"inputs":[{"name":"a","shape":[3],"datatype":"FP32","data":[1,2,3]},
                {"name":"b","shape":[2],"datatype":"FP32","data":[1,2]}]}"#,
            "wrong-shape",
        ),
        (
            r#"{"inputs":[{"name":"a","shape":[2],"datatype":"INT64","data":[1,2]},
                {"name":"b","shape":[2],"datatype":"FP32","data":[1,2]}]}"#,
            "wrong-datatype",
        ),
        (
            r#"{"inputs":[{"name":"a","shape":[2],"datatype":"FP32","data":["x",2]}]}"#,
            "wrong-value",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn another_function_is_refused_before_the_body_and_the_worker() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let mut peer = harness.connect().await;
    let wanted = Digest::of(b"another model");
    let answer = peer
        .send(&Ask::infer("sums", SUMS).with("nacre-function", wanted))
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (409, "function-mismatch")
    );
    let malformed = Ask::infer("sums", SUMS).with("nacre-function", "sha256:zz");
    let mut peer = harness.connect().await;
    let answer = peer.send(&malformed).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "function-header-malformed")
    );

    let mut peer = harness.connect().await;
    let stats: serde_json::Value = peer.send(&Ask::get("/v2/models/sums/stats")).await.json();
    let stats = &stats["model_stats"][0]["inference_stats"];
    assert_eq!(
        (&stats["success"]["count"], &stats["fail"]["count"]),
        (&0.into(), &0.into())
    );
    assert_eq!(
        harness.status().await.counters.request_bytes,
        0,
        "no byte of a body was read"
    );
    let answer = peer
        .send(&Ask::infer("sums", SUMS).with("nacre-function", digest))
        .await;
    assert_eq!(answer.status, 200);
}

fn short_limits() -> Wanted {
    let limits = Limits {
        max_body: 100_000,
        body_idle: Duration::from_millis(150),
        ..Limits::default()
    };
    Wanted {
        limits,
        ..Wanted::default()
    }
}

/// Sends raw bytes and reads all that comes until the enclave closes.
async fn raw(harness: &Harness, bytes: &[u8]) -> String {
    let mut stream = tls(harness.enclave.tls_address()).await.unwrap();
    // The enclave may have heard enough before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    // A peer that closes without TLS's close_notify is an error here, after all that it sent.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_long_or_stop_are_ended() {
    let harness = Harness::with(short_limits()).await;
    harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let post = "POST /v2/models/sums/infer HTTP/1.1\r\nhost: e\r\n";

    let huge = raw(
        &harness,
        format!("{post}expect: 100-continue\r\ncontent-length: 1073741824\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(huge.starts_with("HTTP/1.1 413"), "{huge}");
    assert!(huge.contains("body-too-large"), "{huge}");

    let half = raw(
        &harness,
        format!("{post}content-length: 1000\r\n\r\nhalf").as_bytes(),
    )
    .await;
    assert!(half.starts_with("HTTP/1.1 408"), "{half}");
    assert!(
        half.contains("body-timeout") && half.contains("connection: close"),
        "{half}"
    );

    let chunks = format!("{:x}\r\n{}\r\n", 50_000, "x".repeat(50_000)).repeat(3);
    let chunked = raw(
        &harness,
        format!("{post}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").as_bytes(),
    )
    .await;
    assert!(chunked.starts_with("HTTP/1.1 413"), "{chunked}");

    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 10 << 20]).unwrap();
    let bomb = Ask::infer("sums", bomb.finish().unwrap()).with("content-encoding", "gzip");
    let mut peer = harness.connect().await;
    let answer = peer.send(&bomb).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body-too-large")
    );

    // And the next request is answered.
    assert_eq!(peer.send(&Ask::infer("sums", SUMS)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_long_or_stop_are_ended() {
    let mut wanted = short_limits();
    wanted.limits.connection.head = Duration::from_millis(150);
    let harness = Harness::with(wanted).await;
    let long = format!(
        "GET /healthz HTTP/1.1\r\nhost: e\r\nx: {}\r\n\r\n",
        "y".repeat(80_000)
    );
    let answer = raw(&harness, long.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let many = format!(
        "GET /healthz HTTP/1.1\r\nhost: e\r\n{}\r\n",
        "x: y\r\n".repeat(500)
    );
    let answer = raw(&harness, many.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let cut = raw(&harness, b"GET /healthz HTT").await;
    assert!(!cut.contains("200"), "{cut}");
    let garbage = raw(&harness, b"\x16\x03\x01 this is not HTTP\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400"), "{garbage}");
    assert_eq!(
        harness
            .connect()
            .await
            .send(&Ask::get("/healthz"))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_takes_too_long_is_stopped_and_comes_back() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::with_limits(
            "loops",
            &onnx::loops(),
            "64MiB",
            "500ms",
        ))
        .await;
    let mut peer = harness.connect().await;
    let turns = |n: u64| {
        let body = format!(
            r#"{{"inputs":[{{"name":"n","shape":[],"datatype":"INT64","data":[{n}]}},
                {{"name":"x","shape":[],"datatype":"FP32","data":[1]}}]}}"#
        );
        Ask::infer("loops", body)
    };
    let ask = turns(1 << 40);
    let answer = peer.send(&ask).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "inference-timeout"),
        "{}",
        answer.text()
    );
    check_receipt(&harness, digest, &ask, &ask.body, &answer);
    let answer = peer.send(&turns(3)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_each_its_own_answer() {
    let harness = Harness::start().await;
    let digest = harness
        .deploy(&TestFunction::new("sums", &onnx::arithmetic()))
        .await;
    let mut crowd = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (mut peer, key) = (harness.connect().await, harness.receipt_key());
        crowd.spawn(async move {
            for round in 0..20 {
                let a = f64::from(number * 100 + round);
                let body = SUMS.replace("[1,2]", &format!("[{a},{a}]"));
                let ask = Ask::infer("sums", body.clone());
                let answer = peer.send(&ask).await;
                let json: serde_json::Value = answer.json();
                assert_eq!(
                    json["outputs"][0]["data"],
                    serde_json::json!([a + 10.0, a + 20.0])
                );
                let receipt = answer.receipt().unwrap();
                receipt
                    .verify(&key, &digest, &ask.parts(body.as_bytes()), &answer.parts())
                    .unwrap();
            }
        });
    }
    crowd.join_all().await;
    assert_eq!(harness.status().await.counters.receipts, 320);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_has_begun_is_answered_before_the_end() {
    let harness = Harness::start().await;
    harness
        .deploy(&TestFunction::new("loops", &onnx::loops()))
        .await;
    let mut peer = harness.connect().await;
    let body = r#"{"inputs":[{"name":"n","shape":[],"datatype":"INT64","data":[200000]},
        {"name":"x","shape":[],"datatype":"FP32","data":[1]}]}"#;
    let call = tokio::spawn(async move { peer.send(&Ask::infer("loops", body)).await });
    let mut often = tokio::time::interval(Duration::from_millis(5));
    while harness.status().await.counters.request_bytes == 0 {
        often.tick().await;
    }
    harness.stop().await;
    let answer = call.await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}
