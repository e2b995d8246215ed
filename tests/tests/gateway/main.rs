//! `nacre gateway` before real nodes: attested callers reach a function by its name, whatever happens to one node.

#![allow(clippy::unwrap_used, reason = "tests")]

mod organisations;
mod rollouts;
mod site;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use nacre_client::{AttestedConnection, Endpoint, KserveClient};
use nacre_tests::attacker::{Attack, Attackers};
use nacre_tests::platform::wait_for;
use nacre_tests::processes::{self, Part};
use rustix::process::Signal;

use site::{DEADLINE, Site};

#[test]
fn a_killed_node_and_a_silent_control_plane_are_no_concern_of_callers() -> anyhow::Result<()> {
    let site = Site::start(&[])?;
    let key = PathBuf::from(site.platform.ready("data")).join("api-key");
    let kept = site.platform.home().join("gateway");
    let gateway = site.gateway([
        "--control-plane".into(),
        site.platform.ready("control_plane").into(),
        "--key-file".into(),
        key.into(),
        "--data".into(),
        kept.into(),
        "--no-proxy-protocol".into(),
    ])?;
    for _ in 0..10 {
        site.is_answered(&gateway)?;
    }
    let control_plane = site.platform.pid_of(Part::ControlPlane)?;
    processes::signal(control_plane, Signal::STOP)?;
    let answered = || -> anyhow::Result<()> {
        site.is_answered(&gateway)?;
        // Both nodes have their turn: the one that is left answers for both.
        site.node.signal(Signal::KILL)?;
        for _ in 0..30 {
            site.is_answered(&gateway)?;
        }
        Ok(())
    };
    let done = answered();
    processes::signal(control_plane, Signal::CONT)?;
    done?;
    gateway.stop()
}

#[test]
fn a_host_learns_who_calls_and_a_crowd_that_says_nothing_keeps_nobody_out() -> anyhow::Result<()> {
    let site = Site::start(&["--proxy-protocol-from", "127.0.0.0/8"])?;
    let routes = site.platform.home().join("routes.toml");
    let text = format!(
        "[[functions.{}]]\nnodes = [\"{}\"]\n",
        site.example.name, site.node.address
    );
    std::fs::write(&routes, text)?;
    let few = ["--max-hellos".into(), "256".into()];
    let gateway = site.gateway(["--routes".into(), routes.into()].into_iter().chain(few))?;
    site.is_answered(&gateway)?;
    // The same node resets who does not say for whom it comes.
    let direct: Endpoint = site.node.address.parse()?;
    let trust = site.platform.trust()?;
    let direct = AttestedConnection::open(&direct, &trust, DEADLINE);
    ensure!(
        site.runtime.block_on(direct).is_err(),
        "a host that expects proxies took a caller without a header"
    );

    let crowd = Attackers::start(gateway.address.parse()?, Attack::SayNothing(600))?;
    wait_for("the crowd is there", DEADLINE, || {
        (crowd.connected() > 600).then_some(())
    })?;
    let begun = Instant::now();
    for _ in 0..10 {
        site.is_answered(&gateway)?;
    }
    let took = begun.elapsed();
    ensure!(took < Duration::from_secs(20), "ten calls took {took:?}");
    drop(crowd);
    gateway.stop()
}

#[test]
fn a_gateway_that_is_told_to_stop_takes_nobody_more_and_loses_nobody() -> anyhow::Result<()> {
    let site = Site::start(&[])?;
    let routes = site.platform.home().join("routes.toml");
    let text = format!(
        "[[functions.{}]]\nnodes = [\"{}\"]\n",
        site.example.name, site.node.address
    );
    std::fs::write(&routes, text)?;
    let gateway = site.gateway([
        "--routes".into(),
        routes.into(),
        "--no-proxy-protocol".into(),
    ])?;
    let client = site.client(&gateway)?;
    site.runtime.block_on(client.attest())?;
    let kserve = KserveClient::new(client, site.example.name.as_str());
    gateway.signal(Signal::TERM)?;
    wait_for("nobody more is taken", DEADLINE, || {
        std::net::TcpStream::connect(&gateway.address).err()
    })?;
    // On the connection that was open.
    for _ in 0..5 {
        let call = kserve.infer_json(site.example.request.clone());
        let (answer, _) = site.runtime.block_on(call)?;
        site.example.check_body(answer.response.body())?;
    }
    drop(kserve);
    gateway.leaves()
}
