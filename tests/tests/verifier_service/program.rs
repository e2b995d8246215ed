//! The program itself, as it is built by default: it believes AWS's root and nothing else.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nacre_attestation_verifier::AWS_ROOT_SHA256;
use nacre_client::Trust;
use nacre_tests::platform::{binary, repository};
use nacre_transport::Address;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};

use super::setting::{Caller, Module, Subject, WORKER, question, samples, trust};

/// The program beside an emulator.
struct Program {
    child: Child,
    log: BufReader<ChildStderr>,
    module: Module,
    tls: Address,
    trust: Trust,
}

fn command(home: &Path, tls: &str) -> Command {
    let mut command = Command::new(binary("nacre-verifier"));
    command
        .arg("process")
        .arg("--nsm-socket")
        .arg(home.join("nsm"))
        .arg(format!("--tls={tls}"))
        .env_remove("NACRE_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Program {
    async fn start(change: impl FnOnce(&mut Command)) -> Self {
        let (module, root) = Module::of_a_verifier();
        let mut command = command(module.home(), "tcp://127.0.0.1:0");
        let metrics = module.home().join("metrics");
        command.arg(format!("--metrics=unix:{}", metrics.display()));
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).await.unwrap();
        assert_eq!(line, "ready\n");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        // The port is the kernel's choice; the log says which.
        let tls = loop {
            let mut line = String::new();
            assert_ne!(log.read_line(&mut line).await.unwrap(), 0, "no address");
            if let Some((_, rest)) = line.split_once("tls=") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
        };
        Self {
            child,
            log,
            module,
            tls,
            trust: trust(&root),
        }
    }

    async fn connect(&self) -> Caller {
        Caller::connect(&self.tls, &self.trust).await
    }
}

async fn ended(child: &mut Child) -> std::process::ExitStatus {
    let ended = tokio::time::timeout(Duration::from_secs(15), child.wait()).await;
    ended.expect("it ends").unwrap()
}

/// Neither the caller, nor the environment, nor the working folder has a say in whom it believes.
#[tokio::test(flavor = "multi_thread")]
async fn a_development_document_is_refused_whatever_it_is_started_with() {
    let mut subject = Subject::running(WORKER);
    let folder = tempfile::tempdir().unwrap();
    for name in ["root.der", "roots.der", "nacre-verifier.toml"] {
        std::fs::write(folder.path().join(name), subject.0.root_der()).unwrap();
    }
    let program = Program::start(|command| {
        let root = folder.path().join("root.der");
        for variable in ["NACRE_VERIFIER_ROOT", "NACRE_ROOT", "ROOT"] {
            command.env(variable, &root);
        }
        command.current_dir(folder.path());
    })
    .await;
    let mut caller = program.connect().await;
    let answer = caller.verify(&question(&subject.document())).await;
    assert_eq!(answer.refusal(), (422, "untrusted-root", Some(11)));
    assert_eq!(answer.body.get("warning"), None, "the root is AWS's");

    let metrics = program.module.home().join("metrics");
    let read = move || nacre_tests::http::ask_socket(&metrics, "GET", "/metrics", b"");
    let answer = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    let build = samples(&text)
        .into_keys()
        .find(|name| name.starts_with("nacre_verifier_build_info{"));
    let build = build.unwrap();
    assert!(build.contains(AWS_ROOT_SHA256), "{build}");
    assert!(build.contains("root_kind=\"aws\""), "{build}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_argument_for_a_root() {
    let home = tempfile::tempdir().unwrap();
    for argument in [
        "--root=x",
        "--roots=x",
        "--dev-root=x",
        "--trust=x",
        "--policy=x",
    ] {
        let mut command = command(home.path(), "tcp://127.0.0.1:0");
        let output = command.arg(argument).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{argument}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("unexpected argument"), "{message}");
    }
}

/// Real hardware's documents: genuine, but their certificates ended long ago.
#[tokio::test(flavor = "multi_thread")]
async fn real_documents_of_the_past_are_refused_as_expired() {
    let folder = repository().join("../shared/data/attestation");
    let Ok(index) = std::fs::read(folder.join("INDEX.json")) else {
        println!("left out: no real documents at ../shared/data/attestation");
        return;
    };
    let index: Vec<Value> = serde_json::from_slice(&index).unwrap();
    let files = index
        .iter()
        .filter(|entry| entry["kind"] == "valid")
        .map(|entry| folder.join(entry["file"].as_str().unwrap()));
    let program = Program::start(|command| {
        command.args(["--connection-rate", "1000", "--rate", "1000"]);
    })
    .await;
    let mut caller = program.connect().await;
    let mut judged = 0;
    for file in files {
        let document = std::fs::read(&file).unwrap();
        let answer = caller.verify(&question(&document)).await;
        assert_eq!(
            answer.refusal(),
            (422, "certificate-expired", Some(11)),
            "{}",
            file.display()
        );
        judged += 1;
    }
    assert!(judged > 0, "the index names no valid documents");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_log_has_nothing_of_what_callers_sent() {
    let mut subject = Subject::running(WORKER);
    let mut program = Program::start(|command| {
        command.env("NACRE_LOG", "debug");
    })
    .await;
    let mut caller = program.connect().await;
    let question = question(&subject.document());
    assert_eq!(caller.verify(&question).await.status, 422);
    assert_eq!(
        caller.post("{\"document\":\"SECRETSECRET").await.status,
        400
    );
    drop(caller);
    drop(program.child.stdin.take());
    assert!(ended(&mut program.child).await.success());
    let mut log = String::new();
    program.log.read_to_string(&mut log).await.unwrap();
    let document = question["document"].as_str().unwrap();
    for secret in [&document[..40], "SECRET", "5aAeb605"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(log.contains("the parent has gone"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_in_order_on_sigterm() {
    let mut program = Program::start(|_| ()).await;
    let _idle = program.connect().await;
    let pid = Pid::from_raw(program.child.id().unwrap() as i32).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(ended(&mut program.child).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_on_this_machine_only() {
    let home = tempfile::tempdir().unwrap();
    let local = "tcp://127.0.0.1:0";
    for (tls, metrics) in [
        ("tcp://0.0.0.0:0", "tcp://127.0.0.1:0"),
        (local, "tcp://0.0.0.0:0"),
        (local, "vsock://any:9100"),
    ] {
        let mut command = command(home.path(), tls);
        let output = command.args(["--metrics", metrics]).output().await.unwrap();
        assert!(!output.status.success());
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("process-mode-loopback-only"), "{log}");
    }
}
