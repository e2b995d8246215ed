use proptest::prelude::*;
use serde_json::json;

use super::*;

fn code(text: &str) -> &'static str {
    Table::from_toml(text.as_bytes()).unwrap_err().code()
}

#[test]
fn a_file_says_versions_weights_and_nodes() {
    let text = r#"
        [[functions.iris]]
        weight = 9
        nodes = ["192.0.2.1:8443", "[2001:db8::1]:443", "node-7.example.org:8443"]
        [[functions.iris]]
        nodes = ["192.0.2.9:8443"]
        [[functions.gone]]
        nodes = []
    "#;
    let table = Table::from_toml(text.as_bytes()).unwrap();
    let iris = &table.functions[&"iris".parse().unwrap()];
    assert_eq!((iris[0].weight, iris[1].weight), (9, 1));
    assert_eq!(
        iris[0].nodes[1].address().unwrap().to_string(),
        "tcp://[2001:db8::1]:443"
    );
    assert_eq!(Table::from_toml(b"").unwrap(), Table::default());
}

#[test]
fn a_file_with_a_mistake_is_refused_whole() {
    for wrong in [
        "[functions",
        "[functions.iris]\nnodes = []",
        "[[functions.iris]]",
        "[[functions.Iris]]\nnodes = []",
        "[[functions.iris]]\nnodes = [\"192.0.2.1\"]",
        "[[functions.iris]]\nnodes = [\"192.0.2.1:0\"]",
        "[[functions.iris]]\nnodes = [\"unix:/run/x\"]",
        "[[functions.iris]]\nnodes = []\nweight = -1",
        "[[functions.iris]]\nnodes = []\nwieght = 1",
        "routes = 1",
    ] {
        assert_eq!(code(wrong), "routes-syntax", "{wrong}");
    }
    let versions = "[[functions.iris]]\nnodes = []\n".repeat(MAX_VERSIONS + 1);
    assert_eq!(code(&versions), "routes-too-large");
    let nodes = "\"a:1\",".repeat(MAX_NODES + 1);
    let nodes = format!("[[functions.iris]]\nnodes = [{nodes}]");
    assert_eq!(code(&nodes), "routes-too-large");
    let refused = Table::from_toml(b"\xff").unwrap_err();
    assert_eq!(refused.code(), "routes-not-text");
}

/// A function as the control plane says it: each route's digit, weight and endpoints.
fn said(routes: &[(&str, u32, &[&str])]) -> FunctionRoutes {
    let deployment = |n: &str| format!("dep_{}", n.repeat(32));
    let routes = routes.iter().map(|(n, weight, endpoints)| {
        let nodes = endpoints.iter().map(
            |endpoint| json!({ "node": format!("node_{}", "1".repeat(32)), "endpoint": endpoint }),
        );
        json!({
            "digest": format!("sha256:{}", n.repeat(64)), "deployment": deployment(n),
            "weight": weight, "nodes": nodes.collect::<Vec<_>>(),
        })
    });
    let function = json!({ "function": "iris", "routes": routes.collect::<Vec<_>>() });
    serde_json::from_value(function).unwrap()
}

fn table(versions: &[(&str, u32, &[&str])]) -> Table {
    let versions = versions.iter().map(|(n, weight, nodes)| Version {
        digest: Some(format!("sha256:{}", n.repeat(64)).parse().unwrap()),
        weight: *weight,
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
    });
    let functions = [("iris".parse().unwrap(), versions.collect())];
    Table {
        functions: functions.into(),
    }
}

#[test]
fn the_control_planes_routes_are_taken_with_their_weights() {
    let functions = [said(&[
        (
            "7",
            9000,
            &["192.0.2.1:1", "file:///etc/passwd", "192.0.2.5:5"],
        ),
        ("8", 1000, &["192.0.2.2:2"]),
        ("9", 0, &[]),
    ])];
    let expected = table(&[
        ("7", 9000, &["192.0.2.1:1", "192.0.2.5:5"]),
        ("8", 1000, &["192.0.2.2:2"]),
        ("9", 0, &[]),
    ]);
    assert_eq!(Table::of(&functions), expected);
}

#[test]
fn nodes_that_only_the_control_plane_does_not_hear_are_kept() {
    let silent = said(&[("7", 0, &["192.0.2.1:1"])]);
    assert_eq!(Table::of(&[silent]), table(&[("7", 1, &["192.0.2.1:1"])]));
    // Asleep: known, with nobody there.
    let asleep = said(&[("7", 0, &[])]);
    assert_eq!(Table::of(&[asleep]), table(&[("7", 1, &[])]));
}

fn any_table() -> impl Strategy<Value = Table> {
    let nodes = proptest::collection::vec("[a-z]{1,8}\\.example:[1-9][0-9]{0,3}", 0..4);
    let version = (any::<u32>(), nodes).prop_map(|(weight, nodes)| Version {
        digest: None,
        weight,
        nodes: nodes.iter().map(|node| node.parse().unwrap()).collect(),
    });
    let versions = proptest::collection::vec(version, 0..3);
    proptest::collection::btree_map("[a-z][a-z0-9]{0,8}", versions, 0..5).prop_map(|functions| {
        let named = functions.into_iter();
        let functions = named.map(|(name, versions)| (name.parse().unwrap(), versions));
        Table {
            functions: functions.collect(),
        }
    })
}

proptest! {
    #[test]
    fn what_is_kept_is_read_back(table in any_table()) {
        let text = table.to_toml().unwrap();
        prop_assert_eq!(Table::from_toml(text.as_bytes()).unwrap(), table);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(\\[\\[functions\\.)?[a-z0-9\\[\\]=\" \n.:_-]{0,80}") {
        let _ = Table::from_toml(text.as_bytes());
    }
}
