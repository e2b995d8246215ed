//! docs/grafana/nacre.json can be imported, and asks for nothing that nobody exposes.

use std::collections::BTreeSet;

use nacre_tests::platform::repository;
use serde_json::Value;

use super::documented::rows;

fn dashboard() -> Value {
    let file = repository().join("docs/grafana/nacre.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    panels.filter(|panel| panel["type"] != "row").collect()
}

/// Every word of a query that begins as a metric's name.
fn asked(expression: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !word(c));
    let ours = words.filter(|word| word.starts_with("nacre_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

fn queries(panel: &Value) -> Vec<&str> {
    let targets = panel["targets"].as_array().unwrap().iter();
    targets
        .map(|target| target["expr"].as_str().unwrap())
        .collect()
}

#[test]
fn it_asks_only_for_what_is_exposed() {
    let rows = rows().unwrap();
    let dashboard = dashboard();
    for panel in panels(&dashboard) {
        for query in queries(panel) {
            let names = asked(query);
            assert!(!names.is_empty(), "{query}");
            for name in names {
                let parts = ["_bucket", "_sum", "_count"];
                let whole = parts.iter().find_map(|part| name.strip_suffix(part));
                let known =
                    rows.contains_key(&name) || whole.is_some_and(|name| rows.contains_key(name));
                assert!(known, "{name}, in {query}");
            }
        }
    }
}

#[test]
fn it_shows_every_process() {
    let dashboard = dashboard();
    let all: BTreeSet<_> = panels(&dashboard)
        .into_iter()
        .flat_map(queries)
        .flat_map(asked)
        .collect();
    for process in [
        "control_plane",
        "node",
        "host_proxy",
        "enclave",
        "gateway",
        "proxy",
        "watcher",
        "verifier",
        "emulator",
    ] {
        let prefix = format!("nacre_{process}_");
        assert!(
            all.iter().any(|name| name.starts_with(&prefix)),
            "{process}"
        );
    }
}

#[test]
fn it_can_be_imported_with_any_data_source() {
    let dashboard = dashboard();
    assert!(
        dashboard["id"].is_null(),
        "an id is the importing Grafana's to give"
    );
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    assert!(dashboard["uid"].as_str().is_some_and(|uid| uid.len() <= 40));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = &variables[0];
    assert_eq!(
        (&source["type"], &source["query"]),
        (&"datasource".into(), &"prometheus".into())
    );
    assert_eq!(source["name"], "datasource");
    let mut ids = BTreeSet::new();
    let mut places = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let at = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        let (x, y, w, h) = (at("x"), at("y"), at("w"), at("h"));
        assert!(w > 0 && h > 0 && x + w <= 24, "{panel}");
        let apart = |(a, b, c, d): &(u64, u64, u64, u64)| {
            x >= a + c || *a >= x + w || y >= b + d || *b >= y + h
        };
        assert!(places.iter().all(apart), "over another: {panel}");
        places.push((x, y, w, h));
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
            assert!(
                panel["title"]
                    .as_str()
                    .is_some_and(|title| !title.is_empty())
            );
        }
    }
}
