//! Watchers, two of which lie, behind wires that fail, and a control plane that weighs their words.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_protocol::api::Page;
use nacre_protocol::uptime::{
    Schedule, SlashRecord, Slot, UptimeReport, Verdict, WatcherId, Window,
};
use nacre_tests::hostile_wire::{Change, Fault, HostileWire, Way};
use nacre_tests::platform::{Service, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::realm::{RealNode, Realm};
use crate::stub::unix_ms;

/// Long enough for three honest watchers to have watched a whole window, and for its words and their time.
const DEADLINE: Duration = Duration::from_secs(150);
const STAKE: u64 = 1_000_000;
const CUT: Fault = Fault {
    way: Way::Out,
    at: 0,
    change: Change::Cut,
};

#[test]
fn two_liars_of_five_cost_no_honest_node_its_stake_and_the_dead_one_pays_once_a_window()
-> anyhow::Result<()> {
    let cut: Vec<_> = "--slot-ms 3000 --epoch-slots 4 --window-slots 8 --commit-slots 2 --reveal-slots 3 --dispute-s 0"
        .split(' ')
        .collect();
    let realm = Realm::start(&cut)?;
    let (alive, dead) = (realm.node("alive")?, realm.node("dead")?);
    for node in [&alive, &dead] {
        let (id, stake) = (node.known.id.to_string(), STAKE.to_string());
        realm.admin(&["stake-node", "--node", &id, "--stake", &stake])?;
    }
    dead.process.signal(Signal::KILL)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let wire = runtime.block_on(HostileWire::start(alive.known.endpoint.parse()?))?;

    let through_wire = wire.address().to_string();
    let truth = [
        entry(&alive, &through_wire, true),
        entry(&dead, &dead.known.endpoint, true),
    ];
    // The living one is looked for where nobody is, and the dead one where the living one is.
    let lie = [
        entry(&alive, "127.0.0.1:1", true),
        entry(&dead, &alive.known.endpoint, false),
    ];
    let mut watchers = Vec::new();
    for (at, nodes) in [&truth, &truth, &truth, &lie, &lie].into_iter().enumerate() {
        let data = realm.platform.home().join(format!("watcher-{at}"));
        watchers.push(watcher(&realm, &data, nodes)?);
    }
    let ids = watchers
        .iter()
        .map(id)
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (at, id) in ids.iter().enumerate() {
        let (id, name) = (id.to_string(), format!("watcher {at}"));
        realm.admin(&[
            "add-watcher",
            "--id",
            &id,
            "--name",
            &name,
            "--stake",
            "100",
        ])?;
    }

    // The first window that begins from now on is watched whole. Meanwhile the wire is cut now and again.
    let schedule: Schedule = serde_json::from_value(realm.get("/v1/uptime/schedule")?)?;
    let now = schedule.window_of(schedule.epoch_of(schedule.slot_at(unix_ms())));
    let window = Window(now.0 + 1);
    let begun = Instant::now();
    let slashes = wait_for("the window is settled", DEADLINE, || {
        let down = begun.elapsed().as_millis() % 2_000 < 250;
        wire.set(down.then_some(CUT));
        let page = realm.get("/v1/uptime/slashes").ok()?;
        let page: Page<SlashRecord> = serde_json::from_value(page).ok()?;
        let settled = page.items.iter().any(|slash| slash.window >= window);
        settled.then_some(page.items)
    })?;
    let mut windows = BTreeSet::new();
    for slash in &slashes {
        ensure!(
            slash.node == dead.known.id,
            "an honest node was slashed: {slash:?}"
        );
        ensure!(windows.insert(slash.window), "slashed twice: {slashes:?}");
    }
    let whole = slashes.iter().find(|slash| slash.window == window);
    let whole = whole.context("not slashed for the whole window")?;
    assert_eq!((whole.stake, whole.amount), (STAKE, STAKE / 20));
    assert_eq!((whole.up, whole.missing), (0, 8), "{whole:?}");

    let first = schedule.first_slot(schedule.first_epoch(window));
    let honest = report(&realm, &alive, first)?;
    assert_eq!(honest.slots.len(), 8);
    for slot in &honest.slots {
        assert_eq!(slot.verdict, Verdict::Up, "{slot:?}");
    }
    let gone = report(&realm, &dead, first)?;
    for slot in &gone.slots {
        assert_eq!(slot.verdict, Verdict::Down, "{slot:?}");
        let said = |at: usize| {
            let saw = slot.saw.iter().find(|saw| saw.watcher.watcher == ids[at]);
            saw.and_then(|saw| saw.up)
        };
        // The report shows who lied.
        assert_eq!([3, 4].map(said), [Some(true); 2], "{slot:?}");
        assert_eq!([0, 1, 2].map(said), [Some(false); 3], "{slot:?}");
    }
    let nodes = realm.nodes()?;
    let of = |node: &RealNode| {
        let mut nodes = nodes.iter();
        let shown = nodes.find(|shown| shown.id == node.known.id);
        shown.and_then(|shown| shown.uptime.score)
    };
    assert_eq!((of(&alive), of(&dead)), (Some(10_000), Some(0)));
    watchers.into_iter().try_for_each(Service::stop)
}

/// A node as a watcher is told of it.
fn entry(node: &RealNode, endpoint: &str, with_boot: bool) -> Value {
    let boot = with_boot.then_some(node.known.boot_id);
    json!({ "id": node.known.id, "endpoint": endpoint, "boot_id": boot })
}

/// A watcher that is told of these nodes, and learns from the control plane how time is cut.
fn watcher(realm: &Realm, data: &Path, nodes: &[Value]) -> anyhow::Result<Service> {
    let file = data.with_extension("json");
    std::fs::write(&file, json!({ "nodes": nodes }).to_string())?;
    let mut command = realm.nacre(&["watch", "--exit-on-stdin-eof", "--data"]);
    command.arg(data).arg("--nodes").arg(file);
    command.args(["--control-plane", realm.url()]);
    realm.trust(&mut command);
    Service::start(command)
}

fn id(watcher: &Service) -> anyhow::Result<WatcherId> {
    let id = watcher.ready()["watcher"].as_str();
    Ok(id.context("no id")?.parse()?)
}

fn report(realm: &Realm, node: &RealNode, first: Slot) -> anyhow::Result<UptimeReport> {
    let (id, from, to) = (node.known.id, first.0, first.0 + 8);
    let path = format!("/v1/uptime/report?node={id}&from={from}&to={to}");
    Ok(serde_json::from_value(realm.get(&path)?)?)
}
