//! How many nodes one watcher can look at in one slot.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Outcome, PostReveal, Schedule};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, Service, wait_for};
use nacre_tests::processes::{command_line, descendants, processor_time};
use serde_json::{Value, json};

use crate::watcher::Plan;

const NODES: u64 = 1_000;
/// How long the test waits for two slots, their commitment and its reveal.
const DEADLINE: Duration = Duration::from_secs(120);

#[test]
#[ignore = "a figure of release builds: cargo test --release … --test uptime -- --ignored --nocapture"]
fn a_thousand_nodes_are_probed_in_a_slot_of_ten_seconds() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-regression")?;
    let digest = platform.deploy_example(&example.name)?;
    let schedule = Schedule::new(10_000, 1, 1, 2, 12)?;
    let plan = Plan::new(&platform, schedule, &example, &digest)?;
    // One enclave stands for all: what the watcher does for each is the same.
    let nodes = (0..NODES).map(|at| {
        let id = NodeId::from_random(u128::from(at).to_be_bytes());
        json!({ "id": id, "endpoint": platform.ready("node"), "canary": "iris-regression" })
    });
    plan.nodes(&nodes.collect::<Vec<_>>())?;

    let data = plan.dir.path().join("many");
    let file = plan.dir.path().join("report.jsonl");
    let mut command = platform.nacre::<&str>([]);
    plan.common(&mut command, &data);
    command
        .arg("--nodes")
        .arg(plan.dir.path().join("nodes.json"))
        .arg("--report")
        .arg(&file);
    let service = Service::start(command)?;
    let mut ours = descendants(std::process::id()).into_iter();
    let pid = ours.find(|pid| command_line(*pid).iter().any(|word| word == "watch"));
    let pid = pid.context("no watcher runs")?;
    let (begun, before) = (Instant::now(), processor_time(pid));
    let reveal: PostReveal = wait_for("a reveal", DEADLINE, || {
        let text = std::fs::read_to_string(&file).ok()?;
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        serde_json::from_value(lines.find_map(|line| line.get("reveal").cloned())?).ok()
    })?;
    let used = processor_time(pid) - before;
    let slots = begun.elapsed().as_secs_f64() / 10.0;
    let evidence = data.join(format!("evidence/{}.jsonl", reveal.epoch.0));
    let bytes = std::fs::metadata(evidence).context("no evidence")?.len();
    println!(
        "{NODES} nodes: {:.2} s of processor time and {:.1} MB of evidence a slot",
        used.as_secs_f64() / slots,
        bytes as f64 / 1e6
    );
    let up = Outcome::Up.to_byte();
    let seen = reveal
        .rows
        .iter()
        .filter(|row| row.outcomes == [up])
        .count();
    ensure!(seen as u64 == NODES, "{seen} of {NODES} were seen up");
    service.stop()
}
