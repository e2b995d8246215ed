//! A whole platform in its own folder, started as its users start it: `nacre dev`.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::{Policy, Roots};
use nacre_client::Trust;
use nacre_protocol::control::EnclaveStatus;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::ask_socket;
use crate::processes::{self, Part, command_line, descendants, is_running};

/// How long a platform may take to leave.
const STOP: Duration = Duration::from_secs(15);

/// A running `nacre dev`; everything of it ends with this value.
#[derive(Debug)]
pub struct Platform {
    home: Arc<TempDir>,
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
        let home = tempfile::Builder::new().prefix("nacre-test-").tempdir()?;
        Self::start_in(Arc::new(home), arguments)
    }

    /// The same with a command that was changed as a test needs it.
    pub fn start_changed(
        change: impl FnOnce(&mut Command) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("nacre-test-").tempdir()?;
        Self::start_command(Arc::new(home), change)
    }

    /// Starts a platform again that has ended, with everything that it kept.
    pub fn start_again(self) -> anyhow::Result<Self> {
        self.start_again_with(&[])
    }

    /// The same with further arguments.
    pub fn start_again_with(self, arguments: &[&str]) -> anyhow::Result<Self> {
        let home = Arc::clone(&self.home);
        drop(self);
        Self::start_in(home, arguments)
    }

    fn start_in(home: Arc<TempDir>, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::start_command(home, |command| {
            command.args(arguments);
            Ok(())
        })
    }

    fn start_command(
        home: Arc<TempDir>,
        change: impl FnOnce(&mut Command) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut command = nacre(home.path());
        command
            .args(["--json", "dev", "--exit-on-stdin-eof"])
            .args(["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        change(&mut command)?;
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

    /// The same for a number.
    pub fn ready_number(&self, field: &str) -> Option<u64> {
        self.ready[field].as_u64()
    }

    /// The same for anything.
    pub fn ready_value(&self, field: &str) -> &Value {
        &self.ready[field]
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

    /// Runs `nacre --json …`, which must fail.
    pub fn refusal(&self, arguments: &[&str]) -> anyhow::Result<Refusal> {
        Refusal::of(self.nacre(["--json"].iter().chain(arguments)))
    }

    /// Runs `nacre …`, which must succeed, and gives the text that it printed.
    pub fn text(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.nacre(arguments).output()?;
        ensure!(
            output.status.success(),
            "nacre {arguments:?}: {}",
            describe(&output)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Deploys one of the repository's examples; gives its digest.
    pub fn deploy_example(&self, name: &str) -> anyhow::Result<String> {
        let dir = repository().join("examples").join(name);
        let deployed = self.json(&["deploy", &dir.display().to_string()])?;
        Ok(deployed["digest"].as_str().unwrap_or_default().to_owned())
    }

    /// What its callers trust: the development root, and the measurements of exactly these programs.
    pub fn trust(&self) -> anyhow::Result<Trust> {
        let roots = Roots::from_pem_or_der(&std::fs::read(self.ready("root"))?)?;
        let policy = Policy::from_json(&std::fs::read(self.ready("policy"))?)?;
        Ok(Trust::new(roots, policy))
    }

    /// The processes of one part of it that run now.
    pub fn pids(&self, part: Part) -> Vec<u32> {
        let mut family = descendants(self.pid());
        family.retain(|pid| is_running(*pid) && part.is(&command_line(*pid)));
        family
    }

    /// The one process of a part.
    pub fn pid_of(&self, part: Part) -> anyhow::Result<u32> {
        let pids = self.pids(part);
        ensure!(pids.len() == 1, "{part:?}: {pids:?}");
        Ok(pids[0])
    }

    /// The enclave's control socket: what the host sees of it.
    pub fn control_socket(&self) -> anyhow::Result<PathBuf> {
        let arguments = command_line(self.pid_of(Part::Enclave)?);
        let mut arguments = arguments
            .iter()
            .skip_while(|word| *word != "--control")
            .skip(1);
        let socket = arguments
            .next()
            .and_then(|address| address.strip_prefix("unix:"));
        Ok(socket.context("the enclave has no control socket")?.into())
    }

    /// The enclave's own account of itself.
    pub fn enclave_status(&self) -> anyhow::Result<EnclaveStatus> {
        let answer = ask_socket(&self.control_socket()?, "GET", "/v1/status", b"")?;
        Ok(serde_json::from_slice(&answer.body)?)
    }

    /// Sends a signal to `nacre dev` itself.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        processes::signal(self.pid(), signal)
    }

    /// Waits until `nacre dev` has left, for whatever reason.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let status = wait_for("nacre dev leaves", STOP, || {
            self.child.try_wait().transpose()
        });
        Ok(status??)
    }

    /// Stops the platform as its user would, and waits until it has left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let left = self.wait()?;
        ensure!(left.success(), "nacre dev left with {left}");
        Ok(())
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let deadline = Instant::now() + STOP;
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

/// How a `nacre --json` command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Exit status.
    pub exit: i32,
    /// The error's stable code.
    pub code: String,
    /// The error's words.
    pub message: String,
}

impl Refusal {
    /// Runs a command with `--json` that must fail, with one error in JSON on standard error and nothing on standard
    /// output.
    pub fn of(mut command: Command) -> anyhow::Result<Self> {
        let output = command.stdin(Stdio::null()).output()?;
        Self::read(&output).with_context(|| format!("{command:?}: {}", describe(&output)))
    }

    /// The same for a command that has run.
    pub fn read(output: &Output) -> anyhow::Result<Self> {
        ensure!(!output.status.success(), "it succeeded");
        ensure!(output.stdout.is_empty(), "it printed a result");
        let error: Value = serde_json::from_slice(&output.stderr)?;
        let exit = output.status.code().context("it was killed")?;
        ensure!(
            error["exit_status"] == exit,
            "the error names another exit status"
        );
        let field = |name: &str| error["error"][name].as_str().map(str::to_owned);
        Ok(Self {
            exit,
            code: field("code").context("no code")?,
            message: field("message").context("no message")?,
        })
    }

    /// Exit status and code, for comparison.
    pub fn is(&self) -> (i32, &str) {
        (self.exit, &self.code)
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

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        processes::signal(self.child.id(), signal)
    }

    /// The line that it printed.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Stops it as its parent would, and waits until it has left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let left = wait_for("it leaves", STOP, || self.child.try_wait().transpose())??;
        ensure!(left.success(), "it left with {left}");
        Ok(())
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
