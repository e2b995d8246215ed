//! The attested channel (DESIGN §3.2): what TLS it is, and what its evidence proves.
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use std::time::Duration;

use enclave_support::peer::{Ask, DocumentFields, open, tls};
use enclave_support::{Harness, Wanted};
use nacre_enclave::config::Limits;
use nacre_protocol::dice::CertificateEvidence;
use nacre_protocol::encoding::base64url;
use nacre_protocol::evidence::{Evidence, RegistrationChallenge, channel_leaf, register_leaf};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{NodeId, OperatorId};
use sha2::{Digest as _, Sha256, Sha384};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_this_connections_and_this_boots() {
    let harness = Harness::start().await;
    let mut peer = harness.connect().await;
    let evidence = peer.check_evidence([7; 32]).await;

    let document = DocumentFields::read(&evidence.document);
    let statement = IdentityStatement::decode(&evidence.statement).unwrap();
    assert_eq!(document.user_data.unwrap(), statement.user_data());
    assert_eq!(document.public_key.unwrap(), statement.receipt_key);
    assert_eq!(statement.boot_id, harness.status().await.boot_id);
    let certificate = Certificate::from_der(&peer.certificate).unwrap();
    let spki = certificate
        .tbs_certificate()
        .subject_public_key_info()
        .to_der()
        .unwrap();
    assert_eq!(
        statement.tls_spki_sha256,
        <[u8; 32]>::from(Sha256::digest(spki))
    );

    // A shared node: PCR16 is the zero register, extended once with the hash of the words.
    let shared = Sha384::new()
        .chain_update([0; 48])
        .chain_update(Sha256::digest(b"nacre/shared/v1"));
    assert_eq!(document.pcr16, shared.finalize().as_slice());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_proves_nothing_for_another_connection() {
    let harness = Harness::start().await;
    let (mut ours, theirs) = (harness.connect().await, harness.connect().await);
    assert_ne!(ours.exporter, theirs.exporter);
    let evidence: Evidence = ours.attest(&[7; 32]).await.json();
    let nonce = DocumentFields::read(&evidence.document).nonce.unwrap();
    for leaf in [
        channel_leaf(&[7; 32], &theirs.exporter),
        channel_leaf(&[8; 32], &ours.exporter),
    ] {
        assert!(evidence.verify_leaf(&leaf, &nonce).is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_carries_evidence_without_a_nonce() {
    let harness = Harness::start().await;
    let peer = harness.connect().await;
    let certificate = Certificate::from_der(&peer.certificate).unwrap();
    let extension = certificate
        .tbs_certificate()
        .extensions()
        .unwrap()
        .iter()
        .find(|extension| extension.extn_id.to_string() == "2.23.133.5.4.9")
        .unwrap();
    assert!(!extension.critical);
    let evidence = CertificateEvidence::decode(extension.extn_value.as_bytes()).unwrap();
    assert_eq!(evidence.statement, harness.enclave.identity().encoded());
    assert_eq!(DocumentFields::read(&evidence.document).nonce, None);

    let validity = certificate.tbs_certificate().validity();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let (from, to) = (
        validity.not_before.to_unix_duration(),
        validity.not_after.to_unix_duration(),
    );
    assert!(from < now && now < to);
    assert!(
        to - from <= Duration::from_secs(4 * 3600),
        "no longer than the document's leaf"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_refused() {
    let harness = Harness::start().await;
    let mut stream = open(harness.enclave.tls_address()).await;
    stream.write_all(&tls12_client_hello()).await.unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).await.unwrap();
    // A fatal alert, protocol_version (RFC 8446 §6.2), and the end.
    assert_eq!(alert[0], 21);
    assert_eq!(alert[5..], [2, 70]);
}

/// A hello that offers TLS 1.2 only, with everything else in order (RFC 5246 §7.4.1.2).
fn tls12_client_hello() -> Vec<u8> {
    let extension = |kind: u16, body: &[u8]| {
        let length = (body.len() as u16).to_be_bytes();
        [&kind.to_be_bytes()[..], &length, body].concat()
    };
    let extensions = [
        extension(10, &[0, 2, 0, 23]),
        extension(11, &[1, 0]),
        extension(13, &[0, 2, 4, 3]),
    ]
    .concat();
    let mut hello = vec![3, 3];
    hello.extend([5; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    hello.extend((extensions.len() as u16).to_be_bytes());
    hello.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend((hello.len() as u16).to_be_bytes());
    handshake.extend(hello);
    let mut record = vec![22, 3, 1];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tickets_are_given() {
    let harness = Harness::start().await;
    let mut stream = tls(harness.enclave.tls_address()).await.unwrap();
    // Tickets would come after the handshake, so something is read after it.
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: e\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let connection = stream.get_ref().1;
    assert_eq!(connection.tls13_tickets_received(), 0);
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_cost_few_nsm_calls() {
    let harness = Harness::with(Wanted {
        nsm_latency: Duration::from_millis(80),
        ..Wanted::default()
    })
    .await;
    // The connections stand first, so that the questions come at once.
    let mut peers = Vec::new();
    for _ in 0..100 {
        peers.push(harness.connect().await);
    }
    let before = harness.nsm.attestations();
    let mut callers = tokio::task::JoinSet::new();
    for (mut peer, number) in peers.into_iter().zip(0u8..) {
        callers.spawn(async move {
            for round in 0..10 {
                let mut nonce = [number; 32];
                nonce[0] = round;
                peer.check_evidence(nonce).await;
            }
        });
    }
    let answered = callers.join_all().await.len() * 10;
    let calls = harness.nsm.attestations() - before;
    assert_eq!(answered, 1000);
    assert!(calls <= 40, "{calls} NSM calls for 1,000 callers");
    assert_eq!(harness.status().await.counters.attestations, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_module_there_is_no_evidence_and_then_again() {
    let harness = Harness::start().await;
    let mut peer = harness.connect().await;
    harness.nsm.fail(true);
    let answer = peer.attest(&[1; 32]).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.problem().code, "attestation-unavailable");
    harness.nsm.fail(false);
    peer.check_evidence([1; 32]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_asks_in_a_loop_is_told_to_wait_and_closed() {
    let harness = Harness::start().await;
    let mut greedy = harness.connect().await;
    let begun = std::time::Instant::now();
    let mut answers = 0;
    let refusal = loop {
        let answer = greedy.attest(&[1; 32]).await;
        if answer.status != 200 {
            break answer;
        }
        answers += 1;
    };
    let gained = begun.elapsed().as_secs();
    assert!((16..=16 + gained).contains(&answers), "{answers}");
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.problem().code, "too-many-attestations");
    assert_eq!(refusal.header("retry-after"), "1");
    assert_eq!(refusal.header("connection"), "close");
    // Others are answered.
    harness.connect().await.check_evidence([1; 32]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_have_their_codes() {
    let harness = Harness::start().await;
    let mut peer = harness.connect().await;
    for query in [
        "",
        "?nonce=",
        "?nonce=AAAA",
        "?n=1",
        &format!("?nonce={}&x=1", base64url(&[0; 32])),
    ] {
        let answer = peer
            .send(&Ask::get(&format!("/.well-known/nacre/attestation{query}")))
            .await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (400, "nonce-malformed"),
            "{query}"
        );
    }
    let post = Ask {
        method: "POST",
        ..Ask::get("/.well-known/nacre/attestation")
    };
    let answer = peer.send(&post).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET"));
    let answer = peer.send(&Ask::get("/v1/models")).await;
    assert_eq!(
        (answer.status, answer.problem().code.as_str()),
        (404, "not-found")
    );
    assert_eq!(peer.send(&Ask::get("/readyz")).await.status, 200);
    peer.check_evidence([2; 32]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_binds_operator_and_node() {
    let harness = Harness::start().await;
    let challenge = RegistrationChallenge {
        nonce: [3; 32],
        operator: OperatorId::from_public_key([4; 32]),
        node: NodeId::from_random([5; 16]),
    };
    let body = serde_json::to_vec(&challenge).unwrap();
    let answer = harness
        .control()
        .await
        .send("POST", "/v1/evidence", body)
        .await;
    let evidence: Evidence = answer.json();
    let nonce = DocumentFields::read(&evidence.document).nonce.unwrap();
    let leaf = register_leaf(&challenge.nonce, &challenge.operator, &challenge.node);
    evidence.verify_leaf(&leaf, &nonce).unwrap();
    let other = register_leaf(
        &challenge.nonce,
        &challenge.operator,
        &NodeId::from_random([6; 16]),
    );
    assert!(evidence.verify_leaf(&other, &nonce).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_shake_hands_is_let_go() {
    let limits = Limits {
        handshake: Duration::from_secs(1),
        max_connections: 1,
        ..Limits::default()
    };
    let harness = Harness::with(Wanted {
        limits,
        ..Wanted::default()
    })
    .await;
    let mut silent = open(harness.enclave.tls_address()).await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "closed");
    harness.connect().await.check_evidence([1; 32]).await;
}
