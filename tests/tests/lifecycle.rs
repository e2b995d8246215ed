//! A function's life as its developer sees it: first version, same again, next version, gone.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use serde_json::Value;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_deployed_function_is_listed_with_its_node_and_its_log() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    assert_eq!(platform.json(&["functions"])?, serde_json::json!([]));
    let digest = platform.deploy_example("iris-network")?;

    let functions = platform.json(&["functions"])?;
    assert_eq!(functions.as_array().unwrap().len(), 1);
    assert_eq!(functions, platform.json(&["functions", "iris-network"])?);
    let function = &functions[0];
    assert_eq!(function["name"], "iris-network");
    assert_eq!(function["versions"][0]["digest"], digest.as_str());
    assert_eq!(function["deployment"]["state"], "ready");
    assert_eq!(
        function["deployment"]["leases"][0]["endpoint"],
        platform.ready("node")
    );
    let text = platform.text(&["functions"])?;
    for word in ["iris-network", "ready", "1/1", &digest] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }

    let nodes = platform.json(&["nodes"])?;
    assert_eq!(nodes.as_array().unwrap().len(), 1);
    assert_eq!(nodes[0]["endpoint"], platform.ready("node"));
    assert_eq!(nodes[0]["online"], true);
    assert_eq!(nodes[0]["reserved_bytes"], 64 << 20);
    let text = platform.text(&["nodes"])?;
    assert!(
        text.contains(platform.ready("node")) && text.contains("64MiB"),
        "{text}"
    );

    let ready = wait_for("`ready` in the log", SOON, || {
        let lines = platform.text(&["--json", "logs", "iris-network"]).ok()?;
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .into_iter()
            .find(|line| line["event"]["code"] == "ready")
    })?;
    assert_eq!(ready["event"]["function"], "iris-network");
    assert_eq!(ready["node"], nodes[0]["id"]);
    assert!(platform.text(&["logs", "iris-network"])?.contains("ready"));
    assert_eq!(
        platform.refusal(&["logs", "nobody"])?.is(),
        (4, "function-not-found")
    );
    assert_eq!(
        platform.refusal(&["functions", "nobody"])?.is(),
        (4, "function-not-found")
    );
    Ok(())
}

#[test]
fn the_same_directory_is_the_same_version_and_a_changed_one_replaces_it() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    let dir = example.dir();
    let dir = dir.to_str().unwrap();
    let first = platform.json(&["deploy", dir])?;
    let again = platform.json(&["deploy", dir])?;
    assert_eq!(first["version"], 1);
    assert_eq!(
        (&again["version"], &again["digest"]),
        (&first["version"], &first["digest"])
    );
    assert_eq!(versions(&platform)?, [first["digest"].clone()]);
    answers(&platform, &example, &first["digest"])?;

    let changed = with_another_timeout(&example)?;
    let second = platform.json(&["deploy", changed.path().to_str().unwrap()])?;
    assert_eq!(second["version"], 2);
    assert_ne!(second["digest"], first["digest"]);
    assert_eq!(
        versions(&platform)?,
        [second["digest"].clone(), first["digest"].clone()]
    );
    answers(&platform, &example, &second["digest"])?;
    let old = first["digest"].as_str().unwrap();
    let refused = platform.refusal(&[
        "invoke",
        &example.name,
        "--input",
        input(&example),
        "--digest",
        old,
    ])?;
    assert_eq!(refused.is(), (6, "function-mismatch"));

    // And back: an old version is a version like any other.
    let back = platform.json(&["deploy", dir])?;
    assert_eq!(
        (&back["version"], &back["digest"]),
        (&first["version"], &first["digest"])
    );
    answers(&platform, &example, &first["digest"])
}

#[test]
fn a_deleted_function_is_gone_everywhere() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    let digest = platform.deploy_example(&example.name)?;
    platform.deploy_example("iris-regression")?;
    let invoke = ["invoke", &example.name, "--input", input(&example)];

    assert_eq!(
        platform.json(&["delete", &example.name])?["deleted"],
        example.name.as_str()
    );
    let left = platform.json(&["functions"])?;
    assert_eq!(
        (left.as_array().unwrap().len(), &left[0]["name"]),
        (1, &"iris-regression".into())
    );
    assert_eq!(
        platform.refusal(&["delete", &example.name])?.is(),
        (4, "function-not-found")
    );

    let forgotten = platform.refusal(&invoke)?;
    assert_eq!(forgotten.is(), (2, "usage"));
    assert!(
        forgotten.message.contains("--digest"),
        "{}",
        forgotten.message
    );
    let unknown = platform.refusal(&[&invoke[..], &["--digest", &digest]].concat())?;
    assert_eq!(unknown.is(), (4, "function-not-found"));
    // Who still knows the node's address finds that the enclave has let go of it as well.
    let direct = ["--digest", &digest, "--endpoint", platform.ready("node")];
    let direct = [&invoke[..], &direct].concat();
    wait_for("the enclave unloads it", SOON, || {
        let refused = platform.refusal(&direct).ok()?;
        (refused.is() == (6, "unknown-model")).then_some(())
    })
}

fn answers(platform: &Platform, example: &Example, digest: &Value) -> anyhow::Result<()> {
    let done = platform.json(&["invoke", &example.name, "--input", input(example)])?;
    assert_eq!(&done["function"], digest);
    example.check(&done["response"])
}

/// Digests of the versions of the one function, newest first.
fn versions(platform: &Platform) -> anyhow::Result<Vec<Value>> {
    let functions = platform.json(&["functions"])?;
    let versions = functions[0]["versions"].as_array().unwrap().clone();
    Ok(versions
        .into_iter()
        .map(|version| version["digest"].clone())
        .collect())
}

fn with_another_timeout(example: &Example) -> anyhow::Result<TempDir> {
    let copy = tempfile::tempdir()?;
    let toml = std::fs::read_to_string(example.dir().join("nacre.toml"))?;
    let changed = toml.replace("timeout = \"2s\"", "timeout = \"3s\"");
    assert_ne!(toml, changed);
    std::fs::write(copy.path().join("nacre.toml"), changed)?;
    copy_file(&example.dir(), copy.path(), "model.onnx")?;
    Ok(copy)
}

fn copy_file(from: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    std::fs::copy(from.join(name), to.join(name))?;
    Ok(())
}

fn input(example: &Example) -> &str {
    example.request_file.to_str().unwrap()
}
