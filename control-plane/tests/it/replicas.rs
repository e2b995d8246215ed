//! Two control planes on one PostgreSQL: what one does, the other knows. Alone on SQLite there is nothing to show.

use nacre_control_plane::ControlPlane;
use nacre_protocol::api::{Deployment, DesiredState, LogLine, Page, Registered};
use nacre_protocol::control::Event;
use nacre_protocol::control::FunctionState::Ready;
use reqwest::{Method, StatusCode};

use crate::support::{Server, TestNode, expect, order, refused};

/// All tests of this binary but this one.
#[test]
fn postgresql_keeps_the_same_promises() {
    crate::postgres::rerun("postgresql_keeps_the_same_promises");
}

/// A control plane, and a second one beside it.
async fn two() -> Option<(Server, ControlPlane)> {
    let server = Server::start().await;
    if !server.is_shared() {
        return None;
    }
    let other = server.another().await.unwrap();
    Some((server, other))
}

/// Whether the database answers, by the probe for that.
async fn is_ready(server: &Server) -> bool {
    let probe = server.anonymous(Method::GET, "/readyz").send().await;
    probe.unwrap().status() == StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_went_away_is_missed_politely_and_found_again() {
    // Its own server, and once: not again in the run where all have PostgreSQL.
    if crate::postgres::fresh_database().is_some() {
        return;
    }
    let Some(mut postgres) = crate::postgres::Server::start() else {
        return;
    };
    let mut server = Server::on(Some(postgres.create_database()), |_| {}).await;
    let other = server.another().await.unwrap();
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register(&mut node).await;
    let revision = server.desired(&node, "").await.revision;

    postgres.stop();
    let away = refused(
        server.request(Method::GET, "/v1/nodes"),
        503,
        "database-unavailable",
    );
    assert_eq!(away.await.detail, None);
    assert!(
        server
            .anonymous(Method::GET, "/healthz")
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert!(!is_ready(&server).await);

    postgres.resume();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !is_ready(&server).await {
        assert!(
            std::time::Instant::now() < deadline,
            "the database is there again"
        );
    }
    // Nothing of it was lost, and polls hear of changes again.
    assert_eq!(server.desired(&node, "").await.revision, revision);
    let version = server.function("iris", "1MiB", "model").await;
    let path = format!(
        "/v1/nodes/{}/desired?after={revision}&wait_ms=15000",
        node.id
    );
    let began = std::time::Instant::now();
    let poll = server.client.get(format!("{}{path}", other.url()));
    let poll = poll.bearer_auth(&node.token).send();
    let (polled, _) = tokio::join!(poll, server.deploy(&version, 1));
    let desired: DesiredState = polled.unwrap().json().await.unwrap();
    assert_eq!(desired.functions.len(), 1);
    assert!(began.elapsed().as_secs() < 10, "the poll ran out");
}

#[tokio::test]
async fn a_nonce_of_one_registers_at_the_other_and_once_at_both() {
    let Some((mut server, other)) = two().await else {
        return;
    };
    let node = TestNode::new(1, 1, 1);
    let nonce = server.challenge().await;
    let now = server.now_ms();
    let request = node.registration(&mut server.nsm, nonce, now);
    let post = |url: &str| server.client.post(format!("{url}/v1/nodes")).json(&request);
    let _: Registered = expect(post(&other.url()), 201).await;
    refused(post(&server.url), 403, "nonce-invalid").await;
}

#[tokio::test]
async fn a_change_at_one_ends_polls_at_the_other() {
    let Some((mut server, other)) = two().await else {
        return;
    };
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register(&mut node).await;
    let version = server.function("iris", "1MiB", "model").await;
    let revision = server.desired(&node, "").await.revision;

    // Longer than the test may take: only news ends them.
    let get = |path: String, token: &str| {
        let url = format!("{}{path}", other.url());
        let request = server.client.get(url).bearer_auth(token);
        async move { request.send().await.unwrap() }
    };
    let desired = format!(
        "/v1/nodes/{}/desired?after={revision}&wait_ms=60000",
        node.id
    );
    let began = std::time::Instant::now();
    let order = server
        .request(Method::POST, "/v1/deployments")
        .json(&order(&version, 1));
    let (desired, deployment) =
        tokio::join!(get(desired, &node.token), expect::<Deployment>(order, 201));
    let desired: DesiredState = desired.json().await.unwrap();
    assert_eq!(desired.functions.len(), 1);

    let deployed = format!("/v1/deployments/{}?wait_ms=60000", deployment.id);
    let (deployed, ()) = tokio::join!(get(deployed, &server.key), server.report(&node, Ready));
    assert_eq!(deployed.json::<Deployment>().await.unwrap().state, Ready);

    let event = Event {
        seq: 1,
        at_ms: 1,
        function: "iris".parse().unwrap(),
        code: "loaded".to_owned(),
        message: String::new(),
    };
    let report = node.report(vec![], vec![event]);
    let logs = "/v1/functions/iris/logs?wait_ms=60000".to_owned();
    let (logs, told) = tokio::join!(
        get(logs, &server.key),
        server.observe(&node, &report).send()
    );
    assert_eq!(told.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(logs.json::<Page<LogLine>>().await.unwrap().items.len(), 1);
    assert!(began.elapsed().as_secs() < 30, "a poll ran out");
}

#[tokio::test]
async fn a_question_asked_at_both_has_one_answer_and_one_effect() {
    let Some((server, other)) = two().await else {
        return;
    };
    let version = server.function("iris", "1MiB", "model").await;
    let ask = |url: &str| {
        let post = server.client.post(format!("{url}/v1/deployments"));
        let post = post.bearer_auth(&server.key).header("idempotency-key", "k");
        let post = post.json(&order(&version, 1));
        async move { post.send().await.unwrap().text().await.unwrap() }
    };
    let urls = [server.url.clone(), other.url()];
    let answers = (0..16).map(|n| ask(&urls[n % 2]));
    let answers = futures_util::future::join_all(answers).await;
    assert!(serde_json::from_str::<Deployment>(&answers[0]).is_ok());
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}
