use std::time::Duration;

use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_protocol::api::Page;
use nacre_protocol::api::keys::{ApiKey, IssuedKey};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::support::{Server, expect, refused};

fn ask(server: &Server, key: &str, method: Method, path: &str) -> RequestBuilder {
    server.anonymous(method, path).bearer_auth(key)
}

async fn status(server: &Server, key: &str) -> StatusCode {
    let asked = ask(server, key, Method::GET, "/v1/functions");
    asked.send().await.unwrap().status()
}

async fn make(server: &Server, by: &str, body: Value) -> IssuedKey {
    expect(ask(server, by, Method::POST, "/v1/keys").json(&body), 201).await
}

async fn rotate(server: &Server, id: &str, body: Value) -> IssuedKey {
    let path = format!("/v1/keys/{id}/rotate");
    expect(server.request(Method::POST, &path).json(&body), 200).await
}

#[tokio::test]
async fn a_key_is_made_listed_and_revoked_and_its_secret_is_shown_once() {
    let server = Server::start().await;
    let body = json!({ "name": "ci", "scopes": ["functions:read"] });
    let made = make(&server, &server.key, body).await;
    assert_eq!(made.about.scopes, [Scope::FunctionsRead].into());
    assert_eq!(status(&server, &made.key).await, 200);
    let deploy = ask(&server, &made.key, Method::POST, "/v1/deployments");
    refused(deploy.json(&json!({})), 403, "scope-missing").await;
    refused(
        ask(&server, &made.key, Method::GET, "/v1/keys"),
        403,
        "scope-missing",
    )
    .await;

    let path = format!("/v1/keys/{}", made.about.id);
    let one: ApiKey = server.get(&path).await;
    assert_eq!(one, made.about);
    let all: Page<ApiKey> = server.get("/v1/keys").await;
    let names: Vec<_> = all.items.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["test", "ci"]);
    let secret = &made.key["nacre_0123456789abcdef_".len()..];
    for path in [path.as_str(), "/v1/keys"] {
        let text: Value = server.get(path).await;
        assert!(!text.to_string().contains(secret));
    }

    for _ in 0..2 {
        let revoked = server.request(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    }
    assert_eq!(status(&server, &made.key).await, 401);
    let again = server.request(Method::POST, &format!("{path}/rotate"));
    refused(again.json(&json!({})), 409, "key-revoked").await;
}

#[tokio::test]
async fn after_a_rotation_both_secrets_are_taken_for_the_grace_time() {
    let server = Server::start().await;
    let body = json!({ "name": "ci", "scopes": ["functions:read"] });
    let first = make(&server, &server.key, body).await;
    let id = first.about.id.clone();
    let second = rotate(&server, &id, json!({ "grace_ms": 60_000 })).await;
    assert_eq!(second.about.id, id);
    assert_eq!(second.about.former_until_ms, Some(server.now_ms() + 60_000));
    for key in [&first.key, &second.key] {
        assert_eq!(status(&server, key).await, 200);
    }
    server.pass(59_999);
    assert_eq!(status(&server, &first.key).await, 200);
    server.pass(1);
    assert_eq!(status(&server, &first.key).await, 401);
    assert_eq!(status(&server, &second.key).await, 200);

    // Only one former secret at a time, and none where the grace is zero.
    let third = rotate(&server, &id, json!({})).await;
    let fourth = rotate(&server, &id, json!({})).await;
    assert_eq!(status(&server, &second.key).await, 401);
    assert_eq!(status(&server, &third.key).await, 200);
    let fifth = rotate(&server, &id, json!({ "grace_ms": 0 })).await;
    assert_eq!(status(&server, &fourth.key).await, 401);
    assert_eq!(status(&server, &fifth.key).await, 200);
    let path = format!("/v1/keys/{id}/rotate");
    let long = server.request(Method::POST, &path);
    let long = long.json(&json!({ "grace_ms": 2_592_000_001_u64 }));
    refused(long, 422, "key-grace-too-long").await;
}

#[tokio::test]
async fn of_two_who_rotate_a_key_at_once_one_is_told() {
    let server = Server::start().await;
    let body = json!({ "name": "ci", "scopes": ["functions:read"] });
    let made = make(&server, &server.key, body).await;
    let path = format!("/v1/keys/{}", made.about.id);
    let seen = server.request(Method::GET, &path).send().await.unwrap();
    let tag = seen.headers()["etag"].to_str().unwrap().to_owned();
    let turn = || {
        let post = server.request(Method::POST, &format!("{path}/rotate"));
        post.header("if-match", &tag).json(&json!({}))
    };
    let won: IssuedKey = expect(turn(), 200).await;
    refused(turn(), 412, "precondition-failed").await;
    assert_eq!(status(&server, &won.key).await, 200);
    let unread = server.request(Method::POST, &format!("{path}/rotate"));
    let unread = unread.header("if-match", "tag").json(&json!({}));
    refused(unread, 400, "if-match-invalid").await;
}

#[tokio::test]
async fn a_key_ends_when_it_was_to_end() {
    let server = Server::start().await;
    let end = server.now_ms() + 1_000;
    let body = json!({ "name": "ci", "scopes": ["functions:read", "admin"], "expires_ms": end });
    let made = make(&server, &server.key, body).await;
    // What it makes ends with it.
    let child = json!({ "name": "child", "scopes": ["functions:read"] });
    let child = make(&server, &made.key, child).await;
    assert_eq!(child.about.expires_ms, Some(end));
    let longer = json!({ "name": "x", "scopes": ["admin"], "expires_ms": end + 1 });
    let longer = ask(&server, &made.key, Method::POST, "/v1/keys").json(&longer);
    refused(longer, 403, "grant-too-wide").await;

    server.pass(999);
    assert_eq!(status(&server, &made.key).await, 200);
    server.pass(1);
    assert_eq!(status(&server, &made.key).await, 401);
    assert_eq!(status(&server, &child.key).await, 401);
    let past = json!({ "name": "x", "scopes": ["admin"], "expires_ms": end });
    let past = server.request(Method::POST, "/v1/keys").json(&past);
    refused(past, 422, "key-expiry-invalid").await;
}

#[tokio::test]
async fn nobody_gives_away_more_than_they_have() {
    let server = Server::start().await;
    let admin = json!({ "name": "admin", "scopes": ["admin", "jobs"] });
    let admin = make(&server, &server.key, admin).await.key;
    let wider = json!({ "name": "x", "scopes": ["functions:write"] });
    let wider = ask(&server, &admin, Method::POST, "/v1/keys").json(&wider);
    refused(wider, 403, "grant-too-wide").await;
    // A new secret of a wider key would be one's own.
    let path = format!("/v1/keys/{}/rotate", &server.key[6..22]);
    let steal = ask(&server, &admin, Method::POST, &path).json(&json!({}));
    refused(steal, 403, "grant-too-wide").await;
    make(&server, &admin, json!({ "name": "x", "scopes": ["jobs"] })).await;

    for (body, code) in [
        (
            json!({ "name": "", "scopes": ["jobs"] }),
            "key-name-invalid",
        ),
        (
            json!({ "name": "a\nb", "scopes": ["jobs"] }),
            "key-name-invalid",
        ),
        (json!({ "name": "x", "scopes": [] }), "key-scopes-missing"),
        (
            json!({ "name": "x", "scopes": ["everything"] }),
            "json-invalid",
        ),
    ] {
        let post = server.request(Method::POST, "/v1/keys").json(&body);
        refused(post, 422, code).await;
    }
}

#[tokio::test]
async fn keys_made_at_the_database_end_rotate_and_have_scopes_too() {
    let server = Server::start().await;
    let order = KeyOrder {
        name: "ci".to_owned(),
        organisation: "acme".parse().unwrap(),
        scopes: [Scope::FunctionsRead].into(),
        lifetime: Some(Duration::from_secs(3600 * 24 * 365 * 50)),
    };
    let made = keys::create_with(&server.database, &order).await.unwrap();
    assert_eq!(status(&server, &made.key).await, 200);
    let grace = Duration::from_secs(3600 * 24 * 30);
    let again = keys::rotate(&server.database, made.id.as_str(), grace)
        .await
        .unwrap();
    assert_eq!(status(&server, &again.key).await, 200);
    let listed = keys::list(&server.database).await.unwrap();
    let listed = listed
        .iter()
        .find(|key| key.id == made.id.as_str())
        .unwrap();
    assert_eq!(listed.organisation, Some(order.organisation.clone()));
    assert_eq!(listed.scopes, order.scopes);
    assert!(listed.expires_ms.is_some() && listed.rotated_ms.is_some());

    let too_long = keys::rotate(&server.database, made.id.as_str(), grace * 2).await;
    assert!(too_long.is_err());
    let none = KeyOrder {
        scopes: [].into(),
        ..order
    };
    assert!(keys::create_with(&server.database, &none).await.is_err());
}
