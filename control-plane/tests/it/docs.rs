use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};

use crate::document::{document, operations};
use crate::support::Server;

fn after<'t>(text: &'t str, before: &'static str) -> impl Iterator<Item = &'t str> {
    let rest = text.split(before).skip(1);
    rest.map(|rest| rest.split('"').next().unwrap())
}

#[tokio::test]
async fn the_docs_show_every_operation_and_ask_no_other_host() {
    let server = Server::start().await;
    let document = document(&server).await;
    let response = server.anonymous(Method::GET, "/docs").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()["content-type"],
        "text/html; charset=utf-8"
    );
    let policy = response.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let page = response.text().await.unwrap();

    let ids: BTreeSet<_> = after(&page, "id=\"").collect();
    for (path, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.contains(id), "{id}");
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for name in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(ids.contains(format!("schema-{name}").as_str()), "{name}");
    }
    for link in after(&page, "href=\"") {
        let here = link.strip_prefix('#').is_some_and(|id| ids.contains(id));
        assert!(here || link == "openapi.json", "{link}");
    }
    for active in [
        "<script", "src=", "url(", "@import", "<link", "<iframe", "<form", " on",
    ] {
        let markup = page
            .split('<')
            .skip(1)
            .map(|rest| rest.split('>').next().unwrap());
        let tags: Vec<_> = markup.map(|tag| format!("<{tag}")).collect();
        let found = tags.iter().find(|tag| tag.contains(active));
        assert_eq!(found, None, "{active}");
    }
}
