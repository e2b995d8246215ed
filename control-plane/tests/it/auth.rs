use nacre_control_plane::keys;
use nacre_protocol::digest::Digest;
use reqwest::Method;

use crate::support::{Server, TestNode, expect, refused};

#[tokio::test]
async fn every_guarded_path_wants_a_valid_token() {
    let server = Server::start().await;
    let node = TestNode::new(1, 1, 1).id;
    let digest = Digest::of(b"x");
    let other_secret = format!("{}{}", &server.key[..23], "A".repeat(43));
    let other_id = server
        .key
        .replacen(&server.key[6..22], "0123456789abcdef", 1);
    let cut = server.key[..server.key.len() - 1].to_owned();
    for (method, path) in [
        (Method::GET, "/v1/functions".to_owned()),
        (Method::POST, "/v1/functions".to_owned()),
        (Method::GET, "/v1/functions/iris".to_owned()),
        (Method::DELETE, "/v1/functions/iris".to_owned()),
        (Method::GET, "/v1/functions/iris/logs".to_owned()),
        (Method::POST, "/v1/deployments".to_owned()),
        (Method::GET, "/v1/deployments/dep_00".to_owned()),
        (Method::GET, "/v1/nodes".to_owned()),
        (Method::GET, format!("/v1/nodes/{node}/desired")),
        (Method::POST, format!("/v1/nodes/{node}/observed")),
        (Method::PUT, format!("/v1/blobs/{digest}")),
        (Method::GET, format!("/v1/blobs/{digest}")),
    ] {
        let ask = || server.anonymous(method.clone(), &path);
        let response = ask().send().await.unwrap();
        assert!(
            response.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Bearer")
        );
        refused(ask(), 401, "unauthenticated").await;
        for token in ["", "nonsense", &other_secret, &other_id, &cut] {
            refused(ask().bearer_auth(token), 401, "unauthenticated").await;
        }
        let basic = ask().header("authorization", format!("Basic {}", server.key));
        refused(basic, 401, "unauthenticated").await;
        let twice = ask().bearer_auth(&server.key).bearer_auth(&server.key);
        refused(twice, 401, "unauthenticated").await;
    }
}

#[tokio::test]
async fn probes_and_the_document_need_none() {
    let server = Server::start().await;
    for (path, status) in [
        ("/docs", 200),
        ("/healthz", 204),
        ("/readyz", 204),
        ("/openapi.json", 200),
    ] {
        let response = server.anonymous(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn keys_open_no_nodes_doors_and_nodes_no_callers() {
    let mut server = Server::start().await;
    let (mut a, mut b) = (TestNode::new(1, 1, 1), TestNode::new(2, 1, 1));
    server.register(&mut a).await;
    server.register(&mut b).await;
    let path = format!("/v1/nodes/{}/desired", a.id);
    refused(server.request(Method::GET, &path), 403, "forbidden").await;
    let other = server.anonymous(Method::GET, &path).bearer_auth(&b.token);
    refused(other, 403, "forbidden").await;
    for path in ["/v1/functions", "/v1/nodes"] {
        let node = server.anonymous(Method::GET, path).bearer_auth(&a.token);
        refused(node, 403, "forbidden").await;
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_its_secret_is_stored_nowhere() {
    let server = Server::start().await;
    let made = keys::create(&server.database, "ci").await.unwrap();
    let ask = || {
        server
            .anonymous(Method::GET, "/v1/nodes")
            .bearer_auth(&made.key)
    };
    let _: serde_json::Value = expect(ask(), 200).await;

    let secret = made
        .key
        .rsplit_once(made.id.as_str())
        .unwrap()
        .1
        .trim_start_matches('_');
    let files = ["nacre.db", "nacre.db-wal"];
    for file in files.iter().filter(|_| !server.is_shared()) {
        let bytes = std::fs::read(server.data.path().join(file)).unwrap();
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{file}");
    }

    keys::revoke(&server.database, made.id.as_str())
        .await
        .unwrap();
    refused(ask(), 401, "unauthenticated").await;
    let all = keys::list(&server.database).await.unwrap();
    let listed: Vec<_> = all
        .iter()
        .map(|k| (k.name.as_str(), k.revoked_ms.is_some()))
        .collect();
    assert_eq!(listed, [("test", false), ("ci", true)]);
    assert!(
        keys::revoke(&server.database, "0123456789abcdef")
            .await
            .is_err()
    );
    assert!(keys::revoke(&server.database, "../nacre").await.is_err());
    assert!(keys::create(&server.database, "").await.is_err());
}
