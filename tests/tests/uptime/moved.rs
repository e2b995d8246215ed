//! Work on a dead node answers elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedClient, ClientOptions, Endpoint};
use nacre_protocol::api::Function;
use nacre_protocol::digest::Digest;
use nacre_tests::beside::Beside;
use nacre_tests::examples::Example;
use nacre_tests::platform::wait_for;
use nacre_tests::traffic::{Outcome, call_once};
use rustix::process::Signal;

use crate::DEADLINE;
use crate::realm::Realm;

const ZONE: &str = "fn.example.org";
/// What is promised with the default times, and how much longer a busy machine with programs that are not optimised may take.
const PROMISE: Duration = Duration::from_secs(15);
const GENEROUS: Duration = Duration::from_secs(40);

#[test]
fn a_killed_nodes_function_answers_elsewhere_soon() -> anyhow::Result<()> {
    let realm = Realm::start(&[])?;
    let nodes = [realm.node("first")?, realm.node("second")?];
    let example = Example::load("iris-network")?;
    let dir = example.dir().display().to_string();
    let deployed = realm.json(&["deploy", &dir])?;
    let digest: Digest = deployed["digest"].as_str().context("no digest")?.parse()?;
    let gateway = Beside::start(
        &realm.platform,
        vec![
            "gateway".into(),
            "--zone".into(),
            ZONE.into(),
            "--control-plane".into(),
            realm.url().into(),
            "--key-file".into(),
            realm.key_file().into(),
            "--data".into(),
            realm.platform.home().join("gateway").into(),
            "--no-proxy-protocol".into(),
        ],
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let trust = realm.platform.trust()?;
    let name = format!("{}.{ZONE}", example.name);
    let endpoint = gateway.address.parse::<Endpoint>()?.with_server_name(name);
    let is_answered = || {
        let options = ClientOptions::default();
        let endpoints = vec![endpoint.clone()];
        let client = AttestedClient::new(trust.clone(), Some(digest), endpoints, options);
        runtime.block_on(call_once(&example, client)) == Outcome::Right
    };
    wait_for("it is answered", DEADLINE, || is_answered().then_some(()))?;

    let functions: Vec<Function> =
        serde_json::from_value(realm.json(&["functions", &example.name])?)?;
    let deployment = functions[0].deployment.as_ref().context("not deployed")?;
    let [lease] = &deployment.leases[..] else {
        anyhow::bail!("{deployment:?}")
    };
    let mut both = nodes.iter();
    let holder = both.find(|node| node.known.id == lease.node);
    let holder = holder.context("nobody holds it")?;
    let killed = Instant::now();
    holder.process.signal(Signal::KILL)?;
    wait_for("it answers elsewhere", GENEROUS, || {
        is_answered().then_some(())
    })?;
    let took = killed.elapsed();
    println!(
        "from a node's death to its function's answer elsewhere: {:.1} s (promised: {PROMISE:?})",
        took.as_secs_f64()
    );
    let now: Vec<Function> = serde_json::from_value(realm.json(&["functions", &example.name])?)?;
    let now = now[0].deployment.as_ref().context("not deployed")?;
    ensure!(
        now.leases.iter().all(|other| other.node != lease.node),
        "the dead node still holds it: {now:?}"
    );
    gateway.stop()
}
