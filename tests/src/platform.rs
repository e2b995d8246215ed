//! A whole platform in its own folder, started as its users start it: `nacre dev`.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// A running `nacre dev`; everything of it ends with this value.
#[derive(Debug)]
pub struct Platform {
    home: TempDir,
    ready: Value,
    child: Child,
    // Its end is what stops the platform, also when a test is killed.
    stdin: Option<ChildStdin>,
}

impl Platform {
    /// Starts a platform on free ports and waits until functions can be deployed.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// The same with further arguments for `nacre dev`.
    pub fn start_with(arguments: &[&str]) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("nacre-").tempdir()?;
        let mut command = nacre(home.path());
        command
            .args(["--json", "dev", "--exit-on-stdin-eof"])
            .args(["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("nacre dev")?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready = serde_json::from_str(&line)
            .with_context(|| format!("nacre dev did not become ready: {line:?}"))?;
        Ok(Self {
            home,
            ready,
            child,
            stdin,
        })
    }

    /// `NACRE_HOME` of this platform's user.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The process id of `nacre dev`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What `nacre dev --json` printed: `control_plane`, `node`, `root`, `policy`, `data`.
    pub fn ready(&self, field: &str) -> &str {
        self.ready[field].as_str().unwrap_or_default()
    }

    /// A `nacre` command of this platform's user.
    pub fn nacre<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = nacre(self.home());
        command.args(arguments);
        command
    }

    /// Runs `nacre --json …`, which must succeed, and gives what it printed.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = self.nacre(["--json"].iter().chain(arguments)).output()?;
        ensure!(
            output.status.success(),
            "nacre {arguments:?}: {}",
            describe(&output)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Deploys one of the repository's examples; gives its digest.
    pub fn deploy_example(&self, name: &str) -> anyhow::Result<String> {
        let dir = repository().join("examples").join(name);
        let deployed = self.json(&["deploy", &dir.display().to_string()])?;
        Ok(deployed["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// Every process of the platform whose command line has all these words.
    pub fn processes(&self, words: &[&str]) -> Vec<u32> {
        let mut family = descendants(self.pid());
        family.retain(|pid| {
            let line = command_line(*pid);
            words
                .iter()
                .all(|word| line.iter().any(|arg| arg.ends_with(word)))
        });
        family
    }

    /// Stops the platform as its user would, and waits until it has left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let left = self.child.wait()?;
        ensure!(left.success(), "nacre dev left with {left}");
        Ok(())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        // Stuck: the test that owned it is told by the processes it finds.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A long-running `nacre` command that prints one line of JSON when it is ready and leaves when its input closes.
#[derive(Debug)]
pub struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    ready: Value,
}

impl Service {
    /// Starts it; `command` must come with `--json` and `--exit-on-stdin-eof`.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        let ready = serde_json::from_str(&line).with_context(|| format!("not ready: {line:?}"))?;
        Ok(Self {
            child,
            stdin,
            ready,
        })
    }

    /// The line that it printed.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // It leaves by itself now; a test that failed must not leave it behind in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `nacre` with a home of its own and nothing of the caller's settings.
pub fn nacre(home: &Path) -> Command {
    let mut command = Command::new(binary("nacre"));
    command
        .env("NACRE_HOME", home)
        .env_remove("NACRE_PROFILE")
        .env("NACRE_ONNXRUNTIME", onnxruntime());
    command
}

/// One of the workspace's programs, built beside the running test.
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let beside = exe.ancestors().skip(1).map(|dir| dir.join(name));
    let found = beside.take(3).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `make build`"))
}

/// ONNX Runtime, from the environment or where `make setup` puts it.
pub fn onnxruntime() -> PathBuf {
    std::env::var_os("NACRE_ONNXRUNTIME").map_or_else(
        || repository().join(".deps/onnxruntime/libonnxruntime.so"),
        PathBuf::from,
    )
}

/// Python with the test clients, from the environment or where `make setup` puts it.
pub fn python() -> PathBuf {
    std::env::var_os("NACRE_TEST_PYTHON")
        .map_or_else(|| repository().join(".deps/venv/bin/python"), PathBuf::from)
}

/// The repository's root.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// Exit status and both outputs of a command, for messages.
pub fn describe(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command with this standard input.
pub fn with_input(mut command: Command, input: &[u8]) -> anyhow::Result<Output> {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that refuses early does not read its input.
        let _ = stdin.write_all(input);
    }
    Ok(child.wait_with_output()?)
}

/// Waits until `condition` gives something, or fails at the deadline with what it waited for.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// All descendants of a process, by `/proc`.
pub fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all_processes()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    family.remove(0);
    family
}

/// Whether a process still runs (a zombie does not).
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z')
}

/// A process's arguments.
pub fn command_line(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}
