use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Server, expect};

/// Every path of the API, as its users know it.
const PATHS: [(&str, &[&str]); 56] = [
    ("/docs", &["get"]),
    ("/healthz", &["get"]),
    ("/openapi.json", &["get"]),
    ("/readyz", &["get"]),
    ("/v1/audit", &["get"]),
    ("/v1/blobs/{digest}", &["get", "head", "put"]),
    ("/v1/chain/keys", &["get"]),
    ("/v1/conduct", &["get"]),
    ("/v1/deployments", &["post"]),
    ("/v1/deployments/{id}", &["get"]),
    ("/v1/functions", &["get", "post"]),
    ("/v1/functions/{name}", &["delete", "get"]),
    ("/v1/functions/{name}/canary", &["post"]),
    ("/v1/functions/{name}/demand", &["post"]),
    ("/v1/functions/{name}/logs", &["get"]),
    ("/v1/functions/{name}/promote", &["post"]),
    ("/v1/functions/{name}/rollback", &["post"]),
    ("/v1/incidents", &["get"]),
    ("/v1/jobs", &["get", "post"]),
    ("/v1/jobs/{id}", &["delete", "get"]),
    ("/v1/jobs/{id}/input", &["put"]),
    ("/v1/jobs/{id}/result", &["get"]),
    ("/v1/keys", &["get", "post"]),
    ("/v1/keys/{id}", &["delete", "get"]),
    ("/v1/keys/{id}/rotate", &["post"]),
    ("/v1/ledger/balance", &["get"]),
    ("/v1/ledger/caps", &["delete", "get", "put"]),
    ("/v1/ledger/entries", &["get"]),
    ("/v1/ledger/invoices", &["get"]),
    ("/v1/ledger/invoices/{month}", &["get"]),
    ("/v1/ledger/operators", &["get"]),
    ("/v1/ledger/payouts", &["get", "post"]),
    ("/v1/ledger/payouts/{id}", &["delete", "get"]),
    ("/v1/nodes", &["get", "post"]),
    ("/v1/nodes/challenges", &["post"]),
    ("/v1/nodes/claims", &["post"]),
    ("/v1/nodes/{id}/chain-keys", &["put"]),
    ("/v1/nodes/{id}/commands", &["post"]),
    ("/v1/nodes/{id}/desired", &["get"]),
    ("/v1/nodes/{id}/drains", &["get", "post"]),
    ("/v1/nodes/{id}/jobs", &["post"]),
    ("/v1/nodes/{id}/jobs/{job}/failed", &["post"]),
    ("/v1/nodes/{id}/jobs/{job}/input", &["get"]),
    ("/v1/nodes/{id}/jobs/{job}/result", &["put"]),
    ("/v1/nodes/{id}/jobs/{job}/started", &["post"]),
    ("/v1/nodes/{id}/observed", &["post"]),
    ("/v1/nodes/{id}/usage", &["post"]),
    ("/v1/routes", &["get"]),
    ("/v1/uptime/commits", &["post"]),
    ("/v1/uptime/disputes", &["post"]),
    ("/v1/uptime/report", &["get"]),
    ("/v1/uptime/reveals", &["post"]),
    ("/v1/uptime/schedule", &["get"]),
    ("/v1/uptime/slashes", &["get"]),
    ("/v1/uptime/watchers", &["get"]),
    ("/v1/webhook-secret", &["get"]),
];

pub(crate) async fn document(server: &Server) -> Value {
    expect(server.anonymous(Method::GET, "/openapi.json"), 200).await
}

#[tokio::test]
async fn every_path_is_described_and_every_description_is_served() {
    let server = Server::start().await;
    let document = document(&server).await;
    let described: BTreeSet<(String, String)> = operations(&document)
        .map(|(path, method, _)| (path.to_owned(), method.to_owned()))
        .collect();
    let expected = PATHS.iter().flat_map(|(path, methods)| {
        methods
            .iter()
            .map(|method| ((*path).to_owned(), (*method).to_owned()))
    });
    assert_eq!(described, expected.collect());
    for (path, _) in PATHS {
        for method in ["get", "head", "put", "post", "delete", "patch"] {
            let real = path
                .replace("{digest}", "x")
                .replace("{id}", "x")
                .replace("{job}", "x")
                .replace("{month}", "x")
                .replace("{name}", "-x");
            let asked = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let status = server.request(asked, &real).send().await.unwrap().status();
            // HEAD is what GET is without a body, wherever GET is.
            let there = described.contains(&(path.to_owned(), method.to_owned()))
                || method == "head" && described.contains(&(path.to_owned(), "get".to_owned()));
            assert_eq!(status != 405, there, "{method} {path}: {status}");
            assert_ne!(status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn operations_say_what_they_take_return_and_require() {
    let server = Server::start().await;
    let document = document(&server).await;
    for (path, method, operation) in operations(&document) {
        let at = format!("{method} {path}");
        assert!(operation["operationId"].is_string(), "{at}");
        assert!(
            !operation["summary"].as_str().unwrap_or_default().is_empty(),
            "{at}"
        );
        let responses = operation["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{at}"
        );
        assert!(responses.contains_key("default"), "{at}");
        for (status, response) in responses
            .iter()
            .filter(|(status, _)| !status.starts_with('2') && *status != "304")
        {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{at} {status}");
        }
        for (status, response) in responses
            .iter()
            .filter(|(status, _)| status.starts_with('2'))
        {
            let stored = method == "put" && path != "/v1/ledger/caps";
            let bodyless = status == "204" || method == "head" || stored;
            assert_eq!(response.get("content").is_none(), bodyless, "{at} {status}");
        }
        let says_nothing = [
            "/v1/nodes/challenges",
            "/v1/nodes/{id}/jobs",
            "/v1/nodes/{id}/jobs/{job}/started",
        ];
        let body = matches!(method, "post" | "put") && !says_nothing.contains(&path);
        assert_eq!(operation.get("requestBody").is_some(), body, "{at}");
        let json = responses
            .get("200")
            .is_some_and(|found| found["content"].get("application/json").is_some());
        if method == "get" && json {
            assert!(responses["200"]["headers"].get("ETag").is_some(), "{at}");
            assert!(responses["304"].get("content").is_none(), "{at}");
        }
        assert!(
            responses["429"]["headers"].get("Retry-After").is_some(),
            "{at}"
        );
        let open = matches!(
            path,
            "/docs" | "/healthz" | "/readyz" | "/openapi.json" | "/v1/nodes/challenges"
        ) || matches!(
            path,
            "/v1/uptime/schedule" | "/v1/uptime/commits" | "/v1/uptime/reveals"
        ) || (path, method) == ("/v1/nodes", "post")
            || path == "/v1/nodes/{id}/commands";
        let schemes: Vec<_> = operation["security"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|scheme| scheme.as_object().unwrap().keys())
            .collect();
        let registers = (path, method) == ("/v1/nodes", "post");
        assert_eq!(schemes.is_empty(), open && !registers, "{at}");
        assert_eq!(responses.contains_key("401"), !open || registers, "{at}");
    }
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    assert_eq!(
        schemes.keys().collect::<Vec<_>>(),
        ["api_key", "node_token"]
    );
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let server = Server::start().await;
    let document = document(&server).await;
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 30);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let put = &document["paths"]["/v1/blobs/{digest}"]["put"];
    let body = &put["requestBody"]["content"]["application/octet-stream"]["schema"];
    assert_eq!(
        [&body["type"], &body["format"]],
        [&json!("string"), &json!("binary")]
    );
    for name in [
        "Deployment",
        "Function",
        "Node",
        "DesiredState",
        "Registered",
        "Version",
    ] {
        let schema = &document["components"]["schemas"][name];
        assert!(schema["properties"].is_object(), "{name}");
    }
}

pub(crate) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(|(method, operation)| (path.as_str(), method.as_str(), operation))
        })
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
