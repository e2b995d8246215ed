//! An unmodified client of the Open Inference Protocol, NVIDIA's tritonclient, through `nacre proxy`.

use std::process::Command;

use anyhow::ensure;
use nacre_tests::examples::EXAMPLES;
use nacre_tests::platform::{Platform, Service, describe, python, repository};

#[test]
fn tritonclient_runs_the_examples_through_the_proxy() -> anyhow::Result<()> {
    let python = python();
    ensure!(
        python.is_file(),
        "{} is missing: run `make setup`",
        python.display()
    );
    let platform = Platform::start()?;
    for name in EXAMPLES {
        platform.deploy_example(name)?;
    }
    let proxy = Service::start(platform.nacre([
        "--json",
        "proxy",
        "--listen",
        "127.0.0.1:0",
        "--exit-on-stdin-eof",
    ]))?;
    let address = proxy.ready()["listening"].as_str().unwrap_or_default();
    let script = repository().join("tests/tests/python/triton.py");
    let output = Command::new(python)
        .arg(script)
        .arg(address)
        .arg(repository().join("examples"))
        .output()?;
    ensure!(output.status.success(), "{}", describe(&output));
    println!("{}", describe(&output));
    Ok(())
}
