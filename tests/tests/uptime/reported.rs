//! A watcher that learns nodes from a real control plane, and writes what it would post to a file.

use anyhow::{Context as _, ensure};
use nacre_protocol::uptime::{Outcome, PostReveal};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, Service, wait_for};
use nacre_uptime::EvidenceRecord;
use serde_json::Value;

use crate::watcher::Plan;
use crate::{DEADLINE, schedule};

#[test]
fn nodes_come_from_the_control_plane_and_scores_go_to_a_file() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-regression")?;
    let digest = platform.deploy_example(&example.name)?;
    let plan = Plan::new(&platform, schedule(), &example, &digest)?;
    let data = plan.dir.path().join("reporting");
    let file = plan.dir.path().join("report.jsonl");
    let mut command = platform.nacre::<&str>([]);
    plan.common(&mut command, &data);
    command.arg("--report").arg(&file);
    let service = Service::start(command)?;
    let kinds = wait_for("a reveal with an answer", DEADLINE, || {
        let text = std::fs::read_to_string(&file).ok()?;
        let lines: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let mut reveals = lines.iter().filter_map(|line| line.get("reveal"));
        let up = |reveal: &&Value| {
            let reveal = serde_json::from_value::<PostReveal>((*reveal).clone()).unwrap();
            reveal
                .rows
                .iter()
                .any(|row| row.outcomes.contains(&Outcome::Up.to_byte()))
        };
        reveals.find(up)?;
        Some(lines)
    })?;
    ensure!(
        kinds[0].get("commit").is_some(),
        "the first line is a commitment"
    );
    // It was asked the canary, not its health.
    let evidence = data.join("evidence");
    let mut records = std::fs::read_dir(evidence)?.flatten().filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path()).ok()?;
        EvidenceRecord::from_json(text.lines().next()?.as_bytes()).ok()
    });
    let record = records.next().context("no record")?;
    let verified = record.verify(&platform.trust()?, None)?;
    assert_eq!(verified.function.map(|d| d.to_string()), Some(digest));
    service.stop()
}
