use std::time::Instant;

use nacre_protocol::api::{Deployment, Function, Lease, Node, Page};
use nacre_protocol::control::FunctionState::{Failed, Loading, Ready};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::DeploymentId;
use reqwest::Method;

use crate::support::{Server, TestNode, expect, order, refused, statement};

const GIB: u64 = 1 << 30;

/// A server and nodes of 1 GiB at these asks.
async fn market<const N: usize>(prices: [u64; N]) -> (Server, [TestNode; N]) {
    let mut server = Server::start().await;
    let mut n = 0;
    let mut nodes = prices.map(|price| {
        n += 1;
        TestNode::new(n, GIB, price)
    });
    for node in &mut nodes {
        server.register(node).await;
    }
    (server, nodes)
}

#[tokio::test]
async fn the_lowest_ask_wins_and_its_node_is_told() {
    let (server, [dear, cheap]) = market([9, 4]).await;
    let version = server.function("iris", "512MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    assert_eq!(deployment.state, Loading);
    assert_eq!(
        (deployment.leases[0].node, deployment.leases[0].price),
        (cheap.id, 4)
    );
    assert_eq!(deployment.leases[0].endpoint, "127.0.0.1:7002");
    let desired = server.desired(&cheap, "").await;
    assert_eq!(desired.functions.len(), 1);
    assert_eq!(desired.functions[0].lease, deployment.leases[0].id);
    assert_eq!(desired.functions[0].digest, version.digest);
    assert_eq!(server.desired(&dear, "").await.functions, []);
    let nodes: Page<Node> = server.get("/v1/nodes").await;
    let reserved: Vec<_> = nodes.items.iter().map(|node| node.reserved_bytes).collect();
    assert_eq!(reserved, [0, GIB / 2]);

    server.report(&cheap, Ready).await;
    let ready = server.deployment(deployment.id).await;
    assert_eq!((ready.state, ready.reason), (Ready, None));
    let function: Function = server.get("/v1/functions/iris").await;
    assert_eq!(function.deployment.unwrap().state, Ready);
}

#[tokio::test]
async fn orders_are_checked() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let other = server.function("other", "1MiB", "model").await;
    let post = |order| server.request(Method::POST, "/v1/deployments").json(&order);
    for replicas in [0, 101] {
        refused(
            post(order(&version, replicas)),
            422,
            "replicas-out-of-range",
        )
        .await;
    }
    let mut bad = order(&version, 1);
    bad.max_price = Some(u64::MAX);
    refused(post(bad), 422, "price-out-of-range").await;
    let mut bad = order(&version, 1);
    bad.digest = Digest::of(b"no version");
    refused(post(bad), 404, "version-not-found").await;
    let mut bad = order(&version, 1);
    bad.digest = other.digest;
    refused(post(bad), 404, "version-not-found").await;
    let mut bad = order(&version, 1);
    bad.function = "nobody".parse().unwrap();
    refused(post(bad), 404, "function-not-found").await;
    let id = DeploymentId::from_random([0; 16]);
    let unknown = server.request(Method::GET, &format!("/v1/deployments/{id}"));
    refused(unknown, 404, "deployment-not-found").await;
}

#[tokio::test]
async fn an_order_that_fits_nowhere_waits_with_its_reason_and_runs_when_a_node_comes() {
    let mut server = Server::start().await;
    let version = server.function("iris", "512MiB", "model").await;
    let mut ceiling = order(&version, 1);
    ceiling.max_price = Some(5);
    let post = server
        .request(Method::POST, "/v1/deployments")
        .json(&ceiling);
    let waiting: Deployment = expect(post, 201).await;
    assert_eq!((waiting.state, waiting.leases.len()), (Loading, 0));
    assert!(waiting.reason.unwrap().contains("no node is online"));

    let mut dear = TestNode::new(1, GIB, 6);
    server.register(&mut dear).await;
    let reason = server.deployment(waiting.id).await.reason.unwrap();
    assert!(
        reason.contains("lowest ask of a node with room is 6"),
        "{reason}"
    );
    let mut small = TestNode::new(2, GIB / 4, 1);
    server.register(&mut small).await;
    let mut fits = TestNode::new(3, GIB, 5);
    server.register(&mut fits).await;
    let placed = server.deployment(waiting.id).await;
    assert_eq!(placed.leases[0].node, fits.id);
}

#[tokio::test]
async fn capacity_that_a_deleted_function_frees_goes_to_who_waits() {
    let (server, [node]) = market([1]).await;
    let first = server.function("first", "768MiB", "a").await;
    let second = server.function("second", "768MiB", "b").await;
    server.deploy(&first, 1).await;
    let waiting = server.deploy(&second, 1).await;
    assert!(
        waiting.reason.unwrap().contains("268435456"),
        "names what is free"
    );
    server
        .request(Method::DELETE, "/v1/functions/first")
        .send()
        .await
        .unwrap();
    let placed = server.deployment(waiting.id).await;
    assert_eq!(placed.leases[0].node, node.id);
}

#[tokio::test]
async fn a_failed_replica_fails_the_deployment_with_its_reason() {
    let (server, [node]) = market([1]).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    server.report(&node, Failed).await;
    let failed = server.deployment(deployment.id).await;
    assert_eq!(
        (failed.state, failed.reason.as_deref()),
        (Failed, Some("not-onnx: no graph"))
    );
    // It is tried again after a while, and has failed until it answers.
    assert_eq!(server.desired(&node, "").await.functions, []);
    for _ in 0..4 {
        server.pass(2500);
        server.report(&node, Failed).await;
    }
    let again = server
        .until(deployment.id, |again| !again.leases.is_empty())
        .await;
    assert_eq!(again.state, Failed);
    server.report(&node, Ready).await;
    let ready = server.deployment(deployment.id).await;
    assert_eq!((ready.state, ready.reason), (Ready, None));
}

#[tokio::test]
async fn a_long_poll_ends_when_the_deployment_is_ready() {
    let (server, [node]) = market([1]).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    let path = format!("/v1/deployments/{}?wait_ms=60000", deployment.id);
    let began = Instant::now();
    let (polled, ()) = tokio::join!(server.get::<Deployment>(&path), server.report(&node, Ready));
    assert_eq!(polled.state, Ready);
    assert!(began.elapsed().as_secs() < 30);
    // And at its time when nothing happens.
    let path = format!(
        "/v1/deployments/{}?wait_ms=50&after_state=ready",
        deployment.id
    );
    assert_eq!(server.get::<Deployment>(&path).await.state, Ready);
}

#[tokio::test]
async fn a_new_deployment_swaps_in_place_and_keeps_the_old_elsewhere_until_it_is_ready() {
    let (server, [a, b]) = market([1, 2]).await;
    let old = server.function("iris", "768MiB", "one").await;
    let new = server.function("iris", "768MiB", "two").await;
    let first = server.deploy(&old, 2).await;
    server.report(&a, Ready).await;
    server.report(&b, Ready).await;

    // Fits on `a` only in the old one's place; `b` goes on with the old version.
    let second = server.deploy(&new, 1).await;
    assert_eq!(second.leases[0].node, a.id);
    assert_eq!(server.desired(&a, "").await.functions[0].digest, new.digest);
    assert_eq!(server.desired(&b, "").await.functions[0].digest, old.digest);
    let replaced = server.deployment(first.id).await;
    assert_eq!(replaced.state, Failed);
    assert_eq!(
        replaced.reason,
        Some(format!("replaced by deployment {}", second.id))
    );
    server.report(&b, Ready).await;
    assert_eq!(server.desired(&b, "").await.functions.len(), 1);

    server.report(&a, Ready).await;
    assert_eq!(server.deployment(second.id).await.state, Ready);
    // What `b` has begun it finishes; nothing new goes there.
    let old = server.deployment(first.id).await.leases;
    assert_eq!((old.len(), old[0].node, old[0].draining), (1, b.id, true));
    server.report(&b, Ready).await;
    assert_eq!(server.desired(&b, "").await.functions.len(), 1);
    server.pass(2500);
    server.report(&b, Ready).await;
    assert_eq!(server.desired(&b, "").await.functions, []);
}

#[tokio::test]
async fn a_lease_moves_off_a_silent_node_and_the_node_is_told_when_it_is_back() {
    let (server, [cheap, dear]) = market([1, 2]).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    server.report(&cheap, Ready).await;
    server.pass(3000);
    server.report(&dear, Ready).await;
    server.pass(3000);
    let moved = server.until(deployment.id, |d| d.leases.len() == 2).await;
    assert_eq!((moved.state, moved.leases[1].node), (Loading, dear.id));
    server.report(&dear, Ready).await;
    let moved = server.deployment(deployment.id).await;
    assert_eq!((moved.state, moved.leases.len()), (Ready, 1));
    let nodes: Page<Node> = server.get("/v1/nodes").await;
    let online: Vec<_> = nodes.items.iter().map(|node| node.online).collect();
    assert_eq!(online, [false, true]);

    // Back again, it has nothing to run. It is cheaper, so the lease moves back, when it answers there and not before.
    assert_eq!(server.desired(&cheap, "").await.functions, []);
    server.report(&cheap, Ready).await;
    let both = server.until(deployment.id, |d| d.leases.len() == 2).await;
    let dear_one = both.leases.iter().find(|lease| lease.node == dear.id);
    assert!(dear_one.is_some_and(|lease| lease.state == Ready && !lease.draining));
    server.report(&cheap, Ready).await;
    let back = server.deployment(deployment.id).await;
    let drains = |lease: &Lease| lease.draining == (lease.node == dear.id);
    assert!(back.leases.iter().all(drains), "{back:?}");
}

#[tokio::test]
async fn a_lease_without_another_place_stays_and_goes_on_when_the_node_is_back() {
    let (server, [node]) = market([1]).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    server.report(&node, Ready).await;
    server.pass(6000);
    let lost = server.until(deployment.id, |d| d.state == Loading).await;
    assert_eq!(lost.leases.len(), 1);
    assert!(lost.reason.unwrap().contains("no node is online"));
    server.report(&node, Ready).await;
    let back = server.deployment(deployment.id).await;
    assert_eq!(
        (back.state, back.leases),
        (
            Ready,
            deployment
                .leases
                .iter()
                .cloned()
                .map(|mut lease| {
                    lease.state = Ready;
                    lease
                })
                .collect()
        )
    );
}

#[tokio::test]
async fn a_new_boot_gets_its_desired_state_again_and_its_leases_are_loading() {
    let (mut server, [mut node]) = market([1]).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    server.report(&node, Ready).await;
    let before = server.desired(&node, "").await;
    node.statement = statement(77);
    server.register(&mut node).await;
    assert_eq!(server.deployment(deployment.id).await.state, Loading);
    let query = format!("?after={}&wait_ms=60000", before.revision);
    let after = server.desired(&node, &query).await;
    assert!(after.revision > before.revision);
    assert_eq!(after.functions, before.functions);
    server.report(&node, Ready).await;
    assert_eq!(server.deployment(deployment.id).await.state, Ready);
}

#[tokio::test]
async fn a_node_that_comes_back_smaller_keeps_what_fits() {
    let (mut server, [mut node]) = market([1]).await;
    let first = server.function("first", "512MiB", "a").await;
    let second = server.function("second", "512MiB", "b").await;
    let first = server.deploy(&first, 1).await;
    server.pass(1);
    let second = server.deploy(&second, 1).await;
    node.offer.memory_bytes = GIB - 1;
    server.register(&mut node).await;
    assert_eq!(server.deployment(first.id).await.leases.len(), 1);
    let short = server.deployment(second.id).await;
    assert_eq!(short.leases, []);
    assert!(short.reason.is_some());
}
