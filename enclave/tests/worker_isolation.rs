//! A hostile worker behind the production walls: each thing it tries fails, and none of its lies is believed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(feature = "process-mode")]

mod worker_support;

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use nacre_enclave::tensor::DataType;
use nacre_enclave::workers::{FunctionRunner, Worker, WorkerConfig, WorkerError};
use tokio::sync::mpsc;
use worker_support::{config, floats, hostile_config, is_full_root, is_running, onnx};

/// Each attempt that the hostile worker makes; its report must name these and no others.
const ATTEMPTS: [&str; 29] = [
    "socket-inet",
    "socket-inet6",
    "socket-unix",
    "socket-vsock",
    "socket-netlink",
    "socketpair",
    "open-passwd",
    "open-memory",
    "open-nsm",
    "list-root",
    "write-tmp",
    "write-root",
    "ptrace-sibling",
    "ptrace-supervisor",
    "kill-sibling",
    "kill-supervisor",
    "kill-everyone",
    "read-sibling",
    "read-supervisor",
    "execve",
    "spawn",
    "memfd",
    "unshare-user",
    "duplicate-descriptor",
    "become-root",
    "leave-root",
    "become-dumpable",
    "raise-limit",
    "too-much-memory",
];

/// A process that stands for the supervisor as a target, so that an attack that succeeds does not end the test.
fn bystander() -> Child {
    let (_, theirs) = UnixStream::pair().unwrap();
    Command::new("/bin/sleep")
        .arg("60")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn nothing_that_a_hostile_worker_tries_succeeds() {
    let mut sibling = Worker::start(&config(), onnx::arithmetic()).await.unwrap();
    let mut supervisor = bystander();
    let order = format!("attack {} {}", supervisor.id(), sibling.pid());
    let error = Worker::start(&hostile_config(), Bytes::from(order))
        .await
        .unwrap_err();
    let WorkerError::ModelInvalid { message: report } = error else {
        panic!("the hostile worker did not report: {error}");
    };
    println!("{report}");

    let attempted: Vec<&str> = report.lines().filter_map(|l| l.split(':').next()).collect();
    assert_eq!(attempted, ATTEMPTS);
    for line in report.lines() {
        let (name, outcome) = line.split_once(": ").unwrap();
        match name {
            "too-much-memory" => assert!(outcome.contains("memory allocation failed"), "{line}"),
            // Refused for want of the right, not because the target happens not to exist.
            _ => assert!(outcome.contains("ot permitted"), "{line}"),
        }
    }
    assert!(!std::path::Path::new("/tmp/nacre-hostile").exists());
    assert!(is_running(supervisor.id()));
    let inputs = [floats("a", &[1.0, 2.0]), floats("b", &[3.0, 4.0])];
    let output = sibling.infer(&inputs, None).await.unwrap();
    assert_eq!(output.outputs[0], floats("sum", &[4.0, 6.0]));
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
}

/// The kernel's own word on the walls around a worker that serves.
#[tokio::test]
async fn the_kernel_confirms_the_walls() {
    let worker = Worker::start(&config(), onnx::arithmetic()).await.unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", worker.pid())).unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("{name} in {status}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(field("NoNewPrivs"), ["1"]);
    assert_eq!(field("Seccomp"), ["2"]);
    for capabilities in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(capabilities), ["0000000000000000"]);
    }
    if is_full_root() {
        let ids = field("Uid");
        assert!(ids[0].parse::<u32>().unwrap() >= 200_000, "{ids:?}");
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(field("Gid"), ids);
        assert_eq!(field("Groups"), Vec::<&str>::new());
        assert_eq!(field("NSpid").last(), Some(&"1"));
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", worker.pid())).unwrap();
        assert_eq!(descriptors.count(), 2);
        for namespace in ["net", "ipc", "mnt", "pid"] {
            let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{namespace}")).unwrap();
            assert_ne!(of("self"), of(&worker.pid().to_string()), "{namespace}");
        }
        let root = std::fs::read_dir(format!("/proc/{}/root", worker.pid())).unwrap();
        assert_eq!(root.count(), 0);
        let environment = std::fs::read(format!("/proc/{}/environ", worker.pid())).unwrap();
        assert_eq!(environment, b"ORT_DISABLE_TELEMETRY=1\0");
    }
}

/// The hostile worker under another name, which changes what it does before it has a model.
fn under_the_name(name: &str) -> (tempfile::TempDir, WorkerConfig) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(name);
    std::os::unix::fs::symlink(hostile_config().worker_bin, &program).unwrap();
    let mut config = config();
    config.worker_bin = program;
    (folder, config)
}

#[tokio::test]
async fn missing_walls_are_refused_where_all_are_required() {
    let (_folder, mut config) = under_the_name("nacre-bare-worker");
    config.require_full_isolation = false;
    let worker = Worker::start(&config, Bytes::new()).await.unwrap();
    assert_eq!(worker.isolation().missing().len(), 9);
    config.require_full_isolation = true;
    let error = Worker::start(&config, Bytes::new()).await.unwrap_err();
    assert_eq!(error.code(), "isolation-missing");
    for wall in worker.isolation().missing() {
        assert!(error.to_string().contains(wall), "{wall}: {error}");
    }
}

#[tokio::test]
async fn a_worker_that_says_nothing_is_given_up() {
    let (_folder, mut config) = under_the_name("nacre-mute-worker");
    config.load_timeout = Duration::from_millis(100);
    let error = Worker::start(&config, Bytes::new()).await.unwrap_err();
    assert_eq!(error.code(), "load-timeout");
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_found_out() {
    let mut config = config();
    config.worker_bin = "/bin/true".into();
    let error = Worker::start(&config, Bytes::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "the worker died: exited with status 0");
}

#[tokio::test]
async fn lies_are_caught() {
    for lie in [
        "id", "name", "type", "length", "more", "none", "huge", "turn", "noise", "fault",
    ] {
        let model = Bytes::from(format!("lie {lie}"));
        let mut worker = Worker::start(&hostile_config(), model).await.unwrap();
        let error = worker
            .infer(&[floats("x", &[1.0])], None)
            .await
            .unwrap_err();
        assert_eq!(error.code(), "worker-protocol", "{lie}: {error}");
        let mut process = Watch(worker.pid());
        let again = worker
            .infer(&[floats("x", &[1.0])], None)
            .await
            .unwrap_err();
        assert_eq!(again.code(), "worker-crashed", "{lie}");
        drop(worker);
        process.ends().await;
    }
}

#[tokio::test]
async fn an_honest_answer_from_the_same_program_is_taken_but_not_its_clock() {
    let model = Bytes::from("lie not-at-all");
    let mut worker = Worker::start(&hostile_config(), model).await.unwrap();
    assert_eq!(worker.spec().inputs[0].datatype, DataType::Fp32);
    let output = worker.infer(&[floats("x", &[1.0])], None).await.unwrap();
    assert_eq!(output.outputs, [floats("y", &[0.0])]);
    // It claims to have computed for 71 minutes.
    assert!(output.compute_micros < 10_000_000);
}

#[tokio::test]
async fn what_a_worker_knows_of_a_call_does_not_reach_the_log() {
    let (sender, mut events) = mpsc::channel(64);
    let model = Bytes::from("lie not-at-all");
    let runner = FunctionRunner::start("f", hostile_config(), model, sender)
        .await
        .unwrap();
    let mut log = Vec::new();
    while !log.iter().any(|line| line == "loading ") {
        log.push(events.recv().await.unwrap().message);
    }
    runner.infer(vec![floats("x", &[1.0])], None).await.unwrap();
    drop(runner);
    while let Some(event) = events.recv().await {
        log.push(event.message);
    }
    let withheld = "further diagnostics withheld: they could hold a caller's data";
    assert!(log.iter().any(|line| line == withheld), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("given")), "{log:?}");
}

struct Watch(u32);

impl Watch {
    async fn ends(&mut self) {
        while std::path::Path::new(&format!("/proc/{}", self.0)).exists() {
            tokio::task::yield_now().await;
        }
    }
}
