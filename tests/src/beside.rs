//! Parts that are started beside a platform: further nodes, gateways, control planes.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use crate::platform::{Platform, wait_for};
use crate::processes;

/// How long it may take to leave.
const DEADLINE: Duration = Duration::from_secs(60);

/// A part of the platform that is started beside it: prints `listening on ADDR`, and leaves when its input closes.
#[derive(Debug)]
pub struct Beside {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Where it listens.
    pub address: String,
}

impl Beside {
    /// Starts `nacre` with these words, and waits until it listens.
    pub fn start(platform: &Platform, words: Vec<OsString>) -> anyhow::Result<Self> {
        let mut child = platform
            .nacre(words)
            .args(["--exit-on-stdin-eof", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no pipe")?).read_line(&mut line)?;
        let stdin = child.stdin.take();
        let started = Self {
            child,
            stdin,
            address: line.trim().replace("listening on ", ""),
        };
        ensure!(!started.address.is_empty(), "it does not listen");
        Ok(started)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        processes::signal(self.child.id(), signal)
    }

    /// Stops it as its parent would, and waits until it has left.
    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        self.leaves()
    }

    /// Waits until it has left, in order.
    pub fn leaves(mut self) -> anyhow::Result<()> {
        let left = wait_for("it leaves", DEADLINE, || self.child.try_wait().transpose())??;
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
