//! One machine with a control plane and a node, which die and are started again.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedClient, ClientOptions, Endpoint, Trust};
use nacre_failpoint::{FOLDER_VARIABLE, HIT, NEXT, Point};
use nacre_protocol::digest::Digest;
use nacre_tests::platform::{Platform, binary, nacre, onnxruntime, wait_for};
use nacre_tests::processes::{Part, command_line, descendants, is_running, signal};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::PATIENCE;

/// How long a node has a job.
const LEASE_MS: u32 = 1_500;
/// Jobs that are done after an enclave was first seen, of which one at least must be its own.
const SERVES: usize = 5;
/// Tries after which a job fails: more than anybody kills.
pub(crate) const TRIES: u32 = 20;

pub(crate) struct Machine {
    home: TempDir,
    url: String,
    endpoint: Endpoint,
    trust: Trust,
    pub(crate) digest: Digest,
    control_plane: Option<Child>,
    node: Option<Child>,
}

impl Machine {
    /// What runs on it.
    pub(crate) const EXAMPLE: &str = "iris-network";

    /// Lets `nacre dev` make everything and deploy the example, and then runs control plane and node by itself.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("nacre-chaos-").tempdir()?;
        let data = home.path().join("data").display().to_string();
        let platform = Platform::start_with(&["--data", &data])?;
        let digest = platform.deploy_example(Self::EXAMPLE)?.parse()?;
        let url = platform.ready("control_plane").to_owned();
        // A node keeps its port.
        let endpoint = platform.ready("node").parse()?;
        let trust = platform.trust()?;
        platform.stop()?;
        std::fs::create_dir(home.path().join("failpoints"))?;
        let mut machine = Self {
            home,
            url,
            endpoint,
            trust,
            digest,
            control_plane: None,
            node: None,
        };
        machine.revive()?;
        Ok(machine)
    }

    /// The control plane's.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A client of the function's enclave, whichever runs, with no connection yet.
    pub(crate) fn client(&self) -> AttestedClient {
        let options = ClientOptions {
            handshake_timeout: Duration::from_secs(2),
            ..ClientOptions::default()
        };
        let endpoints = vec![self.endpoint.clone()];
        AttestedClient::new(self.trust.clone(), Some(self.digest), endpoints, options)
    }

    /// The API key.
    pub(crate) fn key(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.file("data/api-key"))?
            .trim()
            .to_owned())
    }

    /// The database's URL for those who read it.
    pub(crate) fn database(&self) -> String {
        format!(
            "sqlite://{}",
            self.file("data/control-plane/nacre.db").display()
        )
    }

    /// Where the objects are.
    pub(crate) fn objects(&self) -> PathBuf {
        self.file("data/control-plane/objects")
    }

    /// Whoever comes to this point first dies, and is started again. False if nobody came there within `limit`. With `provoke`,
    /// the count of jobs done, jobs fail meanwhile, because their worker is killed while it has them.
    pub(crate) fn kill_at(
        &mut self,
        point: Point,
        provoke: Option<&AtomicUsize>,
        limit: Duration,
    ) -> anyhow::Result<bool> {
        let folder = self.file("failpoints");
        let (staged, next, hit) = (folder.join("staged"), folder.join(NEXT), folder.join(HIT));
        std::fs::write(&staged, point.to_string())?;
        std::fs::rename(staged, &next)?;
        let deadline = Instant::now() + limit;
        let mut came = false;
        let mut seen = BTreeMap::new();
        while !came && Instant::now() < deadline {
            let workers = provoke.map_or(Vec::new(), |done| self.serving(&mut seen, done));
            for worker in &workers {
                // It may be gone already.
                let _ = signal(*worker, Signal::STOP);
            }
            let hit = || hit.exists().then_some(());
            came = wait_for("somebody comes", Duration::from_millis(500), hit).is_ok();
            for worker in workers {
                let _ = signal(worker, Signal::KILL);
            }
        }
        if !came && std::fs::remove_file(next).is_ok() {
            return Ok(false);
        }
        wait_for("whoever came there dies", PATIENCE, || {
            let ended = |child: &mut Option<Child>| {
                let child = child.as_mut()?;
                child.try_wait().ok().flatten()
            };
            ended(&mut self.control_plane).or_else(|| ended(&mut self.node))
        })?;
        std::fs::remove_file(hit)?;
        self.revive()?;
        Ok(true)
    }

    /// SIGKILL for this part of it, or for the next one of its kind. `done` counts the jobs that are.
    pub(crate) fn kill(&mut self, part: Part, done: &AtomicUsize) -> anyhow::Result<()> {
        let child = match part {
            Part::ControlPlane => &mut self.control_plane,
            Part::Node => &mut self.node,
            part => {
                // Between two lives there is none; then the next one's, a worker's once it serves.
                let mut seen = BTreeMap::new();
                let now = self.pids(part).first().copied();
                let pid = now.map_or_else(
                    || {
                        wait_for("it is there", PATIENCE, || match part {
                            Part::Worker => self.serving(&mut seen, done).first().copied(),
                            part => self.pids(part).first().copied(),
                        })
                    },
                    Ok,
                )?;
                let _ = signal(pid, Signal::KILL);
                return Ok(());
            }
        };
        let child = child.as_mut().context("it is not there")?;
        child.kill()?;
        child.wait()?;
        self.revive()
    }

    /// The ends of both programs' logs, for whoever looks for why it failed.
    pub(crate) fn print_logs(&self) {
        const LINES: usize = 60;
        for program in ["control-plane", "node"] {
            let log = std::fs::read(self.file(&format!("{program}.log"))).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<_> = log.lines().collect();
            println!("{program}, the last of {} lines:", lines.len());
            for line in &lines[lines.len().saturating_sub(LINES)..] {
                println!("  {line}");
            }
        }
    }

    /// Ends all of it in order.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        for mut child in [self.node.take(), self.control_plane.take()]
            .into_iter()
            .flatten()
        {
            drop(child.stdin.take());
            let left = wait_for("it leaves", PATIENCE, || child.try_wait().ok().flatten())?;
            ensure!(left.success(), "it left with {left}");
        }
        Ok(())
    }

    /// Starts what is not there, and was killed.
    fn revive(&mut self) -> anyhow::Result<()> {
        for child in [&mut self.control_plane, &mut self.node] {
            if let Some(left) = child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                ensure!(left.signal() == Some(9), "it left with {left}");
                *child = None;
            }
        }
        if self.control_plane.is_none() {
            self.control_plane = Some(self.launch(&self.control_plane_words())?);
        }
        if self.node.is_none() {
            self.node = Some(self.launch(&self.node_words())?);
        }
        Ok(())
    }

    fn launch(&self, words: &[String]) -> anyhow::Result<Child> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.file(&format!("{}.log", words[0])))?;
        let mut command: Command = nacre(self.home.path());
        command
            .args(words)
            .arg("--exit-on-stdin-eof")
            .env(FOLDER_VARIABLE, self.file("failpoints"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        Ok(command.spawn()?)
    }

    fn control_plane_words(&self) -> Vec<String> {
        let file = |name: &str| self.file(name).display().to_string();
        vec![
            "control-plane".to_owned(),
            format!("--listen={}", self.url.trim_start_matches("http://")),
            format!("--data={}", file("data/control-plane")),
            format!("--root={}", file("data/pki/root.der")),
            format!("--node-policy={}", file("data/policy.json")),
            "--private-webhooks".to_owned(),
            format!("--job-lease-ms={LEASE_MS}"),
            format!("--job-tries={TRIES}"),
        ]
    }

    fn node_words(&self) -> Vec<String> {
        let file = |name: &str| self.file(name).display().to_string();
        vec![
            "node".to_owned(),
            format!("--control-plane={}", self.url),
            format!("--data={}", file("data/node")),
            format!("--pki-dir={}", file("data/pki")),
            "--enclave=process".to_owned(),
            format!("--enclave-bin={}", binary("nacre-enclave").display()),
            format!("--worker-bin={}", binary("nacre-worker").display()),
            format!("--onnxruntime={}", onnxruntime().display()),
        ]
    }

    fn pids(&self, part: Part) -> Vec<u32> {
        let mut family = self
            .node
            .as_ref()
            .map_or(Vec::new(), |node| descendants(node.id()));
        family.retain(|pid| is_running(*pid) && part.is(&command_line(*pid)));
        family
    }

    /// The workers of an enclave that serves, as far as the jobs show that were `done` since it was first `seen`. A call takes
    /// a second worker where its first has died, so jobs fail only if that one dies too; but a worker that is killed while its
    /// function is first loaded fails no job: the function is placed anew, later each time.
    fn serving(&self, seen: &mut BTreeMap<u32, usize>, done: &AtomicUsize) -> Vec<u32> {
        let done = done.load(Ordering::SeqCst);
        let enclaves = self.pids(Part::Enclave);
        seen.retain(|pid, _| enclaves.contains(pid));
        let serves = |pid: &u32| done >= *seen.entry(*pid).or_insert(done) + SERVES;
        if enclaves.iter().any(serves) {
            self.pids(Part::Worker)
        } else {
            Vec::new()
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in [&mut self.node, &mut self.control_plane]
            .into_iter()
            .flatten()
        {
            // Its own children leave when it is gone.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
