//! From watchers to stake: three watchers, one of whom lies; a node that dies; a node that is slandered.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::U256;
use anyhow::{Context as _, ensure};
use nacre_chain::settings::Settings;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Epoch, Schedule, Slot, Window};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Refusal, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::leave_without_anvil;
use crate::liar::Lying;
use crate::plan::Plan;
use crate::site::{REGION, Site, printed, start_node};

/// Long enough for a debug build on a busy machine to answer within a try.
pub(crate) const SLOT_MS: u32 = 2_000;
pub(crate) const EPOCH_SLOTS: u16 = 2;
/// Long enough for two blocks and the guard before reveals.
pub(crate) const COMMIT_SLOTS: u16 = 4;
pub(crate) const REVEAL_SLOTS: u16 = 3;
const WINDOW_SLOTS: u32 = 4;
const DEADLINE: Duration = Duration::from_secs(120);
/// Base units of stake behind each node.
const BEHIND: u64 = 400_000;
/// Watchers' stakes: the liar outweighs the two honest ones.
const HONEST: u64 = 20_000;
const LIAR: u64 = 60_000;

pub(crate) fn schedule() -> Schedule {
    let (commit, reveal) = (COMMIT_SLOTS, REVEAL_SLOTS);
    Schedule::new(SLOT_MS, EPOCH_SLOTS, WINDOW_SLOTS, commit, reveal).unwrap()
}

/// The wall clock; the chain's goes with it until a test moves that.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

fn tune(settings: &mut Settings) {
    let uptime = &mut settings.uptime;
    (uptime.slot_ms, uptime.epoch_slots) = (SLOT_MS, EPOCH_SLOTS);
    uptime.window_slots = WINDOW_SLOTS;
    (uptime.commit_slots, uptime.reveal_slots) = (COMMIT_SLOTS, REVEAL_SLOTS);
    uptime.guard_ms = 2_000;
    (uptime.min_watcher_stake, uptime.quorum_stake) = (1_000, 1_000);
    settings.nodes.min_node_stake = 1_000;
}

#[test]
fn a_dead_node_pays_and_a_slandered_one_does_not() -> anyhow::Result<()> {
    leave_without_anvil!();
    let site = Site::start_with(tune)?;
    let dying = start_node(&site.platform, "nowhere", Vec::new())?;
    let (well, doomed) = (node_of(&site, REGION)?, node_of(&site, "nowhere")?);
    let example = Example::load("iris-network")?;
    let dir = example.dir().display().to_string();
    let deployed = site.platform.json(&["deploy", &dir, "--region", REGION])?;
    let digest = deployed["digest"].as_str().context("no digest")?;

    let [one, two, liar] = ["one", "two", "liar"].map(|name| site.account(name));
    let (one, two, liar) = (one?, two?, liar?);
    site.stake(&site.key_file, 2 * BEHIND)?;
    for (key_file, stake) in [(&one, HONEST), (&two, HONEST), (&liar, LIAR)] {
        site.stake(key_file, stake)?;
    }
    answer_for(&site, &well, &doomed)?;

    // The liar's own process sees what the others see; what is said on the chain for it is another matter.
    site.block_a_second()?;
    let nodes = [well.told(Some(&example.name)), doomed.told(None)];
    let plan = Plan::new(&site, &example, digest, &nodes)?;
    let honest = [
        plan.watch(&site, "one", Some(&one))?,
        plan.watch(&site, "two", Some(&two))?,
    ];
    let watching = plan.watch(&site, "liar", None)?;
    ensure!(plan.astray(&site, &two)? == "wrong-chain");
    let lying = Lying::start(&site, plan.folder("liar"), &liar, well.id)?;

    let lie = wait_for("the liar has lied", DEADLINE, || lying.lie())?;
    dying.signal(Signal::KILL)?;
    let dead = schedule().window_of(schedule().epoch_of(Slot(slot_now().0 + 1)));
    wait_for("the window is closed", DEADLINE, || {
        (unix_ms() > schedule().closed_from(last_epoch(dead)) + 2_000).then_some(())
    })?;
    let told = lying.stop()?;
    for watcher in honest {
        watcher.stop()?;
    }
    watching.stop()?;

    // The window's report on the chain, and the slander.
    let reveals = [plan.report("one"), plan.report("two"), told.clone()];
    let down = site.accuse(&one, &doomed.id, dead, &reveals)?;
    let slandered = schedule().window_of(schedule().epoch_of(lie));
    let slander = site.accuse(&liar, &well.id, slandered, &[told])?;

    let nobody = NodeId::from_random([7; 16]);
    let nothing = Refusal::of(site.accusing(&one, &nobody, dead, &reveals))?;
    ensure!(nothing.code == "nothing-to-accuse", "{nothing:?}");

    // Another watcher's nonce overturns nothing of the liar's, a sign of life nothing at all; the liar's own nonce does.
    let lived = Refusal::of(site.disputing(&plan.first_record("one", &doomed.id)?))?;
    ensure!(lived.code == "evidence-without-receipt", "{lived:?}");
    let honest = printed(site.disputing(&plan.record("one", lie, &well.id)?))?;
    let own = printed(site.disputing(&plan.record("liar", lie, &well.id)?))?;
    ensure!(
        own["slot"] == lie.0 && own["watcher"] != honest["watcher"],
        "{own}"
    );

    let early = Refusal::of(site.settling(&two, &down))?;
    ensure!(early.is() == (4, "still-disputable"), "{early:?}");
    let unknown = Refusal::of(site.settling(&two, &format!("0x{}", "7".repeat(64))))?;
    ensure!(unknown.code == "accusation-unknown", "{unknown:?}");
    site.pass(2 * 86_400)?;
    let cleared = printed(site.settling(&two, &slander))?;
    ensure!(cleared["paid"] == "0x0", "{cleared}");
    ensure!(site.staked(&site.key_file)? == U256::from(2 * BEHIND));

    // 5 % of what stood behind the dead node; a tenth of that is the accuser's, whoever settles.
    let due = BEHIND / 20;
    let paid = printed(site.settling(&two, &down))?;
    ensure!(paid["paid"] == format!("{due:#x}"), "{paid}");
    ensure!(site.staked(&site.key_file)? == U256::from(2 * BEHIND - due));
    ensure!(
        site.credited(&one)? == U256::from(due / 10),
        "the accuser's bounty"
    );
    let again = Refusal::of(site.settling(&two, &down))?;
    ensure!(again.is() == (4, "settled-already"), "{again:?}");
    Ok(())
}

/// A node of the platform as watchers are told of it.
struct Node {
    id: NodeId,
    endpoint: String,
    boot: String,
}

impl Node {
    fn told(&self, canary: Option<&str>) -> Value {
        let mut node = json!({"id": self.id, "endpoint": self.endpoint, "boot_id": self.boot});
        if let Some(canary) = canary {
            node["canary"] = canary.into();
        }
        node
    }
}

/// The platform's node in this region, once it is there.
fn node_of(site: &Site, region: &str) -> anyhow::Result<Node> {
    let node = wait_for("the node is registered", DEADLINE, || {
        let nodes = site.platform.json(&["nodes"]).ok()?;
        let mut nodes = nodes.as_array()?.iter();
        let node = nodes.find(|node| node["region"] == region && node["online"] == true)?;
        Some(node.clone())
    })?;
    let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
    Ok(Node {
        id: text("id").parse()?,
        endpoint: text("endpoint"),
        boot: text("boot_id"),
    })
}

/// The operator answers for both nodes; the key of the one that is well is registered, and bound to it.
fn answer_for(site: &Site, well: &Node, doomed: &Node) -> anyhow::Result<()> {
    let verifier = site.verifier(true)?;
    site.approve_verifier(&verifier)?;
    site.approve_workers()?;
    let registered = site.register(&verifier, &site.named()?)?;
    let key = registered[0]["key"].as_str().context("no key")?;
    let behind = BEHIND.to_string();
    site.say("register", &well.id, &["--stake", &behind])?;
    site.say("register", &doomed.id, &["--stake", &behind])?;
    site.say("bind", &well.id, &["--receipt-key", key])?;
    Ok(())
}

fn slot_now() -> Slot {
    schedule().slot_at(unix_ms())
}

fn last_epoch(window: Window) -> Epoch {
    Epoch(schedule().first_epoch(Window(window.0 + 1)).0 - 1)
}

impl Site {
    /// Accuses a node with what watchers revealed; the accusation's id.
    fn accuse(
        &self,
        key_file: &Path,
        node: &NodeId,
        window: Window,
        reveals: &[PathBuf],
    ) -> anyhow::Result<String> {
        let made = printed(self.accusing(key_file, node, window, reveals))?;
        Ok(made["accusation"]
            .as_str()
            .context("no accusation")?
            .to_owned())
    }

    fn accusing(
        &self,
        key_file: &Path,
        node: &NodeId,
        window: Window,
        reveals: &[PathBuf],
    ) -> Command {
        let mut command = self.chain(&["uptime", "accuse"], Some(key_file));
        command.args([
            "--node",
            &node.to_string(),
            "--window",
            &window.0.to_string(),
        ]);
        command.args(["--operator", &self.operator.to_string()]);
        for file in reveals {
            command.arg("--reveals").arg(file);
        }
        command
    }

    /// Disputes with this record of the operator's node.
    fn disputing(&self, record: &Path) -> Command {
        let mut command = self.chain(&["uptime", "dispute"], Some(&self.key_file));
        command.arg("--evidence").arg(record);
        command.args(["--operator", &self.operator.to_string()]);
        command
    }

    fn settling(&self, key_file: &Path, accusation: &str) -> Command {
        self.chain(&["uptime", "settle", accusation], Some(key_file))
    }
}
