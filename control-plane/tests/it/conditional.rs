//! ETags, conditions and cursors.

use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_protocol::api::{Function, Page};
use nacre_protocol::digest::Digest;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::{Server, TestNode, expect, order, refused};

async fn tag(server: &Server, path: &str) -> String {
    let response = server.request(Method::GET, path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.headers()["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_has_an_answer_is_told_so_until_it_changes() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let blob = format!("/v1/blobs/{}", Digest::of(b"model"));
    for path in [
        "/v1/functions",
        "/v1/functions/iris",
        "/v1/keys",
        blob.as_str(),
    ] {
        let tag = tag(&server, path).await;
        let with = |known: String| {
            let request = server.request(Method::GET, path);
            request.header("if-none-match", known).send()
        };
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let response = with(known).await.unwrap();
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{path}");
            assert_eq!(response.headers()["etag"], tag.as_str());
            assert!(response.bytes().await.unwrap().is_empty());
        }
        let other = with("\"other\"".to_owned()).await.unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        assert!(!other.bytes().await.unwrap().is_empty());
    }
    let before = tag(&server, "/v1/functions/iris").await;
    server.deploy(&version, 1).await;
    assert_ne!(tag(&server, "/v1/functions/iris").await, before);
}

#[tokio::test]
async fn an_update_based_on_what_is_no_more_is_refused() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    let tag = tag(&server, "/v1/functions/iris").await;
    let deploy = || {
        let post = server.request(Method::POST, "/v1/deployments");
        post.header("if-match", &tag).json(&order(&version, 1))
    };
    let _: Value = expect(deploy(), 201).await;
    // Somebody deployed since.
    refused(deploy(), 412, "precondition-failed").await;
    let delete = server.request(Method::DELETE, "/v1/functions/iris");
    refused(delete.header("if-match", &tag), 412, "precondition-failed").await;
    let unread = server.request(Method::DELETE, "/v1/functions/iris");
    refused(unread.header("if-match", "iris"), 400, "if-match-invalid").await;
    let now = self::tag(&server, "/v1/functions/iris").await;
    let delete = server.request(Method::DELETE, "/v1/functions/iris");
    let deleted = delete.header("if-match", now).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_cursor_leads_on_and_any_other_text_is_refused() {
    let mut server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.function(name, "1MiB", name).await;
    }
    for n in 1..=2 {
        server.register(&mut TestNode::new(n, 1, 1)).await;
    }
    let first: Page<Function> = server.get("/v1/functions?limit=2").await;
    let cursor = first.next.unwrap();
    let rest: Page<Function> = server.get(&format!("/v1/functions?after={cursor}")).await;
    let names: Vec<_> = rest.items.iter().map(|f| f.name.to_string()).collect();
    assert_eq!((names, rest.next), (vec!["c".to_owned()], None));

    let nodes: Page<Value> = server.get("/v1/nodes?limit=1").await;
    let of_nodes = nodes.next.unwrap();
    let stranger = KeyOrder {
        name: "stranger".to_owned(),
        organisation: "others".parse().unwrap(),
        scopes: Scope::OF_ORGANISATIONS.into(),
        lifetime: None,
    };
    let stranger = keys::create_with(&server.database, &stranger)
        .await
        .unwrap();
    let theirs = server.anonymous(Method::GET, &format!("/v1/functions?after={cursor}"));
    refused(theirs.bearer_auth(&stranger.key), 400, "cursor-invalid").await;
    for list in ["functions", "jobs", "nodes", "keys", "audit"] {
        for bad in ["a", "Yg.AAAA", "%00", of_nodes.as_str(), cursor.as_str()] {
            let own =
                (list == "nodes" && bad == of_nodes) || (list == "functions" && bad == cursor);
            if !own {
                let path = format!("/v1/{list}?after={bad}");
                refused(server.request(Method::GET, &path), 400, "cursor-invalid").await;
            }
        }
    }
    server.stop().await;
    server.resume().await;
    let rest: Page<Function> = server.get(&format!("/v1/functions?after={cursor}")).await;
    assert_eq!(rest.items.len(), 1, "a cursor outlives a restart");
}
