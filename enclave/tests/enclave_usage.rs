//! Usage receipts over the control channel (DESIGN §3.3).
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use enclave_support::peer::{Ask, Control};
use enclave_support::{Harness, TestFunction};
use nacre_protocol::control::{AcknowledgeUsage, LoadFunction, UsagePage};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{JobId, LeaseId};
use nacre_protocol::job::{JOB_INPUT_TYPE, JobInput, JobTerms};
use nacre_protocol::usage::ANONYMOUS;
use worker_support::onnx;

const SUMS: &str = r#"{"inputs":[
    {"name":"a","shape":[2],"datatype":"FP32","data":[1,2]},
    {"name":"b","shape":[2],"datatype":"FP32","data":[10,20]}]}"#;

async fn deploy(harness: &Harness, lease: Option<LeaseId>) -> Digest {
    let function = TestFunction::new("sums", &onnx::arithmetic());
    let mut control = harness.control().await;
    function.put_blobs(&mut control).await;
    let digest = function.digest();
    let load = serde_json::to_vec(&LoadFunction { digest, lease }).unwrap();
    let answer = control.send("PUT", "/v1/functions/sums", load).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    digest
}

async fn usage(control: &mut Control, after: u64) -> UsagePage {
    let path = format!("/v1/usage?after={after}&wait_ms=20000");
    let answer = control.send("GET", &path, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn acknowledge(control: &mut Control, through: u64) -> u16 {
    let body = serde_json::to_vec(&AcknowledgeUsage { through }).unwrap();
    let answer = control.send("PUT", "/v1/usage/acknowledged", body).await;
    answer.status
}

/// A crowd calls while the host asks and acknowledges: every number once and in order, and the sums are what was sent and
/// what the receipts of the answers say.
#[tokio::test(flavor = "multi_thread")]
async fn usage_is_signed_without_a_gap_and_adds_up() {
    const CALLERS: u64 = 8;
    const CALLS: u64 = 25;
    let harness = Harness::start().await;
    let lease = LeaseId::from_random([5; 16]);
    deploy(&harness, Some(lease)).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let mut peer = harness.connect().await;
        crowd.spawn(async move {
            let (mut micros, mut bytes) = (0, 0);
            for _ in 0..CALLS {
                let answer = peer.send(&Ask::infer("sums", SUMS)).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                micros += u64::from(answer.receipt().unwrap().receipt.compute_micros);
                bytes += answer.body.len() as u64;
            }
            (micros, bytes)
        });
    }
    let mut control = harness.control().await;
    let (mut last, mut micros, mut bytes_in, mut bytes_out) = (0, 0, 0, 0);
    let sent = CALLERS * CALLS * SUMS.len() as u64;
    while bytes_in < sent {
        let page = usage(&mut control, last).await;
        assert_eq!(page.boot_id, harness.enclave.identity().boot_id());
        assert!(!page.receipts.is_empty(), "{bytes_in} of {sent} came");
        for signed in page.receipts {
            signed.verify(&harness.receipt_key()).unwrap();
            let receipt = signed.receipt;
            assert_eq!(receipt.seq, last + 1);
            assert_eq!(
                (receipt.lease, receipt.caller, receipt.boot_id),
                (Some(lease), ANONYMOUS, page.boot_id)
            );
            last = receipt.seq;
            micros += u64::from(receipt.compute_micros);
            bytes_in += receipt.bytes_in;
            bytes_out += receipt.bytes_out;
        }
        assert_eq!(acknowledge(&mut control, last).await, 204);
    }
    let (mut claimed, mut received) = (0, 0);
    while let Some(caller) = crowd.join_next().await {
        let (micros, bytes) = caller.unwrap();
        claimed += micros;
        received += bytes;
    }
    assert_eq!(
        (bytes_in, bytes_out, micros),
        (sent, received, claimed),
        "in, out, microseconds"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_comes_again() {
    let harness = Harness::start().await;
    deploy(&harness, None).await;
    let mut peer = harness.connect().await;
    assert_eq!(peer.send(&Ask::infer("sums", SUMS)).await.status, 200);
    let mut control = harness.control().await;
    let first = usage(&mut control, 0).await;
    assert_eq!(first.receipts[0].receipt.lease, None);
    assert_eq!(usage(&mut control, 0).await, first);
    let last = first.receipts.last().unwrap().receipt.seq;
    assert_eq!(acknowledge(&mut control, last + 1).await, 409);
    assert_eq!(acknowledge(&mut control, last).await, 204);
    assert_eq!(acknowledge(&mut control, last).await, 204);
    let answer = control.send("GET", "/v1/usage?after=0", "").await;
    assert_eq!(answer.json::<UsagePage>().receipts, []);
}

/// Putting a function again under another lease changes who pays, from then on, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_can_follow_another() {
    let harness = Harness::start().await;
    let [first, second] = [[1; 16], [2; 16]].map(LeaseId::from_random);
    let digest = deploy(&harness, Some(first)).await;
    let mut peer = harness.connect().await;
    assert_eq!(peer.send(&Ask::infer("sums", SUMS)).await.status, 200);
    assert_eq!(deploy(&harness, Some(second)).await, digest);
    assert_eq!(harness.status().await.counters.workers_started, 1);
    let job = JobTerms {
        job: JobId::from_random([1; 16]),
        function: digest,
        deadline_ms: u64::MAX,
    };
    let input = JobInput {
        content_type: "",
        inference_header_length: "",
        salt: [1; 32],
        body: SUMS.as_bytes(),
    };
    let run = nacre_protocol::control::RunJob {
        terms: job,
        result_key: None,
        chain: None,
    };
    let ask = Ask {
        method: "POST",
        path: run.path_and_query(),
        body: input.encode().into(),
        ..Ask::default()
    };
    let mut control = harness.control().await;
    let result = control.ask(&ask.with("content-type", JOB_INPUT_TYPE)).await;
    assert_eq!(result.status, 200, "{}", result.text());

    let (mut last, mut sums) = (0, std::collections::BTreeMap::new());
    while sums.len() < 2 {
        for signed in usage(&mut control, last).await.receipts {
            last = signed.receipt.seq;
            let sum: &mut (u64, u64) = sums.entry(signed.receipt.lease).or_default();
            sum.0 += signed.receipt.bytes_in;
            sum.1 += signed.receipt.bytes_out;
        }
    }
    let carried = input.encode().len() as u64;
    assert_eq!(sums[&Some(first)].0, SUMS.len() as u64);
    assert_eq!(
        sums[&Some(second)],
        (carried, result.body.len() as u64),
        "a job is billed by what was carried"
    );
}
