//! Several watchers of nodes behind wires that fail, and their evidence, checked again.

use std::collections::BTreeSet;

use anyhow::ensure;
use nacre_protocol::encoding::base64url;
use nacre_protocol::ids::BootId;
use nacre_protocol::uptime::{
    DownReason, Epoch, Outcome, PostReveal, Row, Slot, Standing, Verdict, WatcherId,
};
use nacre_tests::examples::Example;
use nacre_tests::hostile_wire::{Change, Fault, HostileWire, Way};
use nacre_tests::platform::{Platform, Refusal, describe};
use nacre_uptime::{
    Dispute, DisputeError, EpochInput, EpochVerdict, EvidenceError, EvidenceRecord, WatcherInput,
    judge_epoch,
};
use serde_json::{Value, json};

use crate::stub::{Stub, unix_ms};
use crate::watcher::{Plan, Watcher};
use crate::{DEADLINE, EPOCH_SLOTS, SLOT_MS, node, real_node, schedule};

const CUT: Fault = Fault {
    way: Way::Out,
    at: 0,
    change: Change::Cut,
};

#[test]
fn three_watchers_say_the_same_of_nodes_behind_wires_that_fail() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let platform = Platform::start()?;
    let example = Example::load("iris-regression")?;
    let digest = platform.deploy_example(&example.name)?;
    let (endpoint, boot) = real_node(&platform)?;
    let plan = Plan::new(&platform, schedule(), &example, &digest)?;
    let wire = runtime.block_on(HostileWire::start(endpoint.parse()?))?;
    let broken = runtime.block_on(HostileWire::start(endpoint.parse()?))?;
    broken.set(Some(CUT));
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let other_boot = BootId::from_random([1; 16]);
    let entry = |at: u8, endpoint: &str, boot: BootId| json!({ "id": node(at), "endpoint": endpoint, "boot_id": boot, "canary": "iris-regression" });
    plan.nodes(&[
        entry(1, &wire.address().to_string(), boot),
        json!({ "id": node(2), "endpoint": endpoint }),
        entry(3, &endpoint, other_boot),
        entry(4, &broken.address().to_string(), boot),
        entry(5, &nobody.to_string(), boot),
    ])?;
    let stub = Stub::start(schedule())?;
    let watchers =
        ["one", "two", "three"].map(|name| Watcher::start(&plan, &platform, stub.address, name));
    let watchers = watchers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;

    let (epoch, reveals) = revealed_by_all(&stub, &watchers, next_epoch())?;
    let [up, refused] =
        [Verdict::Up, Verdict::Down].map(|verdict| vec![verdict; EPOCH_SLOTS.into()]);
    let verdicts = judged(&stub, &watchers, epoch)?;
    let wanted = [&up, &up, &refused, &refused, &refused];
    for (at, wanted) in (1..).zip(wanted) {
        assert_eq!(
            verdicts.nodes.get(&node(at)),
            Some(wanted),
            "node {at}: {verdicts:?}"
        );
    }
    assert!(
        verdicts
            .watchers
            .iter()
            .all(|w| w.standing == Standing::Counted)
    );
    let reason = |at: u8| Outcome::from_byte(row(&reveals[0], at).outcomes[0]);
    assert_eq!(reason(3), Some(Outcome::Down(DownReason::OtherEnclave)));
    assert_eq!(reason(5), Some(Outcome::Down(DownReason::ConnectFailed)));
    evidence_is_checked_again(&platform, &watchers, &reveals)?;

    // The wire to the first node breaks, and then heals.
    wire.set(Some(CUT));
    let (_, reveals) = revealed_by_all(&stub, &watchers, next_epoch())?;
    assert_ne!(row(&reveals[0], 1).outcomes, vec![Outcome::Up.to_byte(); 2]);
    let verdicts = judged(&stub, &watchers, reveals[0].epoch)?;
    assert_eq!(verdicts.nodes[&node(1)], refused);
    assert_eq!(verdicts.nodes[&node(2)], up);
    wire.set(None);
    let (epoch, _) = revealed_by_all(&stub, &watchers, next_epoch())?;
    assert_eq!(judged(&stub, &watchers, epoch)?.nodes[&node(1)], up);

    assert_eq!(stub.posted().violations, Vec::<String>::new());
    watchers.into_iter().try_for_each(Watcher::stop)
}

/// Off line, by the command and by a dispute.
fn evidence_is_checked_again(
    platform: &Platform,
    watchers: &[Watcher<'_>],
    reveals: &[PostReveal],
) -> anyhow::Result<()> {
    let slot = schedule().first_slot(reveals[0].epoch);
    let salt = base64url(&reveals[0].salt);
    let shown = watchers[0].verify(slot, &node(1), &salt).output()?;
    ensure!(shown.status.success(), "{}", describe(&shown));
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    assert_eq!(shown[0]["own_nonce"], true);
    assert_eq!(shown[0]["slot"], slot.0);
    // Another watcher's salt: the nonce is not its.
    let other = base64url(&reveals[1].salt);
    let refused = Refusal::of(watchers[0].verify(slot, &node(1), &other))?;
    assert_eq!(refused.is(), (15, "evidence-nonce-differs"));
    // So it is of the node without a canary.
    let lived = watchers[0].verify(slot, &node(2), &salt).output()?;
    let lived: Value = serde_json::from_slice(&lived.stdout)?;
    assert_eq!(lived[0]["own_nonce"], true);
    let refused = Refusal::of(watchers[0].verify(slot, &node(2), &other))?;
    assert_eq!(refused.is(), (15, "evidence-nonce-differs"));

    let trust = platform.trust()?;
    let records = records(&watchers[0], slot)?;
    let of = |at: u8| {
        records
            .iter()
            .find(|record| record.node == node(at))
            .unwrap()
    };
    let (_, boot) = real_node(platform)?;
    let dispute = |record: &EvidenceRecord, salt: [u8; 32], boots: &[BootId]| {
        let dispute = Dispute {
            record,
            revealed_salt: salt,
            slot_ms: SLOT_MS,
            boots,
        };
        dispute.check(&trust)
    };
    let salt = reveals[0].salt;
    let id = watchers[0].id()?;
    assert_eq!(dispute(of(1), salt, &[boot])?, (id, node(1), slot));
    assert_eq!(dispute(of(2), salt, &[boot])?, (id, node(2), slot));
    let elsewhere = dispute(of(1), salt, &[]);
    assert!(
        matches!(elsewhere, Err(DisputeError::OtherEnclave(_))),
        "{elsewhere:?}"
    );
    // The same answer does not speak for another watcher, node or slot.
    let nonce = |error| matches!(error, Err(DisputeError::Evidence(EvidenceError::Nonce)));
    for at in [1, 2] {
        let mut copied = of(at).clone();
        copied.watcher = watchers[1].id()?;
        assert!(nonce(dispute(&copied, reveals[1].salt, &[boot])));
        let mut copied = of(at).clone();
        copied.node = node(5);
        assert!(nonce(dispute(&copied, salt, &[boot])));
        let mut copied = of(at).clone();
        copied.slot.0 += 1;
        assert!(nonce(dispute(&copied, salt, &[boot])));
    }
    Ok(())
}

/// The first epoch that begins from now on.
fn next_epoch() -> Epoch {
    let slot = schedule().slot_at(unix_ms());
    Epoch(schedule().epoch_of(slot).0 + 1)
}

/// All three watchers' reveals of the first epoch from this one on that all of them revealed.
fn revealed_by_all(
    stub: &Stub,
    watchers: &[Watcher<'_>],
    from: Epoch,
) -> anyhow::Result<(Epoch, Vec<PostReveal>)> {
    let mut epoch = from;
    for watcher in watchers {
        epoch = epoch.max(stub.reveal_from(watcher.id()?, from, DEADLINE)?.epoch);
    }
    let reveals = watchers
        .iter()
        .map(|watcher| stub.reveal_from(watcher.id()?, epoch, DEADLINE))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        reveals.iter().all(|reveal| reveal.epoch == epoch),
        "one missed {epoch:?}"
    );
    Ok((epoch, reveals))
}

fn judged(stub: &Stub, watchers: &[Watcher<'_>], epoch: Epoch) -> anyhow::Result<EpochVerdict> {
    let posted = stub.posted();
    let ids = watchers
        .iter()
        .map(Watcher::id)
        .collect::<anyhow::Result<Vec<WatcherId>>>()?;
    let none = BTreeSet::new();
    let inputs = ids.into_iter().map(|watcher| WatcherInput {
        watcher,
        stake: 1_000,
        commitment: posted
            .commits
            .get(&(watcher, epoch))
            .map(|commit| &commit.commitment),
        reveal: posted.reveals.get(&(watcher, epoch)),
    });
    Ok(judge_epoch(&EpochInput {
        schedule: stub.schedule(),
        epoch,
        watchers: inputs.collect(),
        overturned: &none,
    }))
}

fn row(reveal: &PostReveal, at: u8) -> &Row {
    reveal.rows.iter().find(|row| row.node == node(at)).unwrap()
}

fn records(watcher: &Watcher<'_>, slot: Slot) -> anyhow::Result<Vec<EvidenceRecord>> {
    let text = std::fs::read_to_string(watcher.evidence(slot))?;
    let records = text
        .lines()
        .map(|line| EvidenceRecord::from_json(line.as_bytes()));
    Ok(records.collect::<Result<_, _>>()?)
}
