use nacre_protocol::api::{Deployment, Function};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::support::{Server, order, refused};

const DAY_MS: u64 = 24 * 3600 * 1000;

async fn answer(request: RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_and_one_effect() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let ask = |key: &str, replicas| {
        let post = server.request(Method::POST, "/v1/deployments");
        post.header("idempotency-key", key)
            .json(&order(&version, replicas))
    };
    let first = answer(ask("one", 1)).await;
    assert_eq!(first.0, 201);
    let other = answer(ask("two", 1)).await;
    assert_ne!(first, other);
    // The first deployment has been replaced meanwhile; the answer is still the stored one.
    assert_eq!(answer(ask("one", 1)).await, first);
    refused(ask("one", 2), 409, "idempotency-key-reused").await;
    let elsewhere = server
        .request(Method::POST, "/v1/functions")
        .header("idempotency-key", "one");
    let elsewhere = elsewhere.json(&json!({ "digest": version.digest }));
    refused(elsewhere, 409, "idempotency-key-reused").await;

    let function: Function = server.get("/v1/functions/iris").await;
    let live: Deployment = serde_json::from_str(&other.1).unwrap();
    assert_eq!(function.deployment.unwrap().id, live.id);
}

#[tokio::test]
async fn concurrent_duplicates_have_one_effect() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let asks = (0..16).map(|_| {
        let post = server.request(Method::POST, "/v1/deployments");
        answer(
            post.header("idempotency-key", "k")
                .json(&order(&version, 1)),
        )
    });
    let answers = futures_util::future::join_all(asks).await;
    assert_eq!(answers[0].0, 201);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn keys_belong_to_their_principal_and_expire_after_a_day() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let other = nacre_control_plane::keys::create(&server.database, "other")
        .await
        .unwrap();
    let ask = |token: &str| {
        let post = server
            .anonymous(Method::POST, "/v1/deployments")
            .bearer_auth(token);
        answer(
            post.header("idempotency-key", "k")
                .json(&order(&version, 1)),
        )
    };
    let first = ask(&server.key).await;
    assert_ne!(ask(&other.key).await.1, first.1);
    server.pass(DAY_MS - 1);
    assert_eq!(ask(&server.key).await, first);
    server.pass(1);
    assert_ne!(ask(&server.key).await, first);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let server = Server::start().await;
    let (blobs, bundle) = crate::support::bundle("iris", "1MiB", "model");
    let ask = || {
        let post = server.request(Method::POST, "/v1/functions");
        post.header("idempotency-key", "k")
            .json(&json!({ "digest": bundle.digest() }))
    };
    refused(ask(), 422, "blob-missing").await;
    for blob in &blobs {
        server.put(blob).await;
    }
    assert_eq!(answer(ask()).await.0, 201);
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_refused() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let ask = || {
        server
            .request(Method::POST, "/v1/deployments")
            .json(&order(&version, 1))
    };
    for bad in ["", "two words", &"k".repeat(256)] {
        let bad = ask().header("idempotency-key", bad);
        refused(bad, 400, "idempotency-key-invalid").await;
    }
    let twice = ask()
        .header("idempotency-key", "a")
        .header("idempotency-key", "b");
    refused(twice, 400, "idempotency-key-invalid").await;
}
