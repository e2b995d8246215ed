//! `nacre incidents`: what a hostile host does with a real enclave is seen by who asks.

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use nacre_protocol::api::{Challenge, Offer, RegisterNode};
use nacre_protocol::evidence::{
    Evidence, RegistrationChallenge, register_leaf, registration_message,
};
use nacre_protocol::ids::{NodeId, OperatorId};
use nacre_tests::http::{ask_plain, ask_socket};
use nacre_tests::platform::Platform;

#[test]
fn an_enclave_that_its_host_offers_as_a_second_node_is_listed_and_costs_the_first_its_score()
-> anyhow::Result<()> {
    let platform = Platform::start()?;
    let none = platform.json(&["incidents"])?;
    ensure!(none.as_array().is_some_and(Vec::is_empty), "{none}");
    let nodes = platform.json(&["nodes"])?;
    let node = nodes[0]["id"].as_str().context("no node")?.to_owned();
    let scores = platform.json(&["incidents", "--scores"])?;
    ensure!(scores[0]["score"] == 10_000, "{scores}");

    for _ in 0..2 {
        let (status, code) = offer_again(&platform)?;
        ensure!(
            (status, code.as_str()) == (409, "boot-id-taken"),
            "{status} {code}"
        );
    }

    let noted = platform.json(&["incidents", "--node", &node])?;
    let noted = noted.as_array().context("no list")?;
    // Once a minute, however often; two if a minute ended in between.
    ensure!((1..=2).contains(&noted.len()), "{noted:?}");
    for incident in noted {
        ensure!(incident["node"] == node.as_str(), "{incident}");
        ensure!(incident["code"] == "boot-id-taken", "{incident}");
        ensure!(incident["points"] == 5_000, "{incident}");
    }
    let scores = platform.json(&["incidents", "--scores", "--node", &node])?;
    let left = 10_000 - 5_000 * noted.len();
    ensure!(scores[0]["score"] == left, "{scores}");
    let text = platform.text(&["incidents"])?;
    let line = text.lines().find(|line| line.contains(&node));
    ensure!(
        line.is_some_and(|line| line.contains("boot-id-taken")),
        "{text}"
    );
    platform.stop()
}

/// What the node's host could do: asks its enclave to vouch for a node of another operator, and registers that. Gives the
/// control plane's answer.
fn offer_again(platform: &Platform) -> anyhow::Result<(u16, String)> {
    let control_plane = platform.ready("control_plane").replace("http://", "");
    let post = |path: &str, body: &[u8]| {
        let headers = [("host", "localhost"), ("content-type", "application/json")];
        ask_plain(&control_plane, "POST", path, &headers, body)
    };
    let challenge = post("/v1/nodes/challenges", b"")?;
    let nonce = serde_json::from_slice::<Challenge>(&challenge.body)?.nonce;
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32])?;
    let operator = OperatorId::from_public_key(key.public_key().as_ref().try_into()?);
    let id = NodeId::from_random([7; 16]);
    let ask = RegistrationChallenge {
        nonce,
        operator,
        node: id,
    };
    let ask = serde_json::to_vec(&ask)?;
    let vouched = ask_socket(&platform.control_socket()?, "POST", "/v1/evidence", &ask)?;
    let evidence: Evidence = serde_json::from_slice(&vouched.body)?;
    let leaf = register_leaf(&nonce, &operator, &id);
    let signature = key.sign(&registration_message(&leaf));
    let registration = RegisterNode {
        id,
        operator,
        endpoint: platform.ready("node").to_owned(),
        region: "default".to_owned(),
        offer: Offer {
            memory_bytes: 1 << 30,
            cpu_milli: 1000,
            price: 1,
            cpu_price: 0,
        },
        nonce,
        evidence,
        signature: signature.as_ref().try_into()?,
    };
    let answer = post("/v1/nodes", &serde_json::to_vec(&registration)?)?;
    Ok((answer.status, answer.code()))
}
