//! Evidence that is not of the enclave, or not of this connection, or not fresh.

use std::sync::Mutex;

use k256::ecdsa::SigningKey;
use nacre_attestation_verifier::{Measurements, Pcr, Policy, ResultCode, Roots};
use nacre_client::{AttestedClient, ClientError, ClientOptions, Endpoint, Trust};
use nacre_emulator::document::Document;
use nacre_emulator::testing::ChainPlan;
use nacre_protocol::evidence::{Evidence, channel_leaf};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::merkle::Tree;
use nacre_tests::evil::mitm::Mitm;
use nacre_tests::evil::{
    Asked, Behaviour, Enclave, FakeEnclave, HONEST, Reply, TlsIdentity, function, now_ms,
    statement_with, trust_in,
};

use crate::calls::infer;

/// Calls a peer, sees the call fail, and that the peer was asked for evidence once and sent nothing else.
pub(crate) async fn refused(peer: &FakeEnclave, trust: Trust) -> ClientError {
    let client = peer.client(trust);
    let error = client
        .call(infer())
        .await
        .expect_err("this peer is not to be trusted");
    drop(client);
    assert_eq!(peer.log.only_evidence_was_asked().await, 1);
    assert!(peer.log.calls().is_empty());
    error
}

/// The same for an honest enclave that gives other evidence; trust is in its root and measurements.
pub(crate) async fn refused_evidence(
    evidence: impl Fn(&Enclave, &Asked) -> Evidence + Send + Sync + 'static,
) -> ClientError {
    let behaviour =
        Behaviour::evidence(move |enclave, asked| Reply::Evidence(evidence(enclave, asked)));
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let trust = peer.enclave.trust();
    refused(&peer, trust).await
}

#[track_caller]
pub(crate) fn assert_refused(error: &ClientError, code: &str, result: ResultCode) {
    assert_eq!(
        (error.code(), error.result_code()),
        (code, Some(result)),
        "{error}"
    );
}

#[tokio::test]
async fn the_honest_peer_is_trusted() {
    let peer = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let client = peer.client(peer.enclave.trust());
    let answer = client.call(infer()).await.expect("an honest peer");
    assert_eq!(answer.response.body(), infer().body());
    let proof = answer.proof.expect("a receipt");
    assert_eq!(proof.receipt.receipt.function_digest, function());
    assert_eq!(peer.log.calls().len(), 1);
}

/// The control of all tests below: had a byte of a request come, they would see it.
#[tokio::test]
#[should_panic(expected = "this is no question for evidence: POST /v2/models/echo/infer HTTP/1.1")]
async fn a_request_shows_in_what_the_peer_was_sent() {
    let peer = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let client = peer.client(peer.enclave.trust());
    let answer = client.call(infer()).await;
    assert!(answer.is_ok());
    drop(client);
    peer.log.only_evidence_was_asked().await;
}

#[tokio::test]
async fn other_measurements() {
    for at in 0..3 {
        let peer = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
        let mut pcrs = HONEST;
        pcrs[at][47] ^= 1;
        let [pcr0, pcr1, pcr2] = pcrs.map(Pcr);
        let policy = Policy::new(vec![Measurements::new(pcr0, pcr1, pcr2)]).expect("a policy");
        let error = refused(&peer, peer.enclave.trust().with_policy(policy)).await;
        assert_refused(&error, "measurement-mismatch", ResultCode::Measurements);
    }
}

#[tokio::test]
async fn a_debug_enclave() {
    let zero = Pcr([0; 48]);
    let debug = || Enclave::boot(0, now_ms() - 600_000, [[0; 48]; 3]);
    let listed = Policy::new(vec![Measurements::new(zero, zero, zero)]).expect("a policy");
    let unlisted = Policy::clone(&debug().trust().policy());
    for (policy, code) in [
        (listed, "debug-enclave"),
        (unlisted.clone(), "debug-enclave"),
        (unlisted.with_allow_debug(true), "measurement-mismatch"),
    ] {
        let peer = FakeEnclave::start(debug(), Behaviour::honest()).await;
        let trust = peer.enclave.trust().with_policy(policy);
        let error = refused(&peer, trust).await;
        assert_refused(&error, code, ResultCode::Measurements);
    }
}

#[tokio::test]
async fn a_development_root_where_only_awss_is_trusted() {
    let peer = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let policy = Policy::clone(&peer.enclave.trust().policy());
    let trust = Trust::new(Roots::aws(), policy);
    let error = refused(&peer, trust).await;
    assert_refused(&error, "untrusted-root", ResultCode::Chain);
}

#[tokio::test]
async fn another_development_root() {
    let peer = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let other = Enclave::boot(7, now_ms() - 600_000, HONEST);
    let error = refused(&peer, other.trust()).await;
    assert_refused(&error, "untrusted-root", ResultCode::Chain);
}

#[tokio::test]
async fn a_document_older_than_the_policy_allows() {
    let error = refused_evidence(|enclave, asked| {
        let leaf = channel_leaf(&asked.nonce, &asked.exporter);
        enclave.evidence_for(leaf, now_ms() - 301_000)
    })
    .await;
    assert_refused(&error, "document-too-old", ResultCode::Time);
}

#[tokio::test]
async fn a_document_from_the_future() {
    let error = refused_evidence(|enclave, asked| {
        let leaf = channel_leaf(&asked.nonce, &asked.exporter);
        enclave.evidence_for(leaf, now_ms() + 60_000)
    })
    .await;
    assert_refused(&error, "document-from-future", ResultCode::Time);
}

#[tokio::test]
async fn an_expired_leaf_certificate() {
    // Four hours ago the leaf had three hours left; its key signs on.
    let plan = ChainPlan::correct(11, now_ms() - 4 * 3_600_000);
    let chain = plan.issue();
    let root = chain[0].clone();
    let behaviour = Behaviour::evidence(move |enclave, asked| {
        let statement = enclave.statement.encode();
        let (leaf, cas) = chain.split_last().expect("a chain");
        let document = Document {
            module_id: "i-0123456789abcdef0-enc0123456789abcdef",
            timestamp_ms: now_ms(),
            pcrs: HONEST
                .iter()
                .zip(0..)
                .map(|(pcr, index)| (index, *pcr))
                .collect(),
            certificate: leaf,
            cabundle: cas.iter().map(Vec::as_slice).collect(),
            public_key: Some(&enclave.statement.receipt_key),
            user_data: Some(&IdentityStatement::user_data_of(&statement)),
            nonce: Some(&channel_leaf(&asked.nonce, &asked.exporter)),
        };
        let document = document.sign(plan.leaf_key());
        Reply::Evidence(Evidence {
            document,
            statement,
            leaf_index: 0,
            tree_size: 1,
            path: vec![],
        })
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let error = refused(&peer, trust_in(&root)).await;
    assert_refused(&error, "certificate-expired", ResultCode::Chain);
}

#[tokio::test]
async fn a_document_with_one_bit_changed() {
    let error = refused_evidence(|enclave, asked| {
        let mut evidence = enclave.evidence(asked);
        let last = evidence.document.len() - 1;
        evidence.document[last] ^= 1;
        evidence
    })
    .await;
    assert_refused(&error, "signature-invalid", ResultCode::Signature);
}

#[tokio::test]
async fn a_fresh_document_of_another_connection() {
    // The first connection's evidence is true, and everybody after it gets the same.
    let kept = Mutex::new(None);
    let behaviour = Behaviour::evidence(move |enclave, asked| {
        let mut kept = kept.lock().expect("no panic");
        Reply::Evidence(kept.get_or_insert_with(|| enclave.evidence(asked)).clone())
    });
    let peer = FakeEnclave::start(Enclave::honest(), behaviour).await;
    let first = peer.client(peer.enclave.trust());
    first.attest().await.expect("true evidence");
    let second = peer.client(peer.enclave.trust());
    let error = second.call(infer()).await.expect_err("a replay");
    assert_refused(&error, "channel-mismatch", ResultCode::Binding);
    drop((first, second));
    assert_eq!(peer.log.only_evidence_was_asked().await, 2);
}

#[tokio::test]
async fn another_connections_exporter() {
    let error = refused_evidence(|enclave, asked| {
        let exporter = [9; 32];
        enclave.evidence(&Asked {
            exporter,
            ..asked.clone()
        })
    })
    .await;
    assert_refused(&error, "channel-mismatch", ResultCode::Binding);
}

#[tokio::test]
async fn another_questions_nonce() {
    let error = refused_evidence(|enclave, asked| {
        let nonce = [9; 32];
        enclave.evidence(&Asked {
            nonce,
            ..asked.clone()
        })
    })
    .await;
    assert_refused(&error, "channel-mismatch", ResultCode::Binding);
}

#[tokio::test]
async fn another_leafs_inclusion_path() {
    for (index, of) in [(0, 1), (1, 1), (1, 0)] {
        let error = refused_evidence(move |enclave, asked| {
            let mine = channel_leaf(&asked.nonce, &asked.exporter);
            let tree = Tree::new(vec![mine, channel_leaf(&[9; 32], &[9; 32])]).expect("a tree");
            Evidence {
                leaf_index: index,
                tree_size: 2,
                path: tree.path(of).expect("two leaves"),
                ..enclave.evidence_for(tree.root(), now_ms())
            }
        })
        .await;
        assert_refused(&error, "channel-mismatch", ResultCode::Binding);
    }
}

#[tokio::test]
async fn the_root_passed_off_as_a_leaf() {
    let error = refused_evidence(|enclave, _| enclave.evidence_for([5; 32], now_ms())).await;
    assert_refused(&error, "channel-mismatch", ResultCode::Binding);
}

#[tokio::test]
async fn a_document_for_another_tls_key() {
    let error = refused_evidence(|enclave, asked| {
        let other = statement_with(TlsIdentity::generate().spki_sha256(), &enclave.receipt_key);
        let statement = other.encode();
        let leaf = channel_leaf(&asked.nonce, &asked.exporter);
        let document = enclave.document(&statement, &other.receipt_key, &leaf, now_ms());
        Evidence {
            document,
            statement,
            leaf_index: 0,
            tree_size: 1,
            path: vec![],
        }
    })
    .await;
    assert_refused(&error, "tls-key-mismatch", ResultCode::Binding);
}

#[tokio::test]
async fn a_statement_that_the_document_does_not_vouch_for() {
    let error = refused_evidence(|enclave, asked| {
        let thief = SigningKey::from_slice(&[0x77; 32]).expect("a key");
        let forged = statement_with(enclave.statement.tls_spki_sha256, &thief);
        Evidence {
            statement: forged.encode(),
            ..enclave.evidence(asked)
        }
    })
    .await;
    assert_refused(&error, "user-data-mismatch", ResultCode::Binding);
}

#[tokio::test]
async fn a_statement_in_another_encoding() {
    let error = refused_evidence(|enclave, asked| {
        // The version in two bytes: the same fields, and the document even vouches for it.
        let mut statement = enclave.statement.encode();
        statement.splice(2..3, [0x18, 0x01]);
        let leaf = channel_leaf(&asked.nonce, &asked.exporter);
        let document =
            enclave.document(&statement, &enclave.statement.receipt_key, &leaf, now_ms());
        Evidence {
            document,
            statement,
            leaf_index: 0,
            tree_size: 1,
            path: vec![],
        }
    })
    .await;
    assert_refused(&error, "statement-malformed", ResultCode::Binding);
}

#[tokio::test]
async fn another_receipt_key_in_the_document() {
    let error = refused_evidence(|enclave, asked| {
        let statement = enclave.statement.encode();
        let leaf = channel_leaf(&asked.nonce, &asked.exporter);
        let document = enclave.document(&statement, &[8; 64], &leaf, now_ms());
        Evidence {
            document,
            statement,
            leaf_index: 0,
            tree_size: 1,
            path: vec![],
        }
    })
    .await;
    assert_refused(&error, "receipt-key-mismatch", ResultCode::Binding);
}

#[tokio::test]
async fn a_host_that_terminates_tls() {
    let enclave = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let mitm = Mitm::start(&TlsIdentity::generate(), enclave.address()).await;
    let error = through(&mitm, enclave.enclave.trust()).await;
    assert_refused(&error, "tls-key-mismatch", ResultCode::Binding);
    // It really stood between: the enclave answered with its true evidence.
    assert_eq!(mitm.log.only_evidence_was_asked().await, 1);
    assert_eq!(enclave.log.only_evidence_was_asked().await, 1);
}

#[tokio::test]
async fn a_host_that_terminates_tls_with_the_enclaves_own_stolen_key() {
    let enclave = FakeEnclave::start(Enclave::honest(), Behaviour::honest()).await;
    let mitm = Mitm::start(&enclave.enclave.tls, enclave.address()).await;
    let error = through(&mitm, enclave.enclave.trust()).await;
    assert_refused(&error, "channel-mismatch", ResultCode::Binding);
    assert_eq!(mitm.log.only_evidence_was_asked().await, 1);
    assert_eq!(enclave.log.only_evidence_was_asked().await, 1);
}

async fn through(mitm: &Mitm, trust: Trust) -> ClientError {
    let client = client_of(mitm.endpoint(), trust, ClientOptions::default());
    client
        .call(infer())
        .await
        .expect_err("someone stands between")
}

pub(crate) fn client_of(
    endpoint: Endpoint,
    trust: Trust,
    options: ClientOptions,
) -> AttestedClient {
    AttestedClient::new(trust, Some(function()), vec![endpoint], options)
}
