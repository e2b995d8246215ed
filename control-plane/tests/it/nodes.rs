use nacre_protocol::api::{LogLine, ObservedFunction, Page};
use nacre_protocol::control::Event;
use nacre_protocol::control::FunctionState::{Loading, Ready};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::LeaseId;
use reqwest::StatusCode;

use crate::support::{Server, TestNode, refused, statement};

fn event(seq: u64, function: &str, message: &str) -> Event {
    Event {
        seq,
        at_ms: 1000,
        function: function.parse().unwrap(),
        code: "worker-crashed".to_owned(),
        message: message.to_owned(),
    }
}

/// A server where node 1 runs `iris`.
async fn running() -> (Server, TestNode) {
    let mut server = Server::start().await;
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register(&mut node).await;
    let version = server.function("iris", "1MiB", "model").await;
    server.deploy(&version, 1).await;
    (server, node)
}

#[tokio::test]
async fn the_desired_state_is_told_as_soon_as_it_changes() {
    let (server, node) = running().await;
    let now = server.desired(&node, "").await;
    let other = server.function("other", "1MiB", "b").await;
    let query = format!("?after={}&wait_ms=60000", now.revision);
    let (told, _) = tokio::join!(server.desired(&node, &query), server.deploy(&other, 1));
    assert_eq!(told.functions.len(), 2);
    assert!(told.revision > now.revision);
    // Nothing new: the same revision when the time is up.
    let query = format!("?after={}&wait_ms=20", told.revision);
    assert_eq!(server.desired(&node, &query).await, told);
    // A report changes nothing that is desired.
    server.report(&node, Ready).await;
    assert_eq!(server.desired(&node, "").await, told);
}

#[tokio::test]
async fn a_report_of_another_boot_is_refused() {
    let (server, mut node) = running().await;
    node.statement = statement(9);
    let report = node.report(vec![], vec![]);
    refused(server.observe(&node, &report), 409, "boot-changed").await;
}

#[tokio::test]
async fn a_report_speaks_of_its_own_leases_and_digests_only() {
    let (server, node) = running().await;
    server.report(&node, Ready).await;
    let desired = server.desired(&node, "").await;
    let lease = desired.functions[0].lease;
    let observed = |lease, digest| ObservedFunction {
        lease,
        digest,
        state: Ready,
        error: None,
        in_flight: None,
        oldest_wait_ms: None,
    };
    for functions in [
        vec![],
        vec![observed(lease, Digest::of(b"other"))],
        vec![observed(
            LeaseId::from_random([0; 16]),
            desired.functions[0].digest,
        )],
    ] {
        let report = node.report(functions, vec![]);
        let response = server.observe(&node, &report).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        let function: nacre_protocol::api::Function = server.get("/v1/functions/iris").await;
        assert_eq!(function.deployment.unwrap().leases[0].state, Loading);
        server.report(&node, Ready).await;
    }
}

#[tokio::test]
async fn events_become_log_lines_once() {
    let (server, node) = running().await;
    let long = "ü".repeat(2000);
    let events = vec![
        event(1, "iris", "one"),
        event(2, "unknown", "x"),
        event(3, "iris", &long),
    ];
    let report = node.report(vec![], events);
    for _ in 0..2 {
        let response = server.observe(&node, &report).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
    let page: Page<LogLine> = server.get("/v1/functions/iris/logs").await;
    let lines: Vec<_> = page
        .items
        .iter()
        .map(|line| (line.id, line.event.seq))
        .collect();
    assert_eq!((lines, page.next), (vec![(1, 1), (2, 3)], None));
    assert_eq!(page.items[0].event, event(1, "iris", "one"));
    assert_eq!(
        (page.items[0].node, page.items[0].boot_id),
        (node.id, node.boot())
    );
    assert_eq!(page.items[1].event.message, "ü".repeat(512));
    let first: Page<LogLine> = server.get("/v1/functions/iris/logs?limit=1").await;
    assert_eq!(first.next.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_log_can_be_followed() {
    let (server, node) = running().await;
    let report = node.report(vec![], vec![event(1, "iris", "one")]);
    let follow = server.get::<Page<LogLine>>("/v1/functions/iris/logs?after=0&wait_ms=60000");
    let (page, sent) = tokio::join!(follow, server.observe(&node, &report).send());
    assert_eq!(sent.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(page.items.len(), 1);
    let none: Page<LogLine> = server
        .get("/v1/functions/iris/logs?after=1&wait_ms=20")
        .await;
    assert_eq!(none.items, []);
}

#[tokio::test]
async fn reports_are_bounded() {
    let (server, node) = running().await;
    let many = (0..257).map(|n| event(n, "iris", "x")).collect();
    refused(
        server.observe(&node, &node.report(vec![], many)),
        422,
        "report-too-long",
    )
    .await;
    for code in ["", "Bad Code", &"x".repeat(65)] {
        let mut bad = event(1, "iris", "x");
        bad.code = code.to_owned();
        let report = node.report(vec![], vec![bad]);
        refused(server.observe(&node, &report), 422, "event-invalid").await;
    }
    let report = node.report(vec![], vec![event(u64::MAX, "iris", "x")]);
    refused(server.observe(&node, &report), 422, "event-invalid").await;
}
