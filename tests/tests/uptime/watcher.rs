//! A `nacre watch` process with a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Schedule, Slot, WatcherId};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, Service};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What all watchers of a test are told.
pub(crate) struct Plan {
    pub(crate) schedule: Schedule,
    pub(crate) dir: TempDir,
    root: String,
    policy: String,
}

impl Plan {
    /// One canary, and the nodes of [`Plan::nodes`].
    pub(crate) fn new(
        platform: &Platform,
        schedule: Schedule,
        example: &Example,
        digest: &str,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("nacre-watch-").tempdir()?;
        let expected: Value =
            serde_json::from_slice(&std::fs::read(example.dir().join("expected.json"))?)?;
        let request: Value = serde_json::from_slice(&example.request)?;
        let canary = json!([{
            "function": example.name, "digest": digest, "request": request,
            "outputs": expected["outputs"], "tolerance": expected["tolerance"],
        }]);
        std::fs::write(dir.path().join("canaries.json"), canary.to_string())?;
        Ok(Self {
            schedule,
            dir,
            root: platform.ready("root").to_owned(),
            policy: platform.ready("policy").to_owned(),
        })
    }

    pub(crate) fn nodes(&self, nodes: &[Value]) -> anyhow::Result<()> {
        let path = self.dir.path().join("nodes.json");
        Ok(std::fs::write(path, json!({ "nodes": nodes }).to_string())?)
    }

    pub(crate) fn canaries(&self) -> PathBuf {
        self.dir.path().join("canaries.json")
    }

    /// Flags that every watcher of the test has.
    pub(crate) fn common(&self, command: &mut Command, data: &Path) {
        command
            .args(["--json", "watch", "--exit-on-stdin-eof", "--data"])
            .arg(data)
            .arg("--canaries")
            .arg(self.canaries())
            .args(["--slot-ms", &self.schedule.slot_ms().to_string()])
            .args(["--epoch-slots", &self.schedule.epoch_slots().to_string()])
            .args(["--commit-slots", "2", "--reveal-slots", "12"]);
    }

    fn trust(&self, command: &mut Command) {
        command.args(["--root", &self.root, "--policy", &self.policy]);
    }
}

/// One watcher.
pub(crate) struct Watcher<'a> {
    plan: &'a Plan,
    platform: &'a Platform,
    stub: SocketAddr,
    pub(crate) data: PathBuf,
    service: Service,
}

impl<'a> Watcher<'a> {
    pub(crate) fn start(
        plan: &'a Plan,
        platform: &'a Platform,
        stub: SocketAddr,
        name: &str,
    ) -> anyhow::Result<Self> {
        let data = plan.dir.path().join(name);
        Ok(Self {
            plan,
            platform,
            stub,
            service: spawn(plan, platform, stub, &data)?,
            data,
        })
    }

    pub(crate) fn id(&self) -> anyhow::Result<WatcherId> {
        let id = self.service.ready()["watcher"].as_str();
        Ok(id.context("no id")?.parse()?)
    }

    /// SIGKILL, and the same again in the same folder.
    pub(crate) fn kill_and_start(&mut self, released: impl FnOnce()) -> anyhow::Result<()> {
        self.service.signal(rustix::process::Signal::KILL)?;
        released();
        let killed = spawn_after(self.plan, self.platform, self.stub, &self.data)?;
        self.service = killed;
        Ok(())
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.service.stop()
    }

    pub(crate) fn evidence(&self, slot: Slot) -> PathBuf {
        self.data.join(format!("evidence/{}.jsonl", slot.0))
    }

    /// `nacre watch verify` on one node's record of a slot.
    pub(crate) fn verify(&self, slot: Slot, node: &NodeId, salt: &str) -> Command {
        let mut command = self.platform.nacre(["--json", "watch", "verify"]);
        command
            .arg(self.evidence(slot))
            .args(["--node", &node.to_string(), "--salt", salt]);
        self.plan.trust(&mut command);
        command
    }
}

fn spawn(
    plan: &Plan,
    platform: &Platform,
    stub: SocketAddr,
    data: &Path,
) -> anyhow::Result<Service> {
    let mut command = platform.nacre::<&str>([]);
    plan.common(&mut command, data);
    plan.trust(&mut command);
    command
        .arg("--nodes")
        .arg(plan.dir.path().join("nodes.json"))
        .args(["--control-plane", &format!("http://{stub}")]);
    Service::start(command)
}

/// The dead one's lock goes with it, a moment after the signal.
fn spawn_after(
    plan: &Plan,
    platform: &Platform,
    stub: SocketAddr,
    data: &Path,
) -> anyhow::Result<Service> {
    let limit = std::time::Duration::from_secs(10);
    nacre_tests::platform::wait_for("the lock is free", limit, || {
        spawn(plan, platform, stub, data).ok()
    })
}
