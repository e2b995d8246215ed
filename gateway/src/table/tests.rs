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

#[test]
fn of_what_the_control_plane_says_ready_replicas_of_deployed_functions_count() {
    let digest = format!("sha256:{}", "7".repeat(64));
    let lease = |endpoint: &str, state: &str| {
        json!({
            "id": format!("lease_{}", "0".repeat(32)), "node": format!("node_{}", "1".repeat(32)),
            "endpoint": endpoint, "state": state, "price": 0,
        })
    };
    let leases = [
        lease("192.0.2.1:1", "ready"),
        lease("192.0.2.2:2", "loading"),
        lease("192.0.2.3:3", "failed"),
        lease("file:///etc/passwd", "ready"),
        lease("192.0.2.5:5", "ready"),
    ];
    let deployment = json!({
        "id": format!("dep_{}", "2".repeat(32)), "function": "iris", "digest": digest, "replicas": 5,
        "state": "ready", "leases": leases, "created_ms": 1,
    });
    let functions = json!([
        {"name": "iris", "versions": [], "deployment": deployment},
        {"name": "never-deployed", "versions": []},
    ]);
    let functions: Vec<Function> = serde_json::from_value(functions).unwrap();
    let table = Table::of(&functions);
    let expected = format!(
        "[[functions.iris]]\ndigest = {digest:?}\nweight = 1\nnodes = [\"192.0.2.1:1\", \"192.0.2.5:5\"]\n"
    );
    assert_eq!(
        table,
        Table::from_toml(expected.as_bytes()).unwrap(),
        "{}",
        table.to_toml().unwrap()
    );
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
