//! What is another organisation's is not there.

use std::time::Duration;

use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_protocol::api::{Function, Page};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::DeploymentId;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, bundle, expect, files, order, refused};

fn files_of(server: &Server) -> Vec<String> {
    files(server.data.path())
}

async fn stranger(server: &Server) -> String {
    let order = KeyOrder {
        name: "stranger".to_owned(),
        organisation: "others".parse().unwrap(),
        scopes: Scope::OF_ORGANISATIONS.into(),
        lifetime: None,
    };
    let made = keys::create_with(&server.database, &order).await;
    made.unwrap().key
}

#[tokio::test]
async fn an_organisation_sees_its_own_functions_only() {
    let server = Server::start().await;
    let stranger = stranger(&server).await;
    let version = server.function("iris", "1MiB", "model").await;
    let deployment = server.deploy(&version, 1).await;
    let ask = |method: Method, path: &str| {
        let request = server.anonymous(method, path);
        request.bearer_auth(&stranger)
    };

    for list in ["/v1/functions", "/v1/jobs"] {
        let page: Page<Value> = expect(ask(Method::GET, list), 200).await;
        assert_eq!(page.items, Vec::<Value>::new(), "{list}");
    }
    for (method, path) in [
        (Method::GET, "/v1/functions/NAME"),
        (Method::GET, "/v1/functions/NAME/logs"),
        (Method::DELETE, "/v1/functions/NAME"),
    ] {
        let path = |name| path.replace("NAME", name);
        let there = refused(
            ask(method.clone(), &path("iris")),
            404,
            "function-not-found",
        )
        .await;
        let absent = refused(ask(method, &path("rose")), 404, "function-not-found").await;
        let renamed = serde_json::to_string(&absent)
            .unwrap()
            .replace("rose", "iris");
        assert_eq!(serde_json::to_string(&there).unwrap(), renamed);
    }
    let absent = DeploymentId::from_random([7; 16]);
    for id in [deployment.id, absent] {
        let path = format!("/v1/deployments/{id}");
        refused(ask(Method::GET, &path), 404, "deployment-not-found").await;
    }
    let deploy = ask(Method::POST, "/v1/deployments").json(&order(&version, 1));
    refused(deploy, 404, "function-not-found").await;

    let own: Page<Function> = server.get("/v1/functions").await;
    assert_eq!(own.items.len(), 1);
    assert_eq!(server.deployment(deployment.id).await.id, deployment.id);
}

#[tokio::test]
async fn a_blob_is_there_for_those_who_sent_its_bytes() {
    let server = Server::start().await;
    let stranger = stranger(&server).await;
    let bytes = b"weights".to_vec();
    assert_eq!(server.put(&bytes).await.status(), StatusCode::CREATED);
    let path = format!("/v1/blobs/{}", Digest::of(&bytes));
    let ask = |method: Method| server.anonymous(method, &path).bearer_auth(&stranger);
    refused(ask(Method::GET), 404, "blob-not-found").await;
    let head = ask(Method::HEAD).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::NOT_FOUND);

    // Whoever knows the digest only does not come by the bytes.
    let guess = ask(Method::PUT).body("guessed");
    refused(guess, 422, "digest-mismatch").await;
    refused(ask(Method::GET), 404, "blob-not-found").await;

    let put = || ask(Method::PUT).body(bytes.clone()).send();
    assert_eq!(put().await.unwrap().status(), StatusCode::CREATED);
    assert_eq!(put().await.unwrap().status(), StatusCode::OK);
    let got = ask(Method::GET).send().await.unwrap();
    assert_eq!(got.bytes().await.unwrap(), bytes);
}

#[tokio::test]
async fn what_others_keep_alive_is_forgotten_for_those_who_stopped_asking() {
    let mut server = Server::start().await;
    let stranger = stranger(&server).await;
    let (blobs, _) = bundle("iris", "1MiB", "model");
    let path = format!("/v1/blobs/{}", Digest::of(&blobs[1]));
    let ask = |method: Method| server.anonymous(method, &path).bearer_auth(&stranger);
    let put = ask(Method::PUT)
        .body(blobs[1].clone())
        .send()
        .await
        .unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    server.function("iris", "1MiB", "model").await;
    let head = ask(Method::HEAD).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);

    // Swept with everything else: an unused blob goes after who no longer holds which.
    let unused = Digest::of(b"unused").to_hex();
    assert_eq!(server.put(b"unused").await.status(), StatusCode::CREATED);
    server.stop().await;
    server.pass(2 * 3600 * 1000);
    server.resume().await;
    let swept = async {
        while files_of(&server).contains(&unused) {
            tokio::task::yield_now().await;
        }
    };
    let swept = tokio::time::timeout(Duration::from_secs(20), swept).await;
    swept.expect("unused blobs are collected");
    let ask = |method: Method| server.anonymous(method, &path).bearer_auth(&stranger);
    let head = ask(Method::HEAD).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::NOT_FOUND);
    let own = server.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_name_belongs_to_whom_had_it_first_and_is_free_again_when_deleted() {
    let server = Server::start().await;
    let stranger = stranger(&server).await;
    server.function("iris", "1MiB", "model").await;
    let (blobs, manifest) = bundle("iris", "1MiB", "model");
    let body = json!({ "digest": manifest.digest() });
    let create = || {
        let post = server.anonymous(Method::POST, "/v1/functions");
        post.bearer_auth(&stranger).json(&body)
    };
    // Without the bytes, the name is not even looked up.
    refused(create(), 422, "blob-missing").await;
    for file in blobs {
        let put = server.anonymous(Method::PUT, &format!("/v1/blobs/{}", Digest::of(&file)));
        let put = put.bearer_auth(&stranger).body(file).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::CREATED);
    }
    refused(create(), 409, "function-name-taken").await;

    let delete = server.request(Method::DELETE, "/v1/functions/iris");
    assert_eq!(
        delete.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    let _: Value = expect(create(), 201).await;
    refused(
        server.request(Method::GET, "/v1/functions/iris"),
        404,
        "function-not-found",
    )
    .await;
}
