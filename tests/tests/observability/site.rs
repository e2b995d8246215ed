//! Every process of Nacre, with its log in a file and its metrics on a socket.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_tests::examples::Example;
use nacre_tests::http::ask_socket;
use nacre_tests::platform::{Platform, binary, wait_for};
use serde_json::{Value, json};

use super::DEADLINE;
use super::collector::Collector;
use super::exposition::{Exposition, parse};

const SLOT_MS: u32 = 2_000;

/// A platform, and what stands beside it.
pub(crate) struct Site {
    pub(crate) collector: Collector,
    pub(crate) platform: Platform,
    pub(crate) example: Example,
    pub(crate) key: String,
    pub(crate) digest: String,
    pub(crate) gateway: String,
    pub(crate) proxy: String,
    beside: Vec<Beside>,
    sockets: BTreeMap<&'static str, PathBuf>,
    home: tempfile::TempDir,
}

impl Site {
    /// Starts them all, deploys a function, and waits until everybody knows it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let collector = Collector::start()?;
        let home = tempfile::Builder::new().prefix("nacre-obs-").tempdir()?;
        let socket = |name: &str| home.path().join(format!("{name}.metrics"));
        let listen = |name: &str| format!("unix:{}", socket(name).display());
        let watched = |command: &mut Command, name: &str| -> anyhow::Result<()> {
            command
                .env("NACRE_LOG", "trace")
                .env("NACRE_LOG_FORMAT", "json")
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
                .env("OTEL_BSP_SCHEDULE_DELAY", "100")
                .env("OTEL_TRACES_SAMPLER", "parentbased_always_on")
                .stderr(File::create(home.path().join(format!("{name}.log")))?);
            Ok(())
        };
        let platform = Platform::start_changed(|command| {
            command.args(["--metrics", &listen("control-plane")]);
            command.args(["--node-metrics", &listen("node")]);
            watched(command, "platform")
        })?;
        let example = Example::load("iris-network")?;
        let mut deploy = platform.nacre(["--json", "deploy", &example.dir().display().to_string()]);
        watched(&mut deploy, "deploy")?;
        let deployed = deploy.stdin(Stdio::null()).output()?;
        ensure!(deployed.status.success(), "{:?}", deployed.status);
        let deployed: Value = serde_json::from_slice(&deployed.stdout)?;
        let digest = deployed["digest"].as_str().context("no digest")?;

        let mut beside = Vec::new();
        let key_file = PathBuf::from(platform.ready("data")).join("api-key");
        let mut start = |name: &'static str, mut command: Command| -> anyhow::Result<String> {
            command.args(["--metrics", &listen(name)]);
            watched(&mut command, name)?;
            let (started, line) = Beside::start(command).context(name)?;
            beside.push(started);
            Ok(line)
        };
        let mut gateway = platform.nacre(["gateway", "--zone", "fn.example.org"]);
        gateway
            .args([
                "--listen",
                "127.0.0.1:0",
                "--exit-on-stdin-eof",
                "--no-proxy-protocol",
            ])
            .args(["--control-plane", platform.ready("control_plane")])
            .arg("--key-file")
            .arg(&key_file)
            .arg("--data")
            .arg(home.path().join("gateway"));
        let gateway = start("gateway", gateway)?;
        let proxy = [
            "--json",
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--exit-on-stdin-eof",
        ];
        let proxy: Value = serde_json::from_str(&start("proxy", platform.nacre(proxy))?)?;

        let expected: Value =
            serde_json::from_slice(&std::fs::read(example.dir().join("expected.json"))?)?;
        let request: Value = serde_json::from_slice(&example.request)?;
        let canaries = json!([{
            "function": example.name, "digest": digest, "request": request,
            "outputs": expected["outputs"], "tolerance": expected["tolerance"],
        }]);
        let canary_file = home.path().join("canaries.json");
        std::fs::write(&canary_file, canaries.to_string())?;
        let mut watch = platform.nacre(["watch", "--exit-on-stdin-eof", "--data"]);
        watch
            .arg(home.path().join("watch"))
            .arg("--canaries")
            .arg(canary_file)
            .arg("--report")
            .arg(home.path().join("report.jsonl"))
            .args(["--slot-ms", &SLOT_MS.to_string(), "--epoch-slots", "2"]);
        start("watcher", watch)?;

        let nsm = home.path().join("nsm.sock");
        let mut emulator = platform.nacre(["nsm-emulator", "--exit-on-stdin-eof", "--socket"]);
        emulator
            .arg(&nsm)
            .arg("--pki-dir")
            .arg(PathBuf::from(platform.ready("data")).join("pki"));
        for pcr in ["--pcr0", "--pcr1", "--pcr2"] {
            emulator.args([pcr, &"ab".repeat(48)]);
        }
        start("emulator", emulator)?;
        let mut verifier = Command::new(binary("nacre-verifier"));
        verifier.args(["process", "--tls", "tcp://127.0.0.1:0", "--nsm-socket"]);
        verifier.arg(&nsm);
        start("verifier", verifier)?;

        let names = [
            "control-plane",
            "node",
            "gateway",
            "proxy",
            "watcher",
            "emulator",
            "verifier",
        ];
        let sockets = names.map(|name| (name, socket(name)));
        Ok(Self {
            key: std::fs::read_to_string(key_file)?.trim().to_owned(),
            digest: digest.to_owned(),
            gateway: gateway.replace("listening on ", ""),
            proxy: proxy["listening"]
                .as_str()
                .context("no address")?
                .to_owned(),
            collector,
            platform,
            example,
            beside,
            sockets: sockets.into(),
            home,
        })
    }

    /// The text that a process exposes.
    pub(crate) fn text(&self, process: &str) -> anyhow::Result<String> {
        let answer = ask_socket(&self.sockets[process], "GET", "/metrics", b"")?;
        ensure!(answer.status == 200, "{process}: {}", answer.status);
        let media_type = answer.header("content-type");
        ensure!(media_type.starts_with("application/openmetrics-text; version=1.0.0"));
        Ok(String::from_utf8(answer.body)?)
    }

    /// What a process exposes.
    pub(crate) fn read(&self, process: &str) -> anyhow::Result<Exposition> {
        parse(&self.text(process)?).with_context(|| process.to_owned())
    }

    /// All of them, by process.
    pub(crate) fn read_all(&self) -> anyhow::Result<BTreeMap<&'static str, Exposition>> {
        let processes = self.sockets.keys();
        processes
            .map(|name| Ok((*name, self.read(name)?)))
            .collect()
    }

    /// Waits until a process exposes what is asked for.
    pub(crate) fn until(
        &self,
        what: &str,
        process: &str,
        is_so: impl Fn(&Exposition) -> bool,
    ) -> anyhow::Result<()> {
        wait_for(what, DEADLINE, || {
            self.read(process).ok().filter(&is_so).map(drop)
        })
    }

    /// Stops them all, and gives what each has logged.
    pub(crate) fn stop(self) -> anyhow::Result<BTreeMap<String, String>> {
        for beside in self.beside.into_iter().rev() {
            beside.stop()?;
        }
        self.platform.stop()?;
        let mut logs = BTreeMap::new();
        for entry in std::fs::read_dir(self.home.path())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let name = path.file_stem().unwrap_or_default();
                let text = String::from_utf8(std::fs::read(&path)?)?;
                logs.insert(name.to_string_lossy().into_owned(), text);
            }
        }
        Ok(logs)
    }
}

/// A process that prints one line when it is ready, and leaves when its input closes.
struct Beside {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Beside {
    fn start(mut command: Command) -> anyhow::Result<(Self, String)> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no pipe")?;
        let stdin = child.stdin.take();
        let started = Self { child, stdin };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(!line.is_empty(), "it does not start");
        Ok((started, line.trim().to_owned()))
    }

    fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let limit = Duration::from_secs(60);
        let left = wait_for("it leaves", limit, || self.child.try_wait().transpose())??;
        ensure!(left.success(), "it left with {left}");
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It leaves by itself now; a test that failed must not leave it behind in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
