use ed25519_dalek::Signer as _;
use nacre_emulator::testing::{DevNsm, Wanted};
use nacre_protocol::api::{Node, Page, RegisterNode};
use nacre_protocol::evidence::{register_leaf, registration_message};
use nacre_protocol::problem::Problem;
use reqwest::Method;

use crate::support::{IMAGE, START_MS, Server, TestNode, expect, refused, statement};

async fn refuse(server: &Server, request: &RegisterNode, status: u16, code: &str) -> Problem {
    let post = server.anonymous(Method::POST, "/v1/nodes").json(request);
    refused(post, status, code).await
}

async fn nodes(server: &Server) -> Vec<Node> {
    server.get::<Page<Node>>("/v1/nodes").await.items
}

#[tokio::test]
async fn a_node_registers_and_is_listed() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1 << 30, 7);
    server.register(&mut node).await;
    let listed = nodes(&server).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].id, listed[0].operator),
        (node.id, node.operator_id())
    );
    assert_eq!(
        (listed[0].offer, listed[0].boot_id),
        (node.offer, node.boot())
    );
    assert!(listed[0].online);
    assert_eq!(listed[0].seen_ms, START_MS);
    assert_eq!(server.desired(&node, "").await.functions, []);
}

#[tokio::test]
async fn a_nonce_is_ours_fresh_and_taken_once() {
    let mut server = Server::start().await;
    let node = TestNode::new(1, 1, 1);
    let invented = node.registration(&mut server.nsm, [5; 32], START_MS);
    refuse(&server, &invented, 403, "nonce-invalid").await;

    let nonce = server.challenge().await;
    let good = node.registration(&mut server.nsm, nonce, START_MS);
    let post = server.anonymous(Method::POST, "/v1/nodes").json(&good);
    let _: serde_json::Value = expect(post, 201).await;
    refuse(&server, &good, 403, "nonce-invalid").await;

    let nonce = server.challenge().await;
    server.pass(60_001);
    let late = node.registration(&mut server.nsm, nonce, START_MS + 60_001);
    refuse(&server, &late, 403, "nonce-invalid").await;
}

#[tokio::test]
async fn only_the_operator_signs() {
    let mut server = Server::start().await;
    let node = TestNode::new(1, 1, 1);
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    let leaf = register_leaf(&nonce, &node.operator_id(), &node.id);
    request.signature = TestNode::new(2, 1, 1)
        .operator
        .sign(&registration_message(&leaf))
        .to_bytes();
    refuse(&server, &request, 403, "signature-invalid").await;

    // A signature over another node's registration.
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    let other = register_leaf(&nonce, &node.operator_id(), &TestNode::new(2, 1, 1).id);
    request.signature = node.operator.sign(&registration_message(&other)).to_bytes();
    refuse(&server, &request, 403, "signature-invalid").await;

    // An operator that is no key.
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    request.operator = "f".repeat(64).parse().unwrap();
    refuse(&server, &request, 403, "signature-invalid").await;
}

#[tokio::test]
async fn evidence_leads_to_the_root_and_names_the_image() {
    let mut server = Server::start().await;
    let node = TestNode::new(1, 1, 1);
    for (mut nsm, rule) in [
        (DevNsm::seeded(1, IMAGE, START_MS), "root"),
        (
            DevNsm::new([[4; 48], IMAGE[1], IMAGE[2]], START_MS),
            "measurement-mismatch",
        ),
        (DevNsm::new([[0; 48]; 3], START_MS), "debug-enclave"),
    ] {
        let nonce = server.challenge().await;
        let request = node.registration(&mut nsm, nonce, START_MS);
        let problem = refuse(&server, &request, 403, "evidence-refused").await;
        assert!(problem.detail.as_ref().unwrap().contains(rule), "{problem}");
    }
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    let last = request.evidence.document.len() - 1;
    request.evidence.document[last] ^= 1;
    refuse(&server, &request, 403, "evidence-refused").await;
    assert_eq!(nodes(&server).await, []);
}

#[tokio::test]
async fn evidence_is_bound_to_this_registration() {
    let mut server = Server::start().await;
    let (node, other) = (TestNode::new(1, 1, 1), TestNode::new(2, 1, 1));

    // Made for another node's registration with the same nonce.
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    request.evidence = other
        .registration(&mut server.nsm, nonce, START_MS)
        .evidence;
    refuse(&server, &request, 403, "evidence-not-bound").await;

    // Made for the same node before.
    let old = server.challenge().await;
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    request.evidence = node.registration(&mut server.nsm, old, START_MS).evidence;
    refuse(&server, &request, 403, "evidence-not-bound").await;

    // Another leaf of the tree.
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    request.evidence.leaf_index = 0;
    refuse(&server, &request, 403, "evidence-not-bound").await;

    // A statement that the document does not vouch for.
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    request.evidence.statement = statement(9).encode();
    refuse(&server, &request, 403, "evidence-not-bound").await;
    let nonce = server.challenge().await;
    let mut request = node.registration(&mut server.nsm, nonce, START_MS);
    request.evidence.statement.push(0);
    refuse(&server, &request, 403, "evidence-not-bound").await;

    // A receipt key that is not the statement's, and a document without a nonce.
    let tree_root = |node: &TestNode, nonce| register_leaf(&nonce, &node.operator_id(), &node.id);
    for (key, with_nonce) in [([8; 64], true), (node.statement.receipt_key, false)] {
        let nonce = server.challenge().await;
        let mut request = node.registration(&mut server.nsm, nonce, START_MS);
        let root = tree_root(&node, nonce);
        let wanted = Wanted {
            user_data: Some(&node.statement.user_data()),
            nonce: with_nonce.then_some(&root),
            public_key: Some(&key),
        };
        request.evidence.document = server.nsm.attest(wanted, START_MS);
        refuse(&server, &request, 403, "evidence-not-bound").await;
    }
    assert_eq!(nodes(&server).await, []);
}

#[tokio::test]
async fn a_node_stays_its_operators_and_a_boot_its_nodes() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1, 1);
    server.register(&mut node).await;

    let mut stranger = TestNode::new(2, 1, 1);
    stranger.id = node.id;
    let nonce = server.challenge().await;
    let request = stranger.registration(&mut server.nsm, nonce, START_MS);
    refuse(&server, &request, 403, "operator-mismatch").await;

    let mut thief = TestNode::new(3, 1, 1);
    thief.statement = statement(1);
    let nonce = server.challenge().await;
    let request = thief.registration(&mut server.nsm, nonce, START_MS);
    refuse(&server, &request, 409, "boot-id-taken").await;
    // Still so after the node has moved on to another boot.
    node.statement = statement(4);
    server.register(&mut node).await;
    let nonce = server.challenge().await;
    let request = thief.registration(&mut server.nsm, nonce, START_MS);
    refuse(&server, &request, 409, "boot-id-taken").await;
    assert_eq!(nodes(&server).await.len(), 1);
}

#[tokio::test]
async fn endpoints_and_offers_are_checked() {
    let mut server = Server::start().await;
    let node = TestNode::new(1, 1, 1);
    let good = node.registration(&mut server.nsm, [0; 32], START_MS);
    for endpoint in ["", "host", "http://host:1", "host:0", "host:65536", "a b:1"] {
        let bad = RegisterNode {
            endpoint: endpoint.to_owned(),
            ..good.clone()
        };
        refuse(&server, &bad, 422, "endpoint-invalid").await;
    }
    let mut bad = good;
    bad.offer.price = u64::MAX;
    refuse(&server, &bad, 422, "offer-out-of-range").await;
}

#[tokio::test]
async fn a_new_registration_ends_the_former_token() {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1, 1);
    server.register(&mut node).await;
    let old = node.token.clone();
    server.register(&mut node).await;
    let path = format!("/v1/nodes/{}/desired", node.id);
    let ask = |token: &str| server.anonymous(Method::GET, &path).bearer_auth(token);
    refused(ask(&old), 401, "unauthenticated").await;
    let _: serde_json::Value = expect(ask(&node.token), 200).await;
}
