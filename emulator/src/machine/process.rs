//! QEMU's process: started, watched and ended from a thread of its own.
//!
//! The thread matters: `exit-with-parent` ends QEMU when the *thread* that started it ends, and threads of a runtime may
//! end at any time.

use std::io::{BufRead as _, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::{oneshot, watch};

use super::{MachineError, console};

/// How much of what QEMU complains of is kept.
const COMPLAINT: usize = 500;

/// How QEMU ended.
#[derive(Clone, Debug)]
pub(super) struct Exit {
    pub(super) status: ExitStatus,
    /// The last line that it wrote to standard error.
    pub(super) complaint: Option<String>,
    /// The guest's kernel said that it panicked.
    pub(super) panicked: bool,
}

/// A hold on a machine, which stays harmless after the machine's end.
#[derive(Clone, Debug)]
pub struct Grip(Arc<OwnedFd>);

#[derive(Debug)]
pub(super) struct Process {
    grip: Grip,
    exit: watch::Receiver<Option<Exit>>,
    thread: Option<JoinHandle<()>>,
}

type Started = Result<OwnedFd, std::io::Error>;

impl Process {
    pub(super) async fn spawn(
        mut command: Command,
        show_console: bool,
    ) -> Result<Self, MachineError> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (say_started, started) = oneshot::channel::<Started>();
        let (say_exit, exit) = watch::channel(None);
        let thread = thread::Builder::new()
            .name("qemu".to_owned())
            .spawn(move || {
                let child = command.spawn().and_then(|child| Ok((open(&child)?, child)));
                match child {
                    Ok((pidfd, child)) => {
                        let _ = say_started.send(Ok(pidfd));
                        say_exit.send_replace(see_through(child, show_console));
                    }
                    Err(error) => {
                        let _ = say_started.send(Err(error));
                    }
                }
            })
            .map_err(MachineError::QemuStart)?;
        let pidfd = started
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
            .map_err(MachineError::QemuStart)?;
        Ok(Self {
            grip: Grip(Arc::new(pidfd)),
            exit,
            thread: Some(thread),
        })
    }

    /// Waits for its end. May be called again.
    pub(super) async fn ended(&mut self) -> Exit {
        loop {
            match self.exit.wait_for(Option::is_some).await {
                Ok(exit) => {
                    if let Some(exit) = exit.clone() {
                        return exit;
                    }
                }
                // The thread is gone without a word, which it never is.
                Err(_) => std::future::pending().await,
            }
        }
    }

    pub(super) fn grip(&self) -> Grip {
        self.grip.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.grip.kill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Grip {
    /// Makes it stand still, or go on.
    pub fn pause(&self, paused: bool) {
        self.signal(if paused { Signal::STOP } else { Signal::CONT });
    }

    /// Ends it from one moment to the next.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = pidfd_send_signal(&*self.0, signal);
    }
}

fn open(child: &Child) -> std::io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidData)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Reads what it writes and waits for its end.
fn see_through(mut child: Child, show_console: bool) -> Option<Exit> {
    let panicked = Arc::new(AtomicBool::new(false));
    let (stdout, stderr) = (child.stdout.take()?, child.stderr.take()?);
    let noticed = Arc::clone(&panicked);
    let reader = thread::Builder::new()
        .name("console".to_owned())
        .spawn(move || console::follow(stdout, show_console.then(std::io::stderr), &noticed));
    let complaint = last_line(stderr);
    let status = child.wait().ok()?;
    if let Ok(reader) = reader {
        let _ = reader.join();
    }
    Some(Exit {
        status,
        complaint,
        panicked: panicked.load(Ordering::Relaxed),
    })
}

/// Logs QEMU's own words until it ends; returns the last of them.
fn last_line(stderr: impl Read) -> Option<String> {
    let mut last = None;
    let mut reader = BufReader::new(stderr);
    loop {
        let mut line = Vec::new();
        match (&mut reader).take(4096).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let line = String::from_utf8_lossy(&line);
        let line: String = line.trim_end().chars().take(COMPLAINT).collect();
        if line.contains(": warning: ") {
            tracing::debug!(line, "QEMU");
        } else {
            tracing::warn!(line, "QEMU");
            last = Some(line);
        }
    }
}
