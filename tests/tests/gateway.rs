//! `nacre gateway` before real nodes: attested callers reach a function by its name, whatever happens to one node.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedClient, AttestedConnection, ClientOptions, Endpoint, KserveClient};
use nacre_protocol::digest::Digest;
use nacre_tests::attacker::{Attack, Attackers};
use nacre_tests::beside::Beside;
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use nacre_tests::processes::{self, Part};
use nacre_tests::traffic::{Outcome, call_once};
use rustix::process::Signal;
use tokio::runtime::Runtime;

const ZONE: &str = "fn.example.org";
const DEADLINE: Duration = Duration::from_secs(60);

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

/// A platform with a second node, and a function that both run.
struct Site {
    node: Beside,
    platform: Platform,
    runtime: Runtime,
    example: Example,
    digest: Digest,
}

impl Site {
    fn start(of_second_node: &[&str]) -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let data = platform.home().join("second-node");
        let pki = PathBuf::from(platform.ready("data")).join("pki");
        let mut words: Vec<OsString> = vec!["node".into(), "--control-plane".into()];
        words.push(platform.ready("control_plane").into());
        words.extend(["--data".into(), data.into(), "--pki-dir".into(), pki.into()]);
        words.extend(of_second_node.iter().map(OsString::from));
        let node = Beside::start(&platform, words)?;
        wait_for("both nodes are online", DEADLINE, || {
            let nodes = platform.json(&["nodes"]).ok()?;
            let online = nodes
                .as_array()?
                .iter()
                .filter(|node| node["online"] == true);
            (online.count() == 2).then_some(())
        })?;
        let example = Example::load("iris-network")?;
        let dir = example.dir().display().to_string();
        let deployed = platform.json(&["deploy", &dir, "--replicas", "2"])?;
        let digest = deployed["digest"].as_str().context("no digest")?.parse()?;
        Ok(Self {
            node,
            platform,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?,
            example,
            digest,
        })
    }

    fn gateway(&self, words: impl IntoIterator<Item = OsString>) -> anyhow::Result<Beside> {
        let mut all: Vec<OsString> = vec!["gateway".into(), "--zone".into(), ZONE.into()];
        all.extend(words);
        Beside::start(&self.platform, all)
    }

    /// A client that calls by name, with no connection yet.
    fn client(&self, gateway: &Beside) -> anyhow::Result<AttestedClient> {
        let name = format!("{}.{ZONE}", self.example.name);
        let endpoint = gateway.address.parse::<Endpoint>()?.with_server_name(name);
        let trust = self.platform.trust()?;
        let options = ClientOptions::default();
        Ok(AttestedClient::new(
            trust,
            Some(self.digest),
            vec![endpoint],
            options,
        ))
    }

    /// One call on a connection of its own, with its proof.
    fn is_answered(&self, gateway: &Beside) -> anyhow::Result<()> {
        let call = call_once(&self.example, self.client(gateway)?);
        let outcome = self.runtime.block_on(call);
        ensure!(outcome == Outcome::Right, "{outcome:?}");
        Ok(())
    }
}
