//! SIGKILL at every step.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{Outcome, PostReveal, Slot, evidence_root};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, wait_for};
use nacre_uptime::EvidenceRecord;
use serde_json::json;

use crate::stub::{Post, Stub};
use crate::watcher::{Plan, Watcher};
use crate::{DEADLINE, node, real_node, schedule};

#[test]
fn a_watcher_killed_at_any_step_commits_once_and_reveals_what_it_committed_to() -> anyhow::Result<()>
{
    let platform = Platform::start()?;
    let example = Example::load("iris-regression")?;
    let digest = platform.deploy_example(&example.name)?;
    let (endpoint, boot) = real_node(&platform)?;
    let plan = Plan::new(&platform, schedule(), &example, &digest)?;
    plan.nodes(&[
        json!({ "id": node(1), "endpoint": endpoint, "boot_id": boot, "canary": "iris-regression" }),
        json!({ "id": node(2), "endpoint": "127.0.0.1:1" }),
    ])?;
    let stub = Stub::start(schedule())?;
    let mut watcher = Watcher::start(&plan, &platform, stub.address, "killed")?;
    let id = watcher.id()?;

    for _ in 0..3 {
        // While a slot is written down, when an epoch was just sealed, when a post was taken and not answered.
        let journal = watcher.data.join("journal");
        new_file(&journal, "a slot is written down")?;
        watcher.kill_and_start(|| ())?;
        new_file(&watcher.data.join("evidence"), "evidence is written")?;
        watcher.kill_and_start(|| ())?;
        new_file(&watcher.data.join("sealed"), "an epoch is sealed or posted")?;
        watcher.kill_and_start(|| ())?;
        for post in [Post::Commit, Post::Reveal] {
            stub.hold(post);
            stub.wait_held(DEADLINE)?;
            watcher.kill_and_start(|| stub.release())?;
        }
    }
    assert_eq!(watcher.id()?, id, "the key stays");
    // Everything that it committed to so far is revealed, though it was killed fifteen times.
    let committed: Vec<_> = stub.posted().commits.keys().copied().collect();
    ensure!(committed.len() >= 4, "{committed:?}");
    wait_for("all commitments are revealed", DEADLINE, || {
        let posted = stub.posted();
        let all = committed.iter().all(|key| posted.reveals.contains_key(key));
        all.then_some(())
    })?;
    assert_eq!(stub.posted().violations, Vec::<String>::new());
    let reveals: Vec<_> = stub.posted().reveals.values().cloned().collect();
    let mut answers = 0;
    for reveal in &reveals {
        answers += evidence_matches(&watcher, reveal)?;
    }
    ensure!(answers > 0, "it never saw the node up");
    watcher.stop()
}

/// What was revealed as up stands on the disk, and is what was committed to; how many answers there are.
fn evidence_matches(watcher: &Watcher<'_>, reveal: &PostReveal) -> anyhow::Result<usize> {
    let first = schedule().first_slot(reveal.epoch);
    let mut answers = 0;
    for row in &reveal.rows {
        let mut hashes: Vec<Option<Hash>> = Vec::new();
        for (slot, byte) in (first.0..).map(Slot).zip(&row.outcomes) {
            if Outcome::from_byte(*byte) != Some(Outcome::Up) {
                hashes.push(None);
                continue;
            }
            let text = std::fs::read_to_string(watcher.evidence(slot))?;
            let of_node = |line: &&str| {
                let record = EvidenceRecord::from_json(line.as_bytes());
                record.is_ok_and(|record| record.node == row.node)
            };
            let line = text
                .lines()
                .find(of_node)
                .context("no record of an answer")?;
            hashes.push(Some(EvidenceRecord::hash(line.as_bytes())));
            answers += 1;
        }
        assert_eq!(
            evidence_root(first, &hashes),
            Some(row.evidence_root),
            "{row:?}"
        );
    }
    Ok(answers)
}

/// Waits until a folder has a file that it did not have.
fn new_file(folder: &Path, what: &str) -> anyhow::Result<()> {
    let names = || -> BTreeSet<_> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let before = names();
    wait_for(what, DEADLINE, || {
        (!names().is_subset(&before)).then_some(())
    })
}
