//! The node as a process, and what a test does with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use clap::Parser;
use nacre_host_proxy::{NodeArgs, Programs};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

pub(crate) const WITHIN: Duration = Duration::from_secs(5);

#[derive(Parser)]
enum Program {
    Node(NodeArgs),
}

/// This program as `nacre node …`.
pub(crate) fn main() -> ExitCode {
    let Program::Node(args) = Program::parse();
    let own = std::env::current_exe().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match runtime.block_on(nacre_host_proxy::run(args, Programs::of(&own))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
}

pub(crate) fn command(data: &Path, control_plane: SocketAddr) -> Command {
    let own = std::env::current_exe().unwrap();
    let worker = data.with_extension("worker");
    std::fs::write(&worker, "").unwrap();
    // What a killed node leaves goes with the test's own folder.
    let runtime = data.with_extension("run");
    std::fs::create_dir_all(&runtime).unwrap();
    let mut command = Command::new(&own);
    command
        .args([
            "node",
            "--nsm-latency-ms",
            "7",
            "--memory",
            "64MiB",
            "--price",
            "12",
        ])
        .arg("--control-plane")
        .arg(format!("http://{control_plane}/base/"))
        .arg("--data")
        .arg(data)
        .arg("--enclave-bin")
        .arg(&own)
        .arg("--worker-bin")
        .arg(&worker)
        .arg("--onnxruntime")
        .arg(&own)
        .env("XDG_RUNTIME_DIR", &runtime)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The same node with an image in an emulated machine.
pub(crate) fn emulator_command(data: &Path, control_plane: SocketAddr, eif: &Path) -> Command {
    let own = std::env::current_exe().unwrap();
    let runtime = data.with_extension("run");
    std::fs::create_dir_all(&runtime).unwrap();
    let mut command = Command::new(&own);
    command
        .args(["node", "--enclave", "emulator", "--memory", "64MiB"])
        .arg("--control-plane")
        .arg(format!("http://{control_plane}/base/"))
        .arg("--data")
        .arg(data)
        .arg("--eif")
        .arg(eif)
        .env("XDG_RUNTIME_DIR", &runtime)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Node {
    pub(crate) async fn start(data: &Path, control_plane: SocketAddr) -> Self {
        Self::start_as(command(data, control_plane)).await
    }

    pub(crate) async fn start_as(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let line = timeout(Duration::from_secs(20), lines.next_line()).await;
        let line = line.expect("listens in time").unwrap().expect("a line");
        let address = line.strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(Duration::from_secs(10), self.child.wait())
            .await
            .expect("ends")
            .unwrap()
    }

    /// Calls through the proxy: which boot answers, where, and that it echoes.
    pub(crate) async fn call(&self) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        stream.write_all(b"hello\n").await.ok()?;
        let mut lines = BufReader::new(&mut stream).lines();
        let banner = lines.next_line().await.ok()??;
        assert_eq!(lines.next_line().await.ok()??, "hello");
        let words: Vec<&str> = banner.split(' ').collect();
        let dir = PathBuf::from(words[2]);
        Some(Answer {
            boot: words[0].to_owned(),
            enclave: words[1].parse().unwrap(),
            emulator: std::fs::read_to_string(dir.join("nsm.pid"))
                .unwrap()
                .parse()
                .unwrap(),
            dir,
        })
    }

    /// Calls until somebody else than this boot answers.
    pub(crate) async fn call_until_not(&self, boot: &str) -> Answer {
        self.call_within(WITHIN, boot).await
    }

    /// The same, for those who may wait longer.
    pub(crate) async fn call_within(&self, within: Duration, boot: &str) -> Answer {
        let calls = async {
            let mut again = interval(Duration::from_millis(10));
            loop {
                again.tick().await;
                match self.call().await {
                    Some(answer) if answer.boot != boot => return answer,
                    _ => {}
                }
            }
        };
        timeout(within, calls)
            .await
            .expect("service is back in time")
    }

    /// A connection that stays.
    pub(crate) async fn connection(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        while stream.read_u8().await.unwrap() != b'\n' {}
        stream
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) boot: String,
    pub(crate) enclave: u32,
    pub(crate) emulator: u32,
    pub(crate) dir: PathBuf,
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Whether a process runs (a zombie does not).
pub(crate) fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// Waits until none of these runs.
pub(crate) async fn gone(pids: &[u32]) {
    let wait = async {
        let mut again = interval(Duration::from_millis(5));
        while pids.iter().any(|pid| alive(*pid)) {
            again.tick().await;
        }
    };
    timeout(WITHIN, wait).await.expect("they end");
}
