//! A child process that is started again when it dies, and stopped by closing its standard input.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::CliError;

/// How long a child may take to leave before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long a child may take to come back.
const RESTART: Duration = Duration::from_secs(30);
/// A child that lived this long is started again at once.
const HEALTHY: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) arguments: Vec<OsString>,
}

/// A child with its supervisor.
#[derive(Debug)]
pub(super) struct Supervised {
    announced: String,
    stop: CancellationToken,
    supervisor: JoinHandle<()>,
}

impl Supervised {
    /// Starts the child and waits for its first line. `program` is asked again for every restart, with the first line
    /// that the first child printed.
    pub(super) async fn start(
        name: &'static str,
        deadline: Instant,
        program: impl Fn(Option<&str>) -> Program + Send + Sync + 'static,
    ) -> Result<Self, CliError> {
        let running = Running::start(&program(None), deadline).await;
        let running =
            running.map_err(|reason| CliError::Other(anyhow::anyhow!("{name}: {reason}")))?;
        let announced = running.first_line.clone();
        let stop = CancellationToken::new();
        let first_line = announced.clone();
        let restart = move || program(Some(&first_line));
        let supervisor = tokio::spawn(supervise(name, running, restart, stop.clone()));
        Ok(Self {
            announced,
            stop,
            supervisor,
        })
    }

    /// The first line that the child printed.
    pub(super) fn announced(&self) -> &str {
        &self.announced
    }

    /// Stops the child and waits until it is gone.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A supervisor that panicked has dropped its child, which kills it.
        let _ = self.supervisor.await;
    }
}

async fn supervise(
    name: &'static str,
    first: Running,
    program: impl Fn() -> Program + Send,
    stop: CancellationToken,
) {
    let mut running = Some(first);
    let mut backoff = Duration::ZERO;
    loop {
        if let Some(child) = &mut running {
            let born = Instant::now();
            tokio::select! {
                exit = child.child.wait() => {
                    tracing::warn!(name, ?exit, "ended, starting again");
                    backoff = if born.elapsed() >= HEALTHY { Duration::ZERO } else { next(backoff) };
                }
                () = stop.cancelled() => {
                    if let Some(child) = running.take() {
                        child.stop().await;
                    }
                    return;
                }
            }
        }
        tokio::select! {
            () = sleep_until(Instant::now() + backoff) => {}
            () = stop.cancelled() => return,
        }
        running = match Running::start(&program(), Instant::now() + RESTART).await {
            Ok(child) => Some(child),
            Err(reason) => {
                tracing::warn!(name, reason, "does not start");
                backoff = next(backoff);
                None
            }
        };
    }
}

fn next(backoff: Duration) -> Duration {
    (backoff * 2).clamp(Duration::from_millis(100), Duration::from_secs(2))
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdin: ChildStdin,
    first_line: String,
}

impl Running {
    async fn start(program: &Program, deadline: Instant) -> Result<Self, String> {
        let mut child = Command::new(&program.path)
            .args(&program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| e.to_string())?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("it has no pipes".to_owned());
        };
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout_at(deadline, lines.next_line()).await;
        let first_line = match first {
            Ok(Ok(Some(line))) => line,
            Ok(_) => return Err("it ended before it was ready".to_owned()),
            Err(_) => return Err("it was not ready in time".to_owned()),
        };
        // Whatever it prints later must not fill the pipe.
        tokio::spawn(async move { while matches!(lines.next_line().await, Ok(Some(_))) {} });
        Ok(Self {
            child,
            stdin,
            first_line,
        })
    }

    async fn stop(mut self) {
        drop(self.stdin);
        if timeout(GRACE, self.child.wait()).await.is_err() {
            // It may have left in between; either way it is gone after this.
            let _ = self.child.kill().await;
        }
    }
}
