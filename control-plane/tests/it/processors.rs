//! What a replica shall have of its node's processors is kept for it, and a node that has no more gets none.

use nacre_protocol::api::{Deployment, Node, Page};
use nacre_protocol::control::FunctionState::Ready;
use nacre_protocol::ids::NodeId;
use reqwest::{Method, RequestBuilder};

use crate::market::run;
use crate::support::{Server, TestNode, expect, order, refused};

const GIB: u64 = 1 << 30;

/// A server with a cheap node of half a processor and a dear one of two; memory is there for hundreds.
async fn market() -> (Server, TestNode, TestNode) {
    let mut server = Server::start().await;
    let (mut cheap, mut dear) = (TestNode::new(1, GIB, 1), TestNode::new(2, GIB, 9));
    cheap.offer.cpu_milli = 500;
    dear.offer.cpu_milli = 2000;
    for node in [&mut cheap, &mut dear] {
        server.register(node).await;
    }
    (server, cheap, dear)
}

async fn ordered(server: &Server, name: &str, cpu_milli: u32) -> RequestBuilder {
    let version = server.function(name, "1MiB", name).await;
    let mut order = order(&version, 1);
    order.cpu_milli = cpu_milli;
    server.request(Method::POST, "/v1/deployments").json(&order)
}

async fn placed(server: &Server, name: &str, cpu_milli: u32) -> Deployment {
    expect(ordered(server, name, cpu_milli).await, 201).await
}

fn at(deployment: &Deployment) -> Vec<NodeId> {
    deployment.leases.iter().map(|lease| lease.node).collect()
}

async fn taken(server: &Server) -> Vec<u32> {
    let nodes: Page<Node> = server.get("/v1/nodes").await;
    let taken = nodes.items.iter().map(|node| node.reserved_cpu_milli);
    taken.collect()
}

#[tokio::test]
async fn a_node_whose_processors_are_taken_gets_no_more() {
    let (mut server, mut cheap, dear) = market().await;
    let first = placed(&server, "first", 300).await;
    assert_eq!((at(&first), first.cpu_milli), (vec![cheap.id], 300));
    let second = placed(&server, "second", 300).await;
    assert_eq!(at(&second), [dear.id], "the cheap one has 200 left");
    let third = placed(&server, "third", 200).await;
    assert_eq!(at(&third), [cheap.id], "which are enough for this one");
    assert_eq!(taken(&server).await, [500, 300]);

    let large = placed(&server, "large", 1000).await;
    assert_eq!(at(&large), [dear.id]);
    let waits = placed(&server, "waits", 800).await;
    assert_eq!(at(&waits), []);
    let reason = waits.reason.unwrap();
    assert!(
        reason.contains("700 thousandths of a processor"),
        "{reason}"
    );
    server.audit().await;

    // What a replica had is there for another as soon as it ends.
    let delete = server.request(Method::DELETE, "/v1/functions/large");
    assert_eq!(delete.send().await.unwrap().status(), 204);
    let waits = server.until(waits.id, |d| !d.leases.is_empty()).await;
    assert_eq!(at(&waits), [dear.id]);

    // And what a node registers with anew counts from then on.
    assert_eq!(at(&placed(&server, "more", 1000).await), []);
    cheap.offer.cpu_milli = 1500;
    server.register(&mut cheap).await;
    assert_eq!(taken(&server).await[0], 1500);
    server.audit().await;
}

#[tokio::test]
async fn what_is_kept_stays_kept_when_the_market_is_made_anew() {
    let (mut server, cheap, dear) = market().await;
    let first = placed(&server, "first", 450).await;
    server.report(&cheap, Ready).await;
    server.stop().await;
    let forget = "DELETE FROM market_events; DELETE FROM market_snapshots";
    run(&server, forget).await;
    server.resume().await;
    assert_eq!(at(&server.deployment(first.id).await), [cheap.id]);
    let second = placed(&server, "second", 100).await;
    assert_eq!(at(&second), [dear.id], "50 are left of the cheap one");
    server.audit().await;
}

#[tokio::test]
async fn a_version_that_is_gone_back_to_has_its_own_share() {
    let (server, cheap, dear) = market().await;
    let small = placed(&server, "iris", 400).await;
    server.report(&cheap, Ready).await;
    let version = server.function("iris", "1MiB", "another model").await;
    let mut next = order(&version, 1);
    next.cpu_milli = 900;
    let post = server.request(Method::POST, "/v1/deployments").json(&next);
    let grown: Deployment = expect(post, 201).await;
    assert_eq!(at(&grown), [dear.id]);
    server.report(&dear, Ready).await;

    let back = server.request(Method::POST, "/v1/functions/iris/rollback");
    let live: Deployment = expect(back.json(&serde_json::json!({})), 200).await;
    assert_eq!((live.id, live.cpu_milli), (small.id, 400));
    let live = server.until(live.id, |d| !d.leases.is_empty()).await;
    assert_eq!(at(&live), [cheap.id]);
    server.audit().await;
}

#[tokio::test]
async fn shares_that_cannot_be_kept_are_refused_and_who_says_none_has_the_usual_one() {
    let (mut server, ..) = market().await;
    for wrong in [0, 1001, u32::MAX] {
        let post = ordered(&server, "iris", wrong).await;
        refused(post, 422, "processors-out-of-range").await;
    }
    let version = server.function("iris", "1MiB", "iris").await;
    let silent = serde_json::json!({ "function": "iris", "digest": version.digest, "replicas": 1 });
    let post = server
        .request(Method::POST, "/v1/deployments")
        .json(&silent);
    let placed: Deployment = expect(post, 201).await;
    assert_eq!(placed.cpu_milli, 100);

    let mut boast = TestNode::new(3, GIB, 1);
    boast.offer.cpu_milli = 100_000_001;
    let nonce = server.challenge().await;
    let now = server.now_ms();
    let registration = boast.registration(&mut server.nsm, nonce, now);
    let post = server.anonymous(Method::POST, "/v1/nodes");
    refused(post.json(&registration), 422, "offer-out-of-range").await;
}
