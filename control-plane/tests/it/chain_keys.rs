//! Nodes offer their enclaves' receipt keys to smart contracts: what is listed, a registry takes.

use k256::ecdsa::SigningKey;
use nacre_protocol::api::Page;
use nacre_protocol::api::chain::{ChainKey, PublishChainKeys, RegistryConsent};
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::operator_consent::{ConsentSignature, OperatorConsent};
use nacre_protocol::verified_enclave::ContractDomain;
use reqwest::{Method, RequestBuilder, StatusCode};

use crate::support::{Server, TestNode, refused, statement};

const OPERATOR: EthAddress = EthAddress::from_bytes([0x22; 20]);

fn registry(n: u8) -> ContractDomain {
    let address = EthAddress::from_bytes([n; 20]);
    format!("31337:{address}").parse().unwrap()
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_slice(&[n; 32]).unwrap()
}

fn address(key: &SigningKey) -> EthAddress {
    EthAddress::of_key(key.verifying_key())
}

/// A registered node whose enclave has this receipt key.
async fn node(server: &mut Server, n: u8) -> TestNode {
    let mut node = TestNode::new(n, 1 << 30, 1);
    let point = key(n).verifying_key().to_sec1_point(false);
    node.statement.receipt_key = point.as_bytes()[1..].try_into().unwrap();
    server.register(&mut node).await;
    node
}

fn consent(key: &SigningKey, operator: EthAddress, registry: ContractDomain) -> RegistryConsent {
    RegistryConsent {
        chain_id: registry.chain_id,
        registry: registry.verifying_contract,
        consent: OperatorConsent::sign(key, operator, &registry),
    }
}

/// What an honest node offers.
async fn offer(server: &mut Server, node: &TestNode, registries: &[u8]) -> PublishChainKeys {
    let nonce = server.challenge().await;
    let now = server.now_ms();
    let own = key(node.id.as_bytes()[0]);
    let consents = registries
        .iter()
        .map(|n| consent(&own, OPERATOR, registry(*n)));
    PublishChainKeys {
        operator: OPERATOR,
        consents: consents.collect(),
        nonce,
        evidence: node.registration(&mut server.nsm, nonce, now).evidence,
    }
}

fn put(server: &Server, node: &TestNode, keys: &PublishChainKeys) -> RequestBuilder {
    let path = format!("/v1/nodes/{}/chain-keys", node.id);
    server
        .anonymous(Method::PUT, &path)
        .bearer_auth(&node.token)
        .json(keys)
}

async fn publish(server: &mut Server, node: &TestNode, registries: &[u8]) -> PublishChainKeys {
    let offered = offer(server, node, registries).await;
    let response = put(server, node, &offered).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    offered
}

async fn listed(server: &Server, query: &str) -> Vec<ChainKey> {
    let page: Page<ChainKey> = server.get(&format!("/v1/chain/keys{query}")).await;
    assert_eq!(page.next, None);
    page.items
}

#[tokio::test]
async fn what_an_enclave_agreed_to_is_listed_with_its_newest_document() {
    let mut server = Server::start().await;
    let node = node(&mut server, 1).await;
    let first = publish(&mut server, &node, &[7]).await;
    let keys = listed(&server, "").await;
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (keys[0].node, keys[0].receipt_key, keys[0].operator),
        (node.id, address(&key(1)), OPERATOR)
    );
    assert_eq!(keys[0].domain(), registry(7));
    assert_eq!(keys[0].document, first.evidence.document);
    assert_eq!(keys[0].document_ms, server.now_ms());
    let agreed = OperatorConsent {
        receipt_key: keys[0].receipt_key,
        operator: OPERATOR,
    };
    assert!(agreed.is_signed(&registry(7), &keys[0].consent));

    // Later: other registries instead, and a younger document.
    server.pass(60_000);
    let second = publish(&mut server, &node, &[8, 9]).await;
    let keys = listed(&server, "").await;
    let domains: Vec<_> = keys.iter().map(ChainKey::domain).collect();
    assert_eq!(domains, [registry(8), registry(9)]);
    for key in &keys {
        assert_eq!(key.document, second.evidence.document);
        assert_eq!(key.document_ms, server.now_ms());
    }
}

#[tokio::test]
async fn the_list_has_pages_filters_and_tags() {
    let mut server = Server::start().await;
    for n in [1, 2] {
        let node = node(&mut server, n).await;
        publish(&mut server, &node, &[7, 8]).await;
    }
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/chain/keys?limit=1&after={after}");
        let page: Page<ChainKey> = server.get(&path).await;
        seen.extend(page.items.iter().map(|key| (key.node, key.domain())));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 4);
    let whole: Vec<_> = listed(&server, "").await;
    let whole: Vec<_> = whole.iter().map(|key| (key.node, key.domain())).collect();
    assert_eq!(seen, whole);

    let one = listed(&server, &format!("?registry={}", registry(8))).await;
    assert_eq!(one.len(), 2);
    assert!(one.iter().all(|key| key.domain() == registry(8)));
    assert_eq!(
        listed(&server, &format!("?registry={}", registry(9))).await,
        []
    );

    let response = server.request(Method::GET, "/v1/chain/keys").send().await;
    let tag = response.unwrap().headers()["etag"].clone();
    let again = server.request(Method::GET, "/v1/chain/keys");
    let again = again.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);

    for (query, code) in [
        ("?registry=31337", "query-invalid"),
        ("?limit=101", "query-invalid"),
        ("?limit=0", "query-invalid"),
        ("?after=x", "cursor-invalid"),
    ] {
        let path = format!("/v1/chain/keys{query}");
        refused(server.request(Method::GET, &path), 400, code).await;
    }
    refused(
        server.anonymous(Method::GET, "/v1/chain/keys"),
        401,
        "unauthenticated",
    )
    .await;
}

#[tokio::test]
async fn a_key_is_gone_with_its_boot_and_while_its_node_is_silent() {
    let mut server = Server::start().await;
    let mut node = node(&mut server, 1).await;
    publish(&mut server, &node, &[7]).await;
    node.statement.boot_id = statement(9).boot_id;
    server.register(&mut node).await;
    assert_eq!(listed(&server, "").await, []);
    publish(&mut server, &node, &[7]).await;
    assert_eq!(listed(&server, "").await.len(), 1);
    let silent = server
        .number("UPDATE nodes SET online = FALSE RETURNING 1")
        .await;
    assert_eq!(silent, 1);
    assert_eq!(listed(&server, "").await, []);
}

#[tokio::test]
async fn another_keys_operators_or_chains_consent_is_refused() {
    let mut server = Server::start().await;
    let node = node(&mut server, 1).await;
    let own = key(1);
    let stranger = EthAddress::from_bytes([0x33; 20]);
    let elsewhere: ContractDomain = format!("1:{}", registry(7).verifying_contract)
        .parse()
        .unwrap();
    let given = |signed: RegistryConsent| RegistryConsent {
        chain_id: registry(7).chain_id,
        registry: registry(7).verifying_contract,
        ..signed
    };
    for (why, bad) in [
        ("another key", consent(&key(2), OPERATOR, registry(7))),
        ("another operator", consent(&own, stranger, registry(7))),
        ("another chain", given(consent(&own, OPERATOR, elsewhere))),
        (
            "another registry",
            given(consent(&own, OPERATOR, registry(8))),
        ),
        (
            "no signature",
            RegistryConsent {
                consent: ConsentSignature::from_bytes([0; 65]),
                ..consent(&own, OPERATOR, registry(7))
            },
        ),
    ] {
        // Beside a good one: nothing of it is taken.
        let mut keys = offer(&mut server, &node, &[9]).await;
        keys.consents.push(bad);
        let problem = refused(put(&server, &node, &keys), 403, "consent-refused").await;
        assert!(problem.detail.unwrap().contains("31337:0x0707"), "{why}");
    }
    // A word to the right operator, sent in another's name.
    let mut keys = offer(&mut server, &node, &[7]).await;
    keys.operator = stranger;
    refused(put(&server, &node, &keys), 403, "consent-refused").await;
    assert_eq!(listed(&server, "").await, []);
}

#[tokio::test]
async fn somebody_elses_evidence_and_another_nodes_token_are_refused() {
    let mut server = Server::start().await;
    let (one, two) = (node(&mut server, 1).await, node(&mut server, 2).await);

    // The evidence of another node's enclave, with that enclave's consent.
    let keys = offer(&mut server, &two, &[7]).await;
    refused(put(&server, &one, &keys), 403, "evidence-not-bound").await;
    // Another node's path.
    let path = format!("/v1/nodes/{}/chain-keys", two.id);
    let foreign = server.anonymous(Method::PUT, &path).bearer_auth(&one.token);
    refused(foreign.json(&keys), 403, "forbidden").await;
    let with_key = server.request(Method::PUT, &path).json(&keys);
    refused(with_key, 403, "forbidden").await;

    // An enclave of the same host that is not registered.
    let mut other = TestNode::new(1, 1 << 30, 1);
    other.statement = one.statement.clone();
    other.statement.boot_id = statement(9).boot_id;
    other.token.clone_from(&one.token);
    let keys = offer(&mut server, &other, &[7]).await;
    refused(put(&server, &one, &keys), 409, "boot-changed").await;

    // A nonce that is used, and one that nobody gave out.
    let keys = publish(&mut server, &one, &[7]).await;
    refused(put(&server, &one, &keys), 403, "nonce-invalid").await;
    let mut keys = offer(&mut server, &one, &[7]).await;
    keys.nonce = [5; 32];
    refused(put(&server, &one, &keys), 403, "nonce-invalid").await;
    assert_eq!(listed(&server, "").await.len(), 1);
}

#[tokio::test]
async fn offers_are_bounded() {
    let mut server = Server::start().await;
    let node = node(&mut server, 1).await;
    let many: Vec<u8> = (1..=17).collect();
    for registries in [&[][..], &many, &[7, 7]] {
        let keys = offer(&mut server, &node, registries).await;
        refused(put(&server, &node, &keys), 422, "consents-invalid").await;
    }
    let mut keys = offer(&mut server, &node, &[7]).await;
    keys.operator = EthAddress::from_bytes([0; 20]);
    refused(put(&server, &node, &keys), 422, "operator-zero").await;
    let mut keys = offer(&mut server, &node, &[7]).await;
    keys.evidence.document = vec![0; 17 << 10];
    refused(put(&server, &node, &keys), 403, "evidence-refused").await;
    keys.evidence.document = vec![0; 1 << 20];
    refused(put(&server, &node, &keys), 413, "body-too-long").await;
    let mut keys = offer(&mut server, &node, &many[..16]).await;
    keys.evidence.path.clear();
    refused(put(&server, &node, &keys), 403, "evidence-not-bound").await;
    publish(&mut server, &node, &many[..16]).await;
    assert_eq!(listed(&server, "").await.len(), 16);
}

#[tokio::test]
async fn keys_outlive_a_restart() {
    let mut server = Server::start().await;
    let node = node(&mut server, 1).await;
    publish(&mut server, &node, &[7]).await;
    let before = listed(&server, "").await;
    server.stop().await;
    server.resume().await;
    assert_eq!(listed(&server, "").await, before);
}
