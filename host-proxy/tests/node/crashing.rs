//! Enclaves that hang, and what is written down of those that are no more.

use std::time::{Duration, Instant};

use nacre_host_proxy::crash::CrashReport;
use rustix::process::Signal;

use crate::living::{boot_of, model};
use crate::node::{Node, command, gone, kill};
use crate::platform::Platform;

/// How long it may take until a node has replaced an enclave that hangs, with `--hung-after 1s`: twice that, what a
/// stopped process is given to end by itself, and a boot.
const REPLACED: Duration = Duration::from_secs(12);

/// What `nacre node crashes --json` says.
pub(crate) async fn crashes(data: &std::path::Path) -> Vec<CrashReport> {
    let own = std::env::current_exe().unwrap();
    let mut list = tokio::process::Command::new(own);
    let output = list.args(["node", "crashes", "--json", "--data"]).arg(data);
    let output = output.output().await.unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::main]
pub(crate) async fn hung() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let platform = Platform::new();
    let listening = platform.listen(None).await;
    let mut command = command(&data, listening.address);
    command.args(["--hung-after", "1s"]);
    let node = Node::start_as(command).await;
    let digest = platform.deploy("iris", &model(b"weights"));
    platform
        .until(REPLACED, "it runs", |p| p.is_ready(digest))
        .await;
    let before = node.call().await.unwrap();

    kill(before.enclave, Signal::STOP);
    let stopped = Instant::now();
    let after = node.call_within(REPLACED, &before.boot).await;
    assert!(
        stopped.elapsed() >= Duration::from_millis(900),
        "given time"
    );
    gone(&[before.enclave, before.emulator]).await;
    let boot = boot_of(&after);
    platform
        .until(REPLACED, "the new boot is registered and runs it", |p| {
            p.is_ready(digest) && p.observed.as_ref().is_some_and(|o| o.boot_id == boot)
        })
        .await;

    let reports = crashes(&data).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].cause.code(), "hung");
    assert_eq!(reports[0].boot_id, Some(boot_of(&before)));
    assert_eq!(reports[0].error.as_deref(), Some("enclave-timeout"));
    assert_eq!(reports[0].ended, None, "it was ended");
}

#[tokio::main]
pub(crate) async fn reported() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let platform = Platform::new();
    let listening = platform.listen(None).await;
    let mut node = Node::start(&data, listening.address).await;
    let before = node.call().await.unwrap();
    assert!(crashes(&data).await.is_empty());
    kill(before.enclave, Signal::KILL);
    node.call_until_not(&before.boot).await;

    let reports = crashes(&data).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    let report = &reports[0];
    let ended = report.ended.as_ref().unwrap();
    assert_eq!(
        (report.kind.as_str(), report.launch, report.cause.code()),
        ("process", 1, "ended")
    );
    assert_eq!(
        (ended.part.as_str(), ended.exit_code, ended.signal),
        ("enclave", None, Some(9))
    );
    assert_eq!(report.boot_id, Some(boot_of(&before)));
    assert_eq!(report.enclave_version.as_deref(), Some("fake"));
    assert!(report.log.iter().any(|line| line.line.starts_with("ready")));
    let text = serde_json::to_string(report).unwrap();
    assert!(
        !text.contains(crate::enclave::PRINTED),
        "nothing it printed"
    );

    // An end that was asked for is no crash.
    kill(node.pid(), Signal::TERM);
    assert!(node.ended().await.success());
    assert_eq!(crashes(&data).await.len(), 1);
}
