//! The program itself in process mode: how it starts, ends, and what it refuses.
#![cfg(feature = "process-mode")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

mod enclave_support;
mod worker_support;

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use enclave_support::peer::{Attested, Control};
use enclave_support::{TestFunction, emulator};
use nacre_transport::Address;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use worker_support::onnx;

fn command(directory: &Path, tls: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nacre-enclave"));
    command
        .arg("process")
        .arg("--nsm-socket")
        .arg(directory.join("nsm"))
        .arg(format!("--tls={tls}"))
        .arg(format!(
            "--control=unix:{}",
            directory.join("control").display()
        ))
        .arg("--worker")
        .arg(env!("CARGO_BIN_EXE_nacre-worker"))
        .arg("--onnxruntime")
        .arg(worker_support::onnxruntime())
        .arg("--memory=268435456")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

struct Started {
    child: Child,
    tls: Address,
    control: Address,
}

async fn start(directory: &Path) -> Started {
    let tls = format!("unix:{}", directory.join("tls").display());
    let mut child = command(directory, &tls).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .await
        .unwrap();
    assert_eq!(line, "ready\n");
    Started {
        child,
        tls: tls.parse().unwrap(),
        control: Address::Unix(directory.join("control")),
    }
}

async fn ended(child: &mut Child) -> ExitStatus {
    tokio::time::timeout(Duration::from_secs(15), child.wait())
        .await
        .expect("it ends")
        .unwrap()
}

async fn log(child: &mut Child) -> String {
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .await
        .unwrap();
    log
}

/// A process's children.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |process: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        status.contains(&format!("\nPPid:\t{parent}\n"))
    };
    let processes = std::fs::read_dir("/proc").unwrap();
    processes
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(is_child)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_when_it_says_ready_and_ends_with_its_parent() {
    let directory = tempfile::tempdir().unwrap();
    let _emulator = emulator(directory.path().join("nsm"), Duration::ZERO);
    let mut enclave = start(directory.path()).await;
    Attested::connect(&enclave.tls)
        .await
        .check_evidence([1; 32])
        .await;
    let mut control = Control::connect(&enclave.control).await;
    let function = TestFunction::new("sums", &onnx::arithmetic());
    function.put_blobs(&mut control).await;
    assert_eq!(control.load("sums", function.digest()).await.status, 200);
    let workers = children(enclave.child.id().unwrap());
    assert_eq!(workers.len(), 1);

    drop(enclave.child.stdin.take());
    assert!(ended(&mut enclave.child).await.success());
    let log = log(&mut enclave.child).await;
    assert!(
        log.contains("PROCESS MODE: no enclave protects this process"),
        "{log}"
    );
    assert!(
        !directory.path().join("tls").exists(),
        "its sockets are gone"
    );
    assert!(!directory.path().join("control").exists());
    // The kernel kills them with their parent; whoever adopts the dead reaps them.
    for worker in workers {
        let gone = async {
            let mut often = tokio::time::interval(Duration::from_millis(10));
            while worker_support::is_running(worker) {
                often.tick().await;
            }
        };
        let gone = tokio::time::timeout(Duration::from_secs(5), gone).await;
        assert!(gone.is_ok(), "worker {worker} outlived the enclave");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_in_order_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let _emulator = emulator(directory.path().join("nsm"), Duration::ZERO);
    let mut enclave = start(directory.path()).await;
    // An idle connection does not hold it up.
    let _idle = Attested::connect(&enclave.tls).await;
    let pid = rustix::process::Pid::from_raw(enclave.child.id().unwrap() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(ended(&mut enclave.child).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_to_listen_beyond_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    for address in [
        "tcp://0.0.0.0:0",
        "tcp://192.0.2.1:443",
        "tcp://localhost:0",
        "vsock://any:443",
    ] {
        let mut child = command(directory.path(), address).spawn().unwrap();
        assert!(!ended(&mut child).await.success(), "{address}");
        let log = log(&mut child).await;
        assert!(
            log.contains("process-mode-loopback-only"),
            "{address}: {log}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_is_missing_without_a_module() {
    let directory = tempfile::tempdir().unwrap();
    let tls = format!("unix:{}", directory.path().join("tls").display());
    let mut child = command(directory.path(), &tls).spawn().unwrap();
    assert!(!ended(&mut child).await.success());
    let log = log(&mut child).await;
    assert!(log.contains("nsm-unavailable"), "{log}");
}
