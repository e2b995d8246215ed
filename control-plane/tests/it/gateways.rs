//! Gateways of the platform: the routes of everybody's functions, and nothing else.

use std::time::Duration;

use nacre_control_plane::keys::{self, KeyError, KeyOrder, NewKey, Scope};
use nacre_protocol::api::Page;
use nacre_protocol::api::audit::AuditEntry;
use nacre_protocol::api::keys::ApiKey;
use nacre_protocol::api::market::FunctionRoutes;
use nacre_protocol::control::FunctionState::Ready;
use nacre_protocol::digest::Digest;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::document::{document, operations};
use crate::support::{Server, TestNode, bundle, expect, order, refused};

/// Two organisations with a function each on one node, and a third's function that is not deployed.
struct World {
    server: Server,
    acme: String,
    gateway: NewKey,
}

impl World {
    async fn start() -> Self {
        let mut server = Server::start().await;
        let mut node = TestNode::new(1, 1 << 30, 1);
        server.register(&mut node).await;
        let made = keys::create_for_gateway(&server.database, "edge", None).await;
        let world = Self {
            acme: key_of(&server, "acme", &Scope::OF_ORGANISATIONS).await,
            gateway: made.unwrap(),
            server,
        };
        let version = world.server.function("iris", "1MiB", "model").await;
        world.server.deploy(&version, 1).await;
        world.server.function("idle", "1MiB", "model").await;
        world.acme_deploys("rose").await;
        for _ in 0..3 {
            world.server.report(&node, Ready).await;
            world.server.pass(2_500);
        }
        world
    }

    fn ask(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.server.anonymous(method, path).bearer_auth(key)
    }

    fn gateway(&self, method: Method, path: &str) -> RequestBuilder {
        self.ask(&self.gateway.key, method, path)
    }

    async fn acme_deploys(&self, name: &str) {
        let (files, manifest) = bundle(name, "1MiB", "model");
        for file in files {
            let path = format!("/v1/blobs/{}", Digest::of(&file));
            let put = self.ask(&self.acme, Method::PUT, &path).body(file);
            assert!(put.send().await.unwrap().status().is_success());
        }
        let create = self.ask(&self.acme, Method::POST, "/v1/functions");
        let create = create.json(&json!({ "digest": manifest.digest() }));
        let version = expect(create, 201).await;
        let deploy = self.ask(&self.acme, Method::POST, "/v1/deployments");
        let _: Value = expect(deploy.json(&order(&version, 1)), 201).await;
    }

    /// The functions that this key sees routes of, each with how many nodes answer.
    async fn routes(&self, key: &str) -> Vec<(String, usize)> {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/routes?limit=1&after={next}");
            let page: Page<FunctionRoutes> = expect(self.ask(key, Method::GET, &path), 200).await;
            seen.extend(page.items.into_iter().map(|of| {
                let nodes = of.routes.iter().map(|route| route.nodes.len()).sum();
                (of.function.to_string(), nodes)
            }));
            match page.next {
                Some(cursor) => next = cursor,
                None => return seen,
            }
        }
    }

    /// The platform's own log without what is drawn at random, the earliest first.
    async fn log(&self) -> Vec<String> {
        let log = keys::platform_log(&self.server.database, 1000).await;
        let line = |entry: &AuditEntry| {
            assert_eq!(entry.key, self.gateway.id.as_str());
            let code = entry.code.clone().unwrap_or_default();
            let line = format!("{} {} {code}", entry.action, entry.status);
            line.trim().to_owned()
        };
        log.unwrap().iter().rev().map(line).collect()
    }
}

async fn key_of(server: &Server, organisation: &str, scopes: &[Scope]) -> String {
    let order = KeyOrder {
        name: "ci".to_owned(),
        organisation: organisation.parse().unwrap(),
        scopes: scopes.iter().copied().collect(),
        lifetime: None,
    };
    let made = keys::create_with(&server.database, &order).await;
    made.unwrap().key
}

fn demand(request: RequestBuilder) -> RequestBuilder {
    request.json(&json!({ "source": "edge-1", "waiting": 1, "oldest_wait_ms": 5 }))
}

#[tokio::test]
async fn the_platforms_gateway_sees_everybodys_routes_and_an_organisations_its_own() {
    let world = World::start().await;
    let seen = |names: &[&str]| -> Vec<(String, usize)> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    };
    assert_eq!(
        world.routes(&world.gateway.key).await,
        seen(&["iris", "rose"])
    );
    assert_eq!(world.routes(&world.server.key).await, seen(&["iris"]));
    assert_eq!(world.routes(&world.acme).await, seen(&["rose"]));

    let cursor = async |key: &str| -> Option<String> {
        let ask = world.ask(key, Method::GET, "/v1/routes?limit=1");
        let page: Page<FunctionRoutes> = expect(ask, 200).await;
        page.next
    };
    // The list of all is nobody else's to go through.
    let of_all = cursor(&world.gateway.key).await.unwrap();
    let path = format!("/v1/routes?after={of_all}");
    let stranger = world.ask(&world.server.key, Method::GET, &path);
    refused(stranger, 400, "cursor-invalid").await;
}

#[tokio::test]
async fn it_says_who_waits_for_anybodys_function_and_an_organisations_for_its_own() {
    let world = World::start().await;
    let post = |key: &str, name: &str| {
        let path = format!("/v1/functions/{name}/demand");
        demand(world.ask(key, Method::POST, &path))
    };
    for name in ["iris", "rose"] {
        let told = post(&world.gateway.key, name).send().await.unwrap();
        assert_eq!(told.status(), 204, "{name}");
    }
    let told = post(&world.acme, "rose").send().await.unwrap();
    assert_eq!(told.status(), 204);
    refused(post(&world.acme, "iris"), 404, "function-not-found").await;
    let absent = post(&world.gateway.key, "tulip");
    refused(absent, 404, "function-not-found").await;
    // It says so again and again: that is no news for the log.
    assert_eq!(world.log().await, ["createKey 200"]);
}

#[tokio::test]
async fn its_key_opens_nothing_else() {
    let world = World::start().await;
    let document = document(&world.server).await;
    let mut tried = Vec::new();
    for (path, method, operation) in operations(&document) {
        let security = operation["security"].as_array().unwrap();
        let keys = security.iter().filter_map(|scheme| scheme.get("api_key"));
        let serves_gateways = keys.clone().any(|scopes| *scopes == json!(["gateway"]));
        let node = security.iter().any(|s| s.get("node_token").is_some());
        if serves_gateways || (keys.count() == 0 && !node) {
            continue;
        }
        let digest = Digest::of(b"nothing").to_string();
        let path = path
            .replace("{digest}", &digest)
            .replace("/functions/{name}", "/functions/iris")
            .replace("/keys/{id}", &format!("/keys/{}", world.gateway.id))
            .replace(
                "/nodes/{id}",
                "/nodes/node_01010101010101010101010101010101",
            )
            .replace("{id}", "x")
            .replace("{job}", "x")
            .replace("{month}", "now");
        let asked = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = world.gateway(asked, &path).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{method} {path}");
        tried.push(format!("{method} {path}"));
    }
    assert!(tried.len() >= 40, "{tried:?}");
    let log = world.log().await;
    assert_eq!(log.len(), tried.len() + 1);
    assert!(log.contains(&"deleteFunction 403 scope-missing".to_owned()));
}

#[tokio::test]
async fn no_organisations_admin_makes_one_or_reaches_one() {
    let world = World::start().await;
    let before = world.log().await;
    for admin in [&world.server.key, &world.acme] {
        for scopes in [json!(["gateway"]), json!(["functions:read", "gateway"])] {
            let body = json!({ "name": "mine", "scopes": scopes });
            let post = world.ask(admin, Method::POST, "/v1/keys").json(&body);
            refused(post, 403, "grant-too-wide").await;
        }
        let path = format!("/v1/keys/{}", world.gateway.id);
        refused(world.ask(admin, Method::GET, &path), 404, "key-not-found").await;
        refused(
            world.ask(admin, Method::DELETE, &path),
            404,
            "key-not-found",
        )
        .await;
        let rotate = world.ask(admin, Method::POST, &format!("{path}/rotate"));
        refused(rotate.json(&json!({})), 404, "key-not-found").await;
        let all: Page<ApiKey> = expect(world.ask(admin, Method::GET, "/v1/keys"), 200).await;
        let ids: Vec<_> = all.items.iter().map(|key| key.id.as_str()).collect();
        assert!(!ids.contains(&world.gateway.id.as_str()), "{ids:?}");

        let ask = world.ask(admin, Method::GET, "/v1/audit?limit=1000");
        let log: Page<AuditEntry> = expect(ask, 200).await;
        let refusals = log.items.iter().filter(|entry| {
            entry.action == "createKey" && entry.code.as_deref() == Some("grant-too-wide")
        });
        assert_eq!(refusals.count(), 2);
    }
    assert_eq!(world.routes(&world.gateway.key).await.len(), 2);
    assert_eq!(world.log().await, before);

    // Nor does a key at the database get the scope beside others, or within an organisation.
    for scopes in [
        vec![Scope::Gateway],
        vec![Scope::Gateway, Scope::FunctionsRead],
    ] {
        let order = KeyOrder {
            name: "mixed".to_owned(),
            organisation: "acme".parse().unwrap(),
            scopes: scopes.into_iter().collect(),
            lifetime: None,
        };
        let made = keys::create_with(&world.server.database, &order).await;
        assert!(matches!(made, Err(KeyError::Gateway)), "{made:?}");
    }
}

#[tokio::test]
async fn whoever_runs_the_platform_rotates_and_revokes_it_and_the_log_says_so() {
    let world = World::start().await;
    let database = &world.server.database;
    let id = world.gateway.id.as_str();
    let listed = keys::list(database).await.unwrap();
    let listed = listed.iter().find(|key| key.id == id).unwrap();
    assert_eq!(listed.organisation, None);
    assert_eq!(listed.scopes, [Scope::Gateway].into());

    let rotated = keys::rotate(database, id, Duration::ZERO).await.unwrap();
    let ask = |key: &str| world.ask(key, Method::GET, "/v1/routes");
    assert_eq!(world.routes(&rotated.key).await.len(), 2);
    keys::revoke(database, id).await.unwrap();
    refused(ask(&rotated.key), 401, "unauthenticated").await;
    let noted = async {
        while world.log().await.len() < 4 {
            tokio::task::yield_now().await;
        }
    };
    let noted = tokio::time::timeout(Duration::from_secs(20), noted).await;
    noted.expect("a revoked key's use is noted");
    assert_eq!(
        world.log().await,
        [
            "createKey 200",
            "rotateKey 200",
            "revokeKey 200",
            "authenticate 401 unauthenticated",
        ]
    );
}
