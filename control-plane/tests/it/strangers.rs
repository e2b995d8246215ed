//! No answer tells a stranger whether an id exists: every operation of the document is asked for what is there and for what
//! is not, and the answers are compared byte for byte.

use std::collections::BTreeMap;

use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_protocol::api::jobs::{Bytes32, CreateJob, Job, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, JobId, NodeId, PayoutId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::document::{document, operations};
use crate::support::{Server, TestNode, expect};

const MODEL: &str = "the model's bytes";
const ABSENT_BYTES: &str = "bytes that nobody sent";

/// Nodes are a market: every key sees which there are, and what watchers saw of them. (Months are no ids: everybody has the
/// same.)
const MARKET: [&str; 1] = ["/v1/nodes/{id}/drains"];

/// One of everything, and the ids of things that are not there.
struct World {
    server: Server,
    there: BTreeMap<&'static str, String>,
    absent: BTreeMap<&'static str, String>,
    /// A node that runs nothing.
    idle: TestNode,
}

impl World {
    async fn new() -> Self {
        let mut server = Server::start().await;
        let version = server.function("iris", "1MiB", MODEL).await;
        let mut busy = TestNode::new(1, 1 << 30, 1);
        server.register_own(&mut busy).await;
        let mut idle = TestNode::new(2, 1 << 30, 2);
        server.register(&mut idle).await;
        let deployment = server.deploy(&version, 1).await;
        let job = CreateJob {
            id: JobId::from_random([1; 16]),
            function: version.function.clone(),
            digest: version.digest,
            deadline_ms: server.now_ms() + 60_000,
            max_price: None,
            webhook: None,
            chain: None,
            input: JobPayload::Plain {
                content_type: "application/json".to_owned(),
                inference_header_length: String::new(),
                salt: Some(Bytes32([7; 32])),
                body: b"{}".to_vec(),
            },
        };
        let post = server.request(Method::POST, "/v1/jobs").json(&job);
        let job: Job = expect(post, 201).await;
        let there = BTreeMap::from([
            ("blobs", Digest::of(MODEL.as_bytes()).to_string()),
            ("deployments", deployment.id.to_string()),
            ("functions", "iris".to_owned()),
            ("invoices", "now".to_owned()),
            ("jobs", job.id.to_string()),
            ("keys", server.key[6..22].to_owned()),
            ("nodes", busy.id.to_string()),
            ("payouts", server.payout().await.to_string()),
        ]);
        let absent = BTreeMap::from([
            ("blobs", Digest::of(ABSENT_BYTES.as_bytes()).to_string()),
            (
                "deployments",
                DeploymentId::from_random([9; 16]).to_string(),
            ),
            ("functions", "rose".to_owned()),
            ("invoices", "1999-01".to_owned()),
            ("jobs", JobId::from_random([9; 16]).to_string()),
            ("keys", "0123456789abcdef".to_owned()),
            ("nodes", NodeId::from_random([9; 16]).to_string()),
            ("payouts", PayoutId::from_random([9; 16]).to_string()),
        ]);
        Self {
            server,
            there,
            absent,
            idle,
        }
    }

    async fn key(&self, organisation: &str, scopes: &[Scope]) -> String {
        if scopes == [Scope::Gateway] {
            let made = keys::create_for_gateway(&self.server.database, "edge", None).await;
            return made.unwrap().key;
        }
        let order = KeyOrder {
            name: "walker".to_owned(),
            organisation: organisation.parse().unwrap(),
            scopes: scopes.iter().copied().collect(),
            lifetime: None,
        };
        let made = keys::create_with(&self.server.database, &order).await;
        made.unwrap().key
    }

    /// Everything of an answer but its date, with the id that was asked for blotted out.
    async fn ask(&self, token: Option<&str>, method: &str, path: &str, id: &str) -> String {
        let asked = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let body = if path.starts_with("/v1/blobs/") {
            let known = id == self.there["blobs"];
            if known { MODEL } else { ABSENT_BYTES }.to_owned()
        } else {
            "{}".to_owned()
        };
        let of_node = path.starts_with("/v1/nodes/") && path.contains("/jobs/job_");
        let query = if of_node { "?attempt=1" } else { "" };
        let request = self.server.anonymous(asked, &format!("{path}{query}"));
        let request = request.header("nacre-job-receipt", "AAAA");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = request.header("content-type", "application/json");
        let request = match method {
            "get" | "head" | "delete" => request,
            _ => request.body(body),
        };
        let response = request.send().await.unwrap();
        let mut headers: Vec<String> = response
            .headers()
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        headers.sort();
        let status = response.status();
        let body = response.text().await.unwrap().replace(id, "ID");
        // Ids of a kind may differ in length, and so the answers that repeat them.
        headers.retain(|header| !header.starts_with("content-length"));
        format!("{status}\n{}\n{body}", headers.join("\n"))
    }
}

/// The kinds of a path's parameters, in their order: the words before them.
fn kinds(path: &str) -> Vec<&str> {
    let parts: Vec<_> = path.split('/').collect();
    let pairs = parts.windows(2).filter(|pair| pair[1].starts_with('{'));
    pairs.map(|pair| pair[0]).collect()
}

fn fill(path: &str, ids: &[&str]) -> String {
    let mut ids = ids.iter();
    let parts = path.split('/').map(|part| match part.starts_with('{') {
        true => ids.next().unwrap(),
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn an_answer_to_a_stranger_is_the_same_whether_the_id_exists_or_not() {
    let world = World::new().await;
    let other = world.key("others", &Scope::OF_ORGANISATIONS).await;
    let billing = world.key("default", &[Scope::Billing]).await;
    let no_billing = world.key("default", &[Scope::Jobs]).await;
    let document = document(&world.server).await;
    let mut compared = 0;
    for (path, method, operation) in operations(&document) {
        let kinds = kinds(path);
        // What a signature in the body opens, or nothing does.
        let needs_token = operation["security"] != json!([{}]);
        for (varied, kind) in kinds.iter().enumerate() {
            let known = |ids: &BTreeMap<&str, String>| ids.get(kind).cloned();
            let there = known(&world.there)
                .unwrap_or_else(|| panic!("say what exists of {kind} in {path}"));
            let absent = known(&world.absent).unwrap();
            let narrow = match *kind {
                "payouts" => &no_billing,
                _ => &billing,
            };
            let callers = [
                ("nobody", None),
                ("another organisation", Some(other.as_str())),
                ("a key without the scope", Some(narrow.as_str())),
                ("a node", Some(world.idle.token.as_str())),
            ];
            for (who, token) in callers {
                let market = MARKET.contains(&path) && who == "another organisation";
                let month = *kind == "invoices" && token.is_some();
                if method == "get" && (market || month) {
                    continue;
                }
                // A node on its own path, where that is not what is varied.
                let own = world.idle.id.to_string();
                let ids = |id: &str| -> Vec<String> {
                    let ids = kinds
                        .iter()
                        .enumerate()
                        .map(|(at, kind)| match (at, *kind) {
                            (at, _) if at == varied => id.to_owned(),
                            (_, "nodes") => own.clone(),
                            (_, kind) => world.there[kind].clone(),
                        });
                    ids.collect()
                };
                let path_with = |id: &str| {
                    let ids = ids(id);
                    fill(path, &ids.iter().map(String::as_str).collect::<Vec<_>>())
                };
                let exists = world.ask(token, method, &path_with(&there), &there).await;
                let missing = world.ask(token, method, &path_with(&absent), &absent).await;
                assert_eq!(exists, missing, "{method} {path}, {kind}, asked by {who}");
                if token.is_none() && needs_token {
                    assert!(exists.starts_with("401"), "{method} {path}: {exists}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 80, "{compared} answers were compared");
}

#[tokio::test]
async fn the_same_questions_tell_an_owner_what_there_is() {
    let world = World::new().await;
    let document = document(&world.server).await;
    let key = world.server.key.clone();
    let mut told_apart = 0;
    for (path, method, operation) in operations(&document) {
        let kinds = kinds(path);
        let by_key = operation["security"].as_array().unwrap().iter();
        let by_key = by_key.filter_map(|scheme| scheme.get("api_key")).count() > 0;
        let [kind] = kinds[..] else { continue };
        let told = !path.ends_with("/result") && kind != "invoices";
        if method != "get" || !by_key || !told {
            continue;
        }
        let ask = async |id: &str| world.ask(Some(&key), method, &fill(path, &[id]), id).await;
        let there = ask(&world.there[kind]).await;
        let absent = ask(&world.absent[kind]).await;
        assert!(there.starts_with("200"), "{path}: {there}");
        assert!(absent.starts_with("404"), "{path}: {absent}");
        told_apart += 1;
    }
    assert!(told_apart >= 6, "{told_apart}");
}

#[tokio::test]
async fn what_is_no_path_of_the_api_answers_those_only_who_are_somebody() {
    let server = Server::start().await;
    for (method, path) in [
        (Method::GET, "/v1/nothing"),
        (Method::GET, "/v1/functions/iris/nothing"),
        (Method::PATCH, "/v1/functions/iris"),
        (Method::POST, "/v1/deployments/dep_00/more"),
    ] {
        let nobody = server.anonymous(method.clone(), path).send().await.unwrap();
        assert_eq!(nobody.status(), 401, "{path}");
        let somebody = server.request(method, path).send().await.unwrap();
        assert!([404, 405].contains(&somebody.status().as_u16()), "{path}");
    }
}

#[tokio::test]
async fn every_operation_names_its_scopes_and_a_key_without_them_is_refused() {
    let world = World::new().await;
    let document = document(&world.server).await;
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        let security = operation["security"].as_array();
        let security = security.unwrap_or_else(|| panic!("{at} says nothing of security"));
        let sets: Vec<Vec<Scope>> = security
            .iter()
            .filter_map(|scheme| scheme.get("api_key"))
            .map(|scopes| {
                let scopes = scopes.as_array().unwrap().iter();
                let scope = |scope: &Value| scope.as_str().unwrap().parse().unwrap();
                scopes.map(scope).collect()
            })
            .collect();
        for set in &sets {
            assert!(!set.is_empty(), "{at} opens to no key: name a scope");
        }
        if sets.is_empty() {
            continue;
        }
        let ids: Vec<_> = kinds(path)
            .iter()
            .map(|kind| world.absent[kind].clone())
            .collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let path = fill(path, &ids);
        let id = ids.first().copied().unwrap_or("no id");

        let named: Vec<_> = sets.concat();
        let rest: Vec<_> = Scope::OF_ORGANISATIONS
            .into_iter()
            .filter(|scope| !named.contains(scope))
            .collect();
        let without = world.key("default", &rest).await;
        let answer = world.ask(Some(&without), method, &path, id).await;
        assert!(answer.starts_with("403"), "{at}: {answer}");
        assert!(
            method == "head" || answer.contains("scope-missing"),
            "{at}: {answer}"
        );
        for set in &sets {
            let with = world.key("default", set).await;
            let answer = world.ask(Some(&with), method, &path, id).await;
            assert!(!answer.starts_with("403"), "{at}: {answer}");
            assert!(!answer.starts_with("401"), "{at}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_node_is_its_organisations_where_a_key_came_along() {
    let mut server = Server::start().await;
    let (own, mut free) = (TestNode::new(1, 1, 1), TestNode::new(2, 1, 1));
    server.register(&mut free).await;
    let nonce = server.challenge().await;
    let now = server.now_ms();
    let request = own.registration(&mut server.nsm, nonce, now);
    let post = || server.request(Method::POST, "/v1/nodes").json(&request);
    let _: Value = expect(post(), 201).await;
    let ids = async |query: &str| -> Vec<Value> {
        let page: Value = server.get(&format!("/v1/nodes{query}")).await;
        let items = page["items"].as_array().unwrap().iter();
        items.map(|node| json!([node["id"], node["own"]])).collect()
    };
    let expected = [json!([own.id, true]), json!([free.id, false])];
    assert_eq!(ids("").await, expected);
    assert_eq!(ids("?own=true").await, expected[..1]);
}
