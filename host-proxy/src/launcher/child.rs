//! One child process: started by argument vector, told to end by the end of its standard input, always reaped.

use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use nacre_telemetry::log::FILTER_VARIABLE;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::BufReader;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::LaunchError;
use super::log::{LastLine, forward, next_line};

/// How long a child has to end after each hint: the end of its standard input, then SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// What a child sees of this process's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// Nothing but what it is to log: it plays a part of an enclave.
    Empty,
    /// All: it is a tool of this host's, which has a cache, a home and perhaps a proxy to reach the archive.
    Inherited,
}

/// A running child process. Dropping it kills it and its process group.
#[derive(Debug)]
pub(crate) struct ManagedChild {
    name: &'static str,
    child: Child,
    group: Option<Pid>,
    /// Held open as long as the child shall live: should this process die, however it dies, the child's input ends.
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    last_line: LastLine,
    stderr: Option<JoinHandle<()>>,
}

impl ManagedChild {
    /// Starts a program in its own process group (a terminal's ctrl-C is for this process,
    /// which then stops its children in order).
    pub(crate) fn spawn(
        name: &'static str,
        program: &Path,
        arguments: &[OsString],
        directory: &Path,
        environment: Environment,
    ) -> Result<Self, LaunchError> {
        let mut command = Command::new(program);
        if environment == Environment::Empty {
            command.env_clear();
            // How much it says, and nothing else.
            if let Some(filter) = std::env::var_os(FILTER_VARIABLE) {
                command.env(FILTER_VARIABLE, filter);
            }
        }
        let spawned = command
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|source| LaunchError::Spawn {
            program: program.to_owned(),
            source,
        })?;
        let last_line = LastLine::default();
        let stderr = child.stderr.take();
        let stderr = stderr.map(|stderr| tokio::spawn(forward(stderr, name, last_line.clone())));
        Ok(Self {
            name,
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            child,
            last_line,
            stderr,
        })
    }

    /// Waits for the first line of standard output, which must be `ready`.
    pub(crate) async fn ready(
        &mut self,
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), LaunchError> {
        let Some(stdout) = self.stdout.take() else {
            return Ok(());
        };
        let mut lines = BufReader::new(stdout);
        let line = timeout_at(deadline, next_line(&mut lines)).await;
        match line {
            Ok(Some(line)) if line == b"ready" => {
                tokio::spawn(forward(lines, self.name, self.last_line.clone()));
                Ok(())
            }
            Ok(Some(line)) => Err(LaunchError::FirstLine {
                name: self.name,
                line: String::from_utf8_lossy(&line).chars().take(80).collect(),
            }),
            // Its output ended: so does it, or it is as good as dead.
            Ok(None) => match timeout_at(deadline, self.exited()).await {
                Ok(status) => {
                    if let Some(stderr) = self.stderr.take() {
                        // Nobody writes any more; what was written is still being read.
                        let _ = timeout(GRACE, stderr).await;
                    }
                    Err(LaunchError::Exited {
                        name: self.name,
                        status,
                        last_line: self.last_line(),
                    })
                }
                Err(_) => Err(self.late(limit)),
            },
            Err(_) => Err(self.late(limit)),
        }
    }

    /// Waits until the child has ended by itself, and ends what it leaves behind in its process group.
    pub(crate) async fn exited(&mut self) -> ExitStatus {
        // Fails only if the child was reaped elsewhere, which nobody here does.
        let status = self.child.wait().await.unwrap_or_default();
        self.kill_group();
        // From here on the id may be another's.
        self.group = None;
        status
    }

    /// What to call it in messages.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Ends the child: closes its input, then SIGTERM, then SIGKILL to its group, each after a grace; and reaps it.
    pub(crate) async fn stop(mut self) {
        drop(self.stdin.take());
        if timeout(GRACE, self.exited()).await.is_ok() {
            return;
        }
        if let Some(pid) = self.group {
            // Not reaped yet, so the id is still the child's.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(GRACE, self.exited()).await.is_ok() {
            return;
        }
        tracing::warn!(child = self.name, "did not end by itself; killing it");
        self.kill_group();
        self.exited().await;
    }

    fn kill_group(&self) {
        if let Some(group) = self.group {
            // Usually nobody is left in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn late(&self, limit: Duration) -> LaunchError {
        LaunchError::Deadline {
            name: self.name,
            limit,
            last_line: self.last_line(),
        }
    }

    fn last_line(&self) -> String {
        self.last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for ManagedChild {
    fn drop(&mut self) {
        // Before the child itself is killed and reaped: until then the group's id is nobody else's.
        self.kill_group();
    }
}
