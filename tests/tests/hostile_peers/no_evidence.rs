//! Peers that give no evidence, or something else in its place, or come not even as far.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use nacre_attestation_verifier::ResultCode;
use nacre_client::{AttestedClient, ClientError, ClientOptions};
use nacre_protocol::evidence::Evidence;
use nacre_tests::evil::raw::RawPeer;
use nacre_tests::evil::{Behaviour, Enclave, FakeEnclave, Reply, function};

use crate::calls::infer;
use crate::evidence::{assert_refused, client_of, refused, refused_evidence};

/// How long a peer that says nothing is listened to.
const SHORT: Duration = Duration::from_millis(400);

/// A peer that answers the question for evidence with something else.
async fn instead_of_evidence(reply: impl Fn() -> Reply + Send + Sync + 'static) -> ClientError {
    let peer =
        FakeEnclave::start(Enclave::honest(), Behaviour::evidence(move |_, _| reply())).await;
    let trust = peer.enclave.trust();
    refused(&peer, trust).await
}

fn response(status: u16, body: impl Into<Bytes>) -> Reply {
    let response = Response::builder().status(status).header("location", "/v2");
    Reply::Response(response.body(body.into()).expect("a response"))
}

#[tokio::test]
async fn a_tls_server_without_evidence() {
    for status in [404, 302, 401, 503, 204] {
        let error = instead_of_evidence(move || response(status, "")).await;
        assert_refused(&error, "no-evidence", ResultCode::Malformed);
    }
}

#[tokio::test]
async fn evidence_that_is_none() {
    for body in [
        "",
        "null",
        "{",
        "{}",
        "[]",
        "\u{0}",
        "<html>",
        r#"{"document":"!"}"#,
    ] {
        let error = instead_of_evidence(move || response(200, body)).await;
        assert_refused(&error, "evidence-malformed", ResultCode::Malformed);
    }
    let deep = "[".repeat(30_000);
    let error = instead_of_evidence(move || response(200, deep.clone())).await;
    assert_refused(&error, "evidence-malformed", ResultCode::Malformed);
}

#[tokio::test]
async fn evidence_with_a_document_that_is_none() {
    for document in [
        vec![],
        vec![0x84],
        vec![0xff; 200],
        vec![0x9f; 16 * 1024],
        vec![0x81; 20_000],
    ] {
        let error = refused_evidence(move |enclave, asked| Evidence {
            document: document.clone(),
            ..enclave.evidence(asked)
        })
        .await;
        assert_eq!(error.result_code(), Some(ResultCode::Malformed), "{error}");
    }
}

#[tokio::test]
async fn evidence_beyond_all_size() {
    let error = instead_of_evidence(|| response(200, vec![b' '; 1 << 20])).await;
    assert_eq!(error.code(), "answer-too-large");
    let error = instead_of_evidence(|| Reply::Endless(1 << 30)).await;
    assert_eq!(error.code(), "answer-too-large");
}

#[tokio::test]
async fn a_peer_that_never_gives_evidence() {
    let silence = Behaviour::evidence(|_, _| Reply::Silence);
    let peer = FakeEnclave::start(Enclave::honest(), silence).await;
    let options = ClientOptions {
        handshake_timeout: SHORT,
        ..ClientOptions::default()
    };
    let client = client_of(peer.endpoint(), peer.enclave.trust(), options);
    let error = client.call(infer()).await.expect_err("no evidence");
    assert_eq!((error.code(), error.result_code()), ("timeout", None));
    assert_eq!(peer.log.only_evidence_was_asked().await, 1);
}

/// Calls a peer that does not come as far as HTTP; nothing but handshakes and alerts is sent to it.
async fn refused_raw(peer: RawPeer, options: ClientOptions) -> ClientError {
    let client = client_of(peer.endpoint(), Enclave::honest().trust(), options);
    let error = client.call(infer()).await.expect_err("no TLS 1.3");
    let types = peer.record_types().await;
    assert_eq!(types[0], 22, "a handshake began");
    assert!(types[1..].iter().all(|kind| *kind == 21), "{types:?}");
    error
}

#[tokio::test]
async fn a_peer_that_says_nothing() {
    let options = ClientOptions {
        handshake_timeout: SHORT,
        ..ClientOptions::default()
    };
    let error = refused_raw(RawPeer::silent().await, options).await;
    assert_eq!(error.code(), "timeout");
}

#[tokio::test]
async fn a_peer_that_speaks_only_tls12() {
    let peer = RawPeer::tls12_only().await;
    let error = refused_raw(peer, ClientOptions::default()).await;
    assert_eq!(error.code(), "tls-failed");
}

#[tokio::test]
async fn a_peer_that_hangs_up() {
    let peer = RawPeer::hanging_up().await;
    let error = refused_raw(peer, ClientOptions::default()).await;
    assert_eq!(error.code(), "tls-failed");
}

#[tokio::test]
async fn a_row_of_liars_and_one_honest_enclave() {
    let liar = FakeEnclave::start(
        Enclave::honest(),
        Behaviour::evidence(|_, _| response(404, "")),
    )
    .await;
    let honest = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let endpoints = vec![liar.endpoint(), honest.endpoint()];
    let options = ClientOptions::default();
    let client = AttestedClient::new(honest.enclave.trust(), Some(function()), endpoints, options);
    client.call(infer()).await.expect("the honest one answers");
    assert_eq!(
        client.endpoints()[0],
        honest.endpoint(),
        "the liar is last now"
    );
    assert_eq!(liar.log.only_evidence_was_asked().await, 1);
}
