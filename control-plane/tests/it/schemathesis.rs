//! schemathesis asks every operation what nobody would ask, and holds each answer against the OpenAPI document.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nacre_control_plane::keys;
use nacre_protocol::control::FunctionState;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::JobId;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::document::{document, operations};
use crate::support::{Server, TestNode, expect};

/// Far more than it takes.
const DEADLINE: Duration = Duration::from_secs(400);
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_schemathesis_asks_is_answered_against_the_document() {
    let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/venv/bin/python");
    let python = std::env::var_os("NACRE_TEST_PYTHON").unwrap_or_else(|| setup.into());
    if !Path::new(&python).is_file() {
        println!("left out: no Python with schemathesis; `make setup` brings it");
        return;
    }
    let mut server = Server::start().await;
    let world = world(&mut server).await;
    let scratch = tempfile::tempdir().unwrap();
    let hooks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/schemathesis");
    let run = Command::new(&python)
        .args([
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
        ])
        .args(["run", &format!("{}/openapi.json", server.url)])
        .args([
            "--checks",
            CHECKS,
            "--phases",
            "examples,coverage,fuzzing,stateful",
        ])
        .args(["--max-examples", "20", "--seed", "5", "--workers", "2"])
        .args(["--request-timeout", "20", "--suppress-health-check", "all"])
        .args(["--continue-on-failure", "--warnings", "off", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "nacre_hooks")
        .env("PYTHONPATH", hooks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NACRE_TEST_WORLD", world.to_string())
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(DEADLINE, run).await;
    let run = run.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let complained = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{complained}");

    let tested = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("Tested: "));
    let tested: usize = tested.unwrap_or_default().parse().unwrap_or_default();
    let document = document(&server).await;
    // It asks no HEAD.
    let all = operations(&document).filter(|(_, method, _)| *method != "head");
    let all = all.count();
    assert_eq!(tested, all, "{said}");
    let _: Value = server.get("/v1/functions").await;
}

/// Something of each kind, for the hooks.
async fn world(server: &mut Server) -> Value {
    let mut versions = Vec::new();
    for name in ["iris", "lily", "rose"] {
        versions.push(server.function(name, "1MiB", name).await);
    }
    let mut node = TestNode::new(1, 1 << 30, 1);
    server.register_own(&mut node).await;
    let mut deployments = Vec::new();
    for version in &versions {
        deployments.push(server.deploy(version, 1).await.id);
    }
    server.report(&node, FunctionState::Ready).await;
    let mut jobs = Vec::new();
    let terms = json!({
        "function": "iris",
        "digest": versions[0].digest,
        "deadline_ms": server.now_ms() + 600_000,
        "input": { "form": "plain", "body": "e30" },
    });
    for n in 1..=4 {
        let mut job = terms.clone();
        job["id"] = json!(JobId::from_random([n; 16]));
        let post = server.request(Method::POST, "/v1/jobs").json(&job);
        let made: Value = expect(post, 201).await;
        jobs.push(made["id"].clone());
    }
    let path = format!("/v1/nodes/{}/jobs", node.id);
    let take = server
        .anonymous(Method::POST, &path)
        .bearer_auth(&node.token);
    let _: Value = expect(take, 200).await;
    let spare = keys::create(&server.database, "spare").await.unwrap();
    json!({
        "key": server.key,
        "node_token": node.token,
        "ids": {
            "blobs": [Digest::of(b"iris"), versions[0].digest],
            "deployments": deployments,
            "functions": ["iris", "lily", "rose"],
            "jobs": jobs,
            "keys": [spare.id.as_str()],
            "nodes": [node.id],
            "payouts": [server.payout().await],
        },
        "bodies": {
            "POST /v1/deployments": { "function": "iris", "digest": versions[0].digest, "replicas": 1 },
            "POST /v1/functions": { "digest": versions[0].digest },
            "POST /v1/jobs": terms,
            "POST /v1/ledger/payouts": { "operator": node.operator_id() },
            "POST /v1/keys": { "name": "drawn", "scopes": ["jobs"] },
            "POST /v1/nodes/{id}/observed": { "boot_id": node.boot(), "events": [] },
        },
    })
}
