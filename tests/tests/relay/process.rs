//! `nacre-relay`, as its users start it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_tests::http::ask_socket;
use nacre_tests::platform::{binary, wait_for};
use serde_json::Value;

use crate::net::account;
use crate::site::Site;

/// A relay that is about to be started.
pub(crate) struct Plan {
    command: Command,
    metrics: PathBuf,
}

impl Site {
    /// A relay with a database of this name, and one of anvil's accounts.
    pub(crate) fn plan(&self, name: &str, of: usize) -> anyhow::Result<Plan> {
        let url = self.net.url().to_string();
        self.plan_with(name, of, &[url], self.platform.ready("control_plane"))
    }

    /// The same with other nodes, or another platform.
    pub(crate) fn plan_with(
        &self,
        name: &str,
        of: usize,
        rpc: &[String],
        platform: &str,
    ) -> anyhow::Result<Plan> {
        let metrics = self.dir.path().join(format!("{name}.metrics"));
        let _ = std::fs::remove_file(&metrics);
        let mut command = Command::new(binary("nacre-relay"));
        for url in rpc {
            command.args(["--rpc", url]);
        }
        command
            .args(["--contract", &self.contract().to_string()])
            .arg("--key")
            .arg(self.key_file(of)?)
            .arg("--api-key-file")
            .arg(self.secret("api-key", &self.api_key()?)?)
            .args(["--control-plane", platform])
            .args(["--root", self.platform.ready("root")])
            .args(["--policy", self.platform.ready("policy")])
            .arg("--data")
            .arg(self.dir.path().join(name))
            .arg("--metrics")
            .arg(format!("unix:{}", metrics.display()))
            .args(["--confirmations", "1", "--poll-ms", "100"])
            .args(["--from-block", "0", "--exit-on-stdin-eof"]);
        Ok(Plan { command, metrics })
    }

    /// The file with an account's key.
    pub(crate) fn key_file(&self, of: usize) -> anyhow::Result<PathBuf> {
        let key = account(of)?.signer().to_bytes();
        self.secret(&format!("{of}.key"), &key.to_string())
    }

    /// The platform's API key.
    pub(crate) fn api_key(&self) -> anyhow::Result<String> {
        let profile = self.platform.home().join("profiles/dev/profile.json");
        let profile: Value = serde_json::from_slice(&std::fs::read(profile)?)?;
        Ok(profile["key"].as_str().context("no key")?.to_owned())
    }

    /// A file that nobody else can read.
    pub(crate) fn secret(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.dir.path().join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }
}

impl Plan {
    /// With further arguments.
    pub(crate) fn with(mut self, more: &[&str]) -> Self {
        self.command.args(more);
        self
    }

    /// With the secrets of the draw in this folder.
    pub(crate) fn operating(mut self, folder: &Path) -> Self {
        self.command.arg("--operate").arg(folder);
        self
    }

    /// To be killed beside a step that this folder names.
    pub(crate) fn mortal(mut self, folder: &Path) -> Self {
        self.command.env(nacre_failpoint::FOLDER_VARIABLE, folder);
        self
    }

    pub(crate) fn start(mut self) -> anyhow::Result<RelayProcess> {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        let mut relay = RelayProcess {
            child,
            stdin,
            metrics: self.metrics,
        };
        // One that was killed while it started says nothing.
        ensure!(
            line.starts_with("relaying for 0x") || relay.has_left()?,
            "not ready: {line:?}"
        );
        Ok(relay)
    }
}

/// A running relay.
pub(crate) struct RelayProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    metrics: PathBuf,
}

impl RelayProcess {
    pub(crate) fn has_left(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until its numbers have this line.
    pub(crate) fn until_it_says(&self, line: &str, patience: Duration) -> anyhow::Result<()> {
        wait_for(line, patience, || {
            self.numbers()
                .ok()?
                .lines()
                .any(|l| l == line)
                .then_some(())
        })
    }

    /// Waits until it has left a job for this reason.
    pub(crate) fn until_left(&self, reason: &str) -> anyhow::Result<()> {
        let name = format!("nacre_relay_jobs{{what=\"{reason}\"}}");
        wait_for(reason, crate::site::PATIENCE, || {
            let left = self.number(&name).ok()??;
            (left >= 1.0).then_some(())
        })
    }

    /// One of its numbers; none where it does not say it.
    pub(crate) fn number(&self, name: &str) -> anyhow::Result<Option<f64>> {
        let numbers = self.numbers()?;
        let mut lines = numbers.lines();
        let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.map(str::parse).transpose()?)
    }

    fn numbers(&self) -> anyhow::Result<String> {
        Ok(self.ask("/metrics")?.1)
    }

    /// Status and text of what it says under a path.
    pub(crate) fn ask(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = ask_socket(&self.metrics, "GET", path, b"")?;
        Ok((answer.status, String::from_utf8(answer.body)?))
    }

    /// Stops it as its parent would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let left = wait_for("the relay leaves", Duration::from_secs(20), || {
            self.child.try_wait().transpose()
        })??;
        ensure!(left.success(), "it left with {left}");
        Ok(())
    }
}

impl Drop for RelayProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
