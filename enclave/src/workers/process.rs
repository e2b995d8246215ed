//! A worker's process: started by a thread of its own, killed by descriptor, always reaped.
//!
//! One small thread per worker starts the process and waits for its end. The thread has to live as long as the
//! process: the kernel kills a worker when the *thread* that started it ends, so that no worker survives the
//! enclave. As root the thread first gives its children a new PID namespace, which only itself is affected by.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::{oneshot, watch};

/// Takes lines for the log, none of which holds a caller's data.
pub type LogSink = Arc<dyn Fn(&str) + Send + Sync>;

/// A running process; dropping it kills it, and its thread reaps it.
#[derive(Debug)]
pub(super) struct Process {
    pidfd: OwnedFd,
    pid: u32,
    ended: watch::Receiver<Option<ExitStatus>>,
    private: Arc<AtomicBool>,
}

/// What the start of a process gives.
pub(super) struct Started {
    pub(super) process: Process,
    /// The supervisor's end of the worker's standard input.
    pub(super) socket: UnixStream,
    /// Whether the process has its own PID namespace.
    pub(super) pid_namespace: bool,
}

/// Starts `program` with an environment that is empty but for [`NO_TELEMETRY`]. Needs a tokio runtime.
pub(super) async fn start(program: &Path, log: LogSink) -> io::Result<Started> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    for socket in [&ours, &theirs] {
        // A tensor of a megabyte goes through in one piece; the kernel may allow less.
        rustix::net::sockopt::set_socket_send_buffer_size(socket, 1 << 20)?;
    }
    let (started, starting) = oneshot::channel();
    let program = program.to_owned();
    thread::Builder::new()
        .name("nacre-reaper".to_owned())
        .stack_size(256 << 10)
        .spawn(move || run(program, theirs, started))?;
    let (process, stderr, pid_namespace) = starting
        .await
        .map_err(|_| io::Error::other("the thread that starts the worker ended"))??;
    let stderr = pipe::Receiver::from_owned_fd(stderr)?;
    tokio::spawn(drain(stderr, process.private.clone(), log));
    Ok(Started {
        process,
        socket: ours,
        pid_namespace,
    })
}

impl Process {
    /// Process id, as the supervisor sees it.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Tells when the process has ended and was reaped.
    pub(super) fn ended(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.ended.clone()
    }

    /// From now on the worker knows a caller's data: nothing it writes is passed on any more.
    pub(super) fn turn_private(&self) {
        self.private.store(true, Ordering::Relaxed);
    }

    /// Kills the process at once. It may be dead already.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(self.pidfd.as_fd(), Signal::KILL);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// How a process ended, in words.
pub(super) fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("killed by signal {signal}"),
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The environment's one entry. Without it, ONNX Runtime 1.31 starts a thread as soon as it is loaded that gathers
/// facts about machine and models in a file under the home folder and sends them to its maker.
const NO_TELEMETRY: (&str, &str) = ("ORT_DISABLE_TELEMETRY", "1");

type StartedParts = (Process, OwnedFd, bool);

/// The thread: start, report, wait.
fn run(program: PathBuf, stdin: UnixStream, started: oneshot::Sender<io::Result<StartedParts>>) {
    let pid_namespace = geteuid().is_root() && unshare(CloneFlags::CLONE_NEWPID).is_ok();
    let child = Command::new(program)
        .env_clear()
        .env(NO_TELEMETRY.0, NO_TELEMETRY.1)
        .current_dir("/")
        // A Ctrl-C in the enclave's terminal is the enclave's to handle.
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(stdin)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let (ended, watch) = watch::channel(None);
    match watched(&mut child, watch) {
        // A receiver that has gone away drops the process, which kills the child.
        Ok((process, stderr)) => drop(started.send(Ok((process, stderr, pid_namespace)))),
        Err(error) => {
            let _ = child.kill();
            let _ = started.send(Err(error));
        }
    }
    if let Ok(status) = child.wait() {
        ended.send_replace(Some(status));
    }
}

fn watched(
    child: &mut Child,
    ended: watch::Receiver<Option<ExitStatus>>,
) -> io::Result<(Process, OwnedFd)> {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::other("the child has no process id"))?;
    // The child is not reaped before this thread waits, so the id is still its own.
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let stderr = child
        .stderr
        .take()
        .ok_or_else(|| io::Error::other("the child has no standard error"))?;
    let process = Process {
        pidfd,
        pid: child.id(),
        ended,
        private: Arc::new(AtomicBool::new(false)),
    };
    Ok((process, stderr.into()))
}

/// Longest line that is passed on.
const MAX_LINE: usize = 512;
/// Most lines that are passed on in a worker's life.
const MAX_LINES: usize = 100;

/// Reads all that a worker writes to its standard error, so that it never blocks there, and passes some of it on.
async fn drain(mut stderr: pipe::Receiver, private: Arc<AtomicBool>, log: LogSink) {
    let mut chunk = [0u8; 4096];
    let mut line = Vec::with_capacity(MAX_LINE);
    let mut lines = 0usize;
    let mut withheld = false;
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        for byte in &chunk[..read] {
            if private.load(Ordering::Relaxed) || lines >= MAX_LINES {
                withheld = true;
            } else if *byte == b'\n' {
                log(&printable(&line));
                line.clear();
                lines += 1;
            } else if line.len() < MAX_LINE {
                line.push(*byte);
            }
        }
    }
    if withheld {
        log("further diagnostics withheld: they could hold a caller's data");
    }
}

/// Control characters have no business in a log.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
