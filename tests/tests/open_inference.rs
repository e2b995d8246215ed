//! The Open Inference Protocol as others have it: MLServer's own types and codecs, and schemathesis over the protocol's
//! published document, which MLServer ships. Both against a real enclave through `nacre proxy`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, Service, describe, python, repository};
use serde_json::{Value, json};

const NAME: &str = "iris-network";
const CHECKS: &str = "not_a_server_error,content_type_conformance,response_schema_conformance";

#[test]
fn mlservers_types_and_codecs_are_understood() -> anyhow::Result<()> {
    let Some(mlserver) = mlserver() else {
        return Ok(());
    };
    let world = World::start()?;
    let output = Command::new(mlserver)
        .arg(script("mlserver_client.py"))
        .arg(&world.address)
        .arg(repository().join("examples"))
        .output()?;
    ensure!(output.status.success(), "{}", describe(&output));
    Ok(())
}

#[test]
fn nothing_that_the_protocols_document_allows_is_answered_against_it() -> anyhow::Result<()> {
    let Some(mlserver) = mlserver() else {
        return Ok(());
    };
    let world = World::start()?;
    let scratch = tempfile::tempdir()?;
    let document = scratch.path().join("open-inference.json");
    std::fs::write(&document, serde_json::to_vec(&published(&mlserver)?)?)?;
    let example = Example::load(NAME)?;
    let hooks = json!({
        "name": NAME,
        "version": world.digest.trim_start_matches("sha256:"),
        "request": serde_json::from_slice::<Value>(&example.request)?,
    });
    let output = Command::new(python())
        .args([
            "-c",
            "from schemathesis.cli import schemathesis; schemathesis()",
        ])
        .arg("run")
        .arg(&document)
        .args(["--url", &format!("http://{}", world.address)])
        .args(["--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "40", "--seed", "5", "--workers", "1"])
        .args(["--request-timeout", "20", "--suppress-health-check", "all"])
        .args(["--continue-on-failure", "--warnings", "off", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "open_inference_hooks")
        .env("PYTHONPATH", script(""))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NACRE_TEST_WORLD", hooks.to_string())
        .current_dir(scratch.path())
        .output()?;
    ensure!(output.status.success(), "{}", describe(&output));
    println!("{}", describe(&output));
    Ok(())
}

/// The protocol's own operations; what MLServer adds to them (streams) is not asked.
fn published(mlserver: &PathBuf) -> anyhow::Result<Value> {
    let output = Command::new(mlserver)
        .args(["-c", "import importlib.util as u; print(u.find_spec('mlserver').submodule_search_locations[0])"])
        .output()?;
    ensure!(output.status.success(), "{}", describe(&output));
    let package = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let document = std::fs::read(package.join("rest/openapi/dataplane.json"))?;
    let mut document: Value = serde_json::from_slice(&document)?;
    let paths = document["paths"].as_object_mut().context("no paths")?;
    paths.retain(|path, _| !path.contains("generate") && !path.contains("stream"));
    ensure!(paths.len() == 9, "{:?}", paths.keys());
    // The second form that it gives data is of the type "bytes", which no schema has.
    let data = &mut document["components"]["schemas"]["TensorData"]["oneOf"];
    let forms = data.as_array_mut().context("no tensor data")?;
    forms.retain(|form| form["type"] != "bytes");
    Ok(document)
}

/// A function and a proxy to it.
struct World {
    _platform: Platform,
    _proxy: Service,
    address: String,
    digest: String,
}

impl World {
    fn start() -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let digest = platform.deploy_example(NAME)?;
        let proxy = Service::start(platform.nacre([
            "--json",
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--exit-on-stdin-eof",
        ]))?;
        let address = proxy.ready()["listening"].as_str().unwrap_or_default();
        Ok(Self {
            address: address.to_owned(),
            digest,
            _proxy: proxy,
            _platform: platform,
        })
    }
}

/// The Python that has MLServer; says so where there is none.
fn mlserver() -> Option<PathBuf> {
    let deps = python().ancestors().nth(3).map(PathBuf::from)?;
    let python = deps.join("mlserver/bin/python");
    let there = python.is_file();
    if !there {
        println!(
            "left out: no Python with MLServer (`make test` brings it where Python is older than 3.13)"
        );
    }
    there.then_some(python)
}

fn script(name: &str) -> PathBuf {
    repository().join("tests/tests/python").join(name)
}
