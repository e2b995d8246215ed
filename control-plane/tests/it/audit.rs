use std::time::Duration;

use nacre_control_plane::keys::{self, KeyOrder, Scope};
use nacre_protocol::api::Page;
use nacre_protocol::api::audit::AuditEntry;
use reqwest::Method;
use serde_json::json;

use crate::support::{Server, order, refused};

async fn log(server: &Server) -> Vec<AuditEntry> {
    let page: Page<AuditEntry> = server.get("/v1/audit?limit=1000").await;
    page.items
}

/// Entries without what is drawn at random.
fn lines(log: &[AuditEntry]) -> Vec<String> {
    let line = |entry: &AuditEntry| {
        let code = entry.code.clone().unwrap_or_default();
        format!("{} {} {} {code}", entry.action, entry.method, entry.status)
    };
    log.iter()
        .map(|entry| line(entry).trim().to_owned())
        .collect()
}

#[tokio::test]
async fn who_did_what_is_noted_the_latest_first() {
    let server = Server::start().await;
    let version = server.function("iris", "1MiB", "model").await;
    server.deploy(&version, 1).await;
    let missing = server.request(Method::DELETE, "/v1/functions/rose");
    refused(missing, 404, "function-not-found").await;
    let _: serde_json::Value = server.get("/v1/functions/iris").await;

    let log = log(&server).await;
    let expected = [
        "deleteFunction DELETE 404 function-not-found",
        "createDeployment POST 201",
        "createVersion POST 201",
        "putBlob PUT 201",
        "putBlob PUT 201",
        "putBlob PUT 201",
    ];
    assert_eq!(lines(&log), expected);
    let last = &log[0];
    assert_eq!(last.path, "/v1/functions/rose");
    assert_eq!(last.key, server.key[6..22]);
    assert_eq!(last.address, "127.0.0.1");
    assert_eq!(last.at_ms, server.now_ms());
}

#[tokio::test]
async fn an_organisation_reads_its_own_log_and_who_was_refused_a_scope_is_in_it() {
    let server = Server::start().await;
    let mut stranger = KeyOrder {
        name: "stranger".to_owned(),
        organisation: "others".parse().unwrap(),
        scopes: [Scope::Admin].into(),
        lifetime: None,
    };
    let admin = keys::create_with(&server.database, &stranger)
        .await
        .unwrap();
    stranger.scopes = [Scope::Billing].into();
    let narrow = keys::create_with(&server.database, &stranger)
        .await
        .unwrap();
    server.function("iris", "1MiB", "model").await;
    let ask = |key: &str, path: &str| server.anonymous(Method::GET, path).bearer_auth(key);
    refused(ask(&narrow.key, "/v1/functions"), 403, "scope-missing").await;
    refused(ask(&narrow.key, "/v1/audit"), 403, "scope-missing").await;
    let page: Page<AuditEntry> = crate::support::expect(ask(&admin.key, "/v1/audit"), 200).await;
    let expected = [
        "listAudit GET 403 scope-missing",
        "listFunctions GET 403 scope-missing",
    ];
    let mut got = lines(&page.items);
    got.sort();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_key_that_is_refused_as_such_is_noted_for_its_organisation() {
    let server = Server::start().await;
    let wrong = format!("{}{}", &server.key[..23], "A".repeat(43));
    let ask = server.anonymous(Method::GET, "/v1/functions");
    refused(ask.bearer_auth(&wrong), 401, "unauthenticated").await;
    let noted = async {
        loop {
            let log = log(&server).await;
            if !log.is_empty() {
                return log;
            }
        }
    };
    let noted = tokio::time::timeout(Duration::from_secs(20), noted)
        .await
        .unwrap();
    assert_eq!(lines(&noted), ["authenticate GET 401 unauthenticated"]);
}

#[tokio::test]
async fn the_log_is_kept_for_its_time_and_read_in_pages() {
    let mut server = Server::tuned(|config| {
        config.audit_kept = Duration::from_secs(3600);
    })
    .await;
    let version = server.function("iris", "1MiB", "model").await;
    server.pass(3_600_000 - 1);
    server.deploy(&version, 1).await;
    let body = json!(order(&version, 2));
    let deploy = server.request(Method::POST, "/v1/deployments").json(&body);
    let _: serde_json::Value = crate::support::expect(deploy, 201).await;

    let all = log(&server).await;
    let (mut read, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/audit?limit=2&after={next}");
        let page: Page<AuditEntry> = server.get(&path).await;
        assert!(page.items.len() <= 2);
        read.extend(page.items);
        match page.next {
            Some(cursor) => next = cursor,
            None => break,
        }
    }
    assert_eq!(read, all);
    assert_eq!(all.len(), 6);

    server.pass(1_000);
    server.stop().await;
    server.resume().await;
    let trimmed = async {
        while log(&server).await.len() > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), trimmed)
        .await
        .unwrap();
    let kept = ["createDeployment POST 201", "createDeployment POST 201"];
    assert_eq!(lines(&log(&server).await), kept);
}
