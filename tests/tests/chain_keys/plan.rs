//! What watchers are told, and where they leave what they saw.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use nacre_chain::deployment::Name;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::Slot;
use nacre_tests::examples::Example;
use nacre_tests::platform::{Service, describe};
use serde_json::{Value, json};

use crate::site::Site;
use crate::uptime::{COMMIT_SLOTS, EPOCH_SLOTS, REVEAL_SLOTS, SLOT_MS};

/// Anvil's.
const CHAIN: u64 = 31_337;

/// What the watchers are told.
pub(crate) struct Plan {
    folder: PathBuf,
}

impl Plan {
    /// To watch these nodes by this function.
    pub(crate) fn new(
        site: &Site,
        example: &Example,
        digest: &str,
        nodes: &[Value],
    ) -> anyhow::Result<Self> {
        let folder = site.platform.home().join("watchers");
        std::fs::create_dir_all(&folder)?;
        let expected = std::fs::read(example.dir().join("expected.json"))?;
        let expected: Value = serde_json::from_slice(&expected)?;
        let request: Value = serde_json::from_slice(&example.request)?;
        let canary = json!([{
            "function": example.name, "digest": digest, "request": request,
            "outputs": expected["outputs"], "tolerance": expected["tolerance"],
        }]);
        std::fs::write(folder.join("canaries.json"), canary.to_string())?;
        std::fs::write(
            folder.join("nodes.json"),
            json!({ "nodes": nodes }).to_string(),
        )?;
        Ok(Self { folder })
    }

    /// A watcher's folder.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The file that a watcher writes what it reveals to.
    pub(crate) fn report(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.jsonl"))
    }

    /// A watcher's process, which speaks to the oracle with the account of this key, if it has one.
    pub(crate) fn watch(
        &self,
        site: &Site,
        name: &str,
        key_file: Option<&Path>,
    ) -> anyhow::Result<Service> {
        let mut command = site
            .platform
            .nacre(["--json", "watch", "--exit-on-stdin-eof"]);
        command.arg("--data").arg(self.folder(name));
        command.arg("--nodes").arg(self.folder.join("nodes.json"));
        command
            .arg("--canaries")
            .arg(self.folder.join("canaries.json"));
        command.arg("--report").arg(self.report(name));
        command.args(["--root", site.platform.ready("root")]);
        command.args(["--policy", site.platform.ready("policy")]);
        for (name, value) in [
            ("--slot-ms", SLOT_MS),
            ("--epoch-slots", EPOCH_SLOTS.into()),
            ("--commit-slots", COMMIT_SLOTS.into()),
            ("--reveal-slots", REVEAL_SLOTS.into()),
        ] {
            command.args([name, &value.to_string()]);
        }
        if let Some(key_file) = key_file {
            oracle(&mut command, site, CHAIN, key_file);
        }
        Service::start(command)
    }

    /// The code with which a watcher ends that is told of an oracle on another chain than the Ethereum node's.
    pub(crate) fn astray(&self, site: &Site, key_file: &Path) -> anyhow::Result<String> {
        let mut command = site.platform.nacre(["--json", "watch"]);
        command.arg("--data").arg(self.folder("astray"));
        command.arg("--nodes").arg(self.folder.join("nodes.json"));
        command
            .arg("--canaries")
            .arg(self.folder.join("canaries.json"));
        command.arg("--report").arg(self.report("astray"));
        command.args(["--root", site.platform.ready("root")]);
        command.args(["--policy", site.platform.ready("policy")]);
        command.args(["--slot-ms", &SLOT_MS.to_string()]);
        oracle(&mut command, site, CHAIN + 1, key_file);
        let ended = command.stdin(Stdio::null()).output()?;
        ensure!(!ended.status.success(), "it watches: {}", describe(&ended));
        // Log lines come before it.
        let words = String::from_utf8_lossy(&ended.stderr).into_owned();
        let error: Value = serde_json::from_str(words.lines().last().unwrap_or_default())?;
        Ok(error["error"]["code"]
            .as_str()
            .context("no code")?
            .to_owned())
    }

    /// What a watcher kept of a node's answer in a slot, in a file of its own.
    pub(crate) fn record(&self, name: &str, slot: Slot, node: &NodeId) -> anyhow::Result<PathBuf> {
        let kept = self.folder(name).join(format!("evidence/{}.jsonl", slot.0));
        let kept = std::fs::read_to_string(kept)?;
        let is_its = |line: &&str| {
            let record: Result<Value, _> = serde_json::from_str(line);
            record.is_ok_and(|record| record["node"] == node.to_string())
        };
        let record = kept.lines().find(is_its).context("no such record")?;
        let file = self.folder.join(format!("{name}-{}.json", slot.0));
        std::fs::write(&file, record)?;
        Ok(file)
    }

    /// The first that a watcher kept of this node, if it kept any.
    pub(crate) fn first_record(&self, name: &str, node: &NodeId) -> anyhow::Result<PathBuf> {
        let mut slots = Vec::new();
        for file in std::fs::read_dir(self.folder(name).join("evidence"))? {
            let file = file?.path();
            let slot = file.file_stem().and_then(|name| name.to_str());
            slots.extend(slot.and_then(|slot| slot.parse().ok()).map(Slot));
        }
        slots.sort();
        let mut found = slots.into_iter().map(|slot| self.record(name, slot, node));
        found.find_map(Result::ok).context("no record of the node")
    }
}

/// Has a watcher speak to the oracle, as if it were on that chain, with the account of this key.
fn oracle(command: &mut Command, site: &Site, chain: u64, key_file: &Path) {
    let oracle = site.deployment.address(Name::UptimeOracle);
    command.args(["--oracle", &format!("{chain}:{oracle}")]);
    command.args(["--rpc", site.anvil.url().as_str()]);
    command.arg("--key-file").arg(key_file);
}
