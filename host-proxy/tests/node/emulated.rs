//! A node whose enclave is an image in an emulated machine.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nacre_host_proxy::launcher::InitStatus;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::crashing::crashes;
use crate::living::{boot_of, model};
use crate::machine::{boots, image};
use crate::node::{Node, WITHIN, alive, emulator_command, kill};
use crate::platform::{Listening, Platform};

struct Emulated {
    dir: TempDir,
    platform: Arc<Platform>,
    _listening: Listening,
    node: Node,
}

async fn start(extra: &[&str]) -> Emulated {
    start_image("works", extra).await
}

async fn start_image(behaviour: &str, extra: &[&str]) -> Emulated {
    let dir = tempfile::tempdir().unwrap();
    let eif = dir.path().join("nacre.eif");
    image(&eif, behaviour);
    let platform = Platform::new();
    let listening = platform.listen(None).await;
    let mut command = emulator_command(&dir.path().join("data"), listening.address, &eif);
    command.args(extra);
    Emulated {
        node: Node::start_as(command).await,
        dir,
        platform,
        _listening: listening,
    }
}

#[tokio::main]
pub(crate) async fn serves() {
    let mut emulated = start(&[]).await;
    let (platform, node) = (&emulated.platform, &mut emulated.node);
    let digest = platform.deploy("iris", &model(b"weights"));
    platform
        .until(WITHIN, "it runs", |p| p.is_ready(digest))
        .await;
    let running = node.call().await.unwrap();
    kill(node.pid(), Signal::TERM);
    assert!(node.ended().await.success());
    assert!(!alive(running.enclave) && !running.dir.exists());
    assert!(crashes(&emulated.dir.path().join("data")).await.is_empty());
}

#[tokio::main]
pub(crate) async fn stalls_once() {
    let mut emulated = start_image("stalls once", &["--boot-within", "4s"]).await;
    emulated.node.call().await.unwrap();
    let (data, eif) = (
        emulated.dir.path().join("data"),
        emulated.dir.path().join("nacre.eif"),
    );
    assert_eq!(boots(&eif), ["1000ms", "2000ms"]);
    let reports = crashes(&data).await;
    let [stalled] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!((stalled.launch, stalled.cause.code()), (1, "launch-failed"));
    kill(emulated.node.pid(), Signal::TERM);
    assert!(emulated.node.ended().await.success());
}

#[tokio::main]
pub(crate) async fn comes_back() {
    let emulated = start(&["--hung-after", "1s", "--debug-mode"]).await;
    let (data, node) = (emulated.dir.path().join("data"), &emulated.node);
    let patient = Duration::from_secs(15);
    let mut boots = Vec::new();
    for signal in [Signal::USR1, Signal::KILL, Signal::STOP] {
        let before = node.call().await.unwrap();
        kill(before.enclave, signal);
        let after = node.call_within(patient, &before.boot).await;
        boots.push(boot_of(&before));
        let boot = boot_of(&after);
        let registered =
            |p: &crate::platform::Inner| p.observed.as_ref().is_some_and(|o| o.boot_id == boot);
        emulated
            .platform
            .until(patient, "the new boot is registered", registered)
            .await;
    }
    let reports = crashes(&data).await;
    let ids: Vec<_> = reports.iter().map(|r| r.boot_id.unwrap()).collect();
    assert_eq!(ids, boots);
    let [crashed, killed, hung] = &reports[..] else {
        panic!("{reports:?}");
    };
    let ended = crashed.ended.as_ref().unwrap();
    assert_eq!(
        (ended.exit_code, &ended.init),
        (Some(0), &Some(InitStatus::Killed(11)))
    );
    let ended = killed.ended.as_ref().unwrap();
    assert_eq!((ended.signal, &ended.init), (Some(9), &None));
    assert_eq!(hung.cause.code(), "hung");
    for report in &reports {
        let image = report.image.as_ref().unwrap();
        assert_eq!(image.pcrs.keys().collect::<Vec<_>>(), [&0, &1, &2]);
        assert!(image.debug && image.pcrs.values().all(|pcr| pcr.len() == 96));
    }
}

#[tokio::main]
pub(crate) async fn refused() {
    let dir = tempfile::tempdir().unwrap();
    let (data, eif) = (dir.path().join("data"), dir.path().join("nacre.eif"));
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let refused = async |eif: &Path, extra: &[&str]| {
        let mut command = emulator_command(&data, nowhere, eif);
        command.args(extra).stderr(Stdio::piped());
        let output = timeout(Duration::from_secs(20), command.output()).await;
        let output = output.unwrap().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    image(&eif, "works");
    for option in [
        ["--onnxruntime", "/lib/libonnxruntime.so"],
        ["--worker-bin", "/bin/true"],
        ["--enclave-bin", "/bin/true"],
    ] {
        let text = refused(&eif, &option).await;
        assert!(
            text.contains("option-does-not-fit") && text.contains(option[0]),
            "{text}"
        );
    }
    let text = refused(&eif, &["--listen", "0.0.0.0:0"]).await;
    assert!(text.contains("emulator-loopback-only"), "{text}");
    let text = refused(&dir.path().join("none.eif"), &[]).await;
    assert!(text.contains("none.eif does not exist"), "{text}");

    image(&eif, "dies");
    let text = refused(&eif, &[]).await;
    assert!(
        text.contains("qemu-not-found"),
        "the emulator's own words: {text}"
    );
    image(&eif, "stalls");
    std::fs::remove_file(eif.with_extension("boots")).unwrap_or_default();
    let text = refused(&eif, &["--boot-within", "1s"]).await;
    assert!(text.contains("boot-timed-out"), "{text}");
    assert_eq!(
        boots(&eif),
        ["250ms", "500ms", "1000ms"],
        "ever more patient, and not for ever"
    );
    image(&eif, "is mute");
    let text = refused(&eif, &["--boot-within", "1s"]).await;
    assert!(text.contains("did not answer"), "{text}");

    // A broken image is refused before anything is started with it.
    let mut bytes = std::fs::read(&eif).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&eif, bytes).unwrap();
    let text = refused(&eif, &[]).await;
    assert!(text.contains("eif-crc"), "{text}");
    let launches = crashes(&data).await;
    let last = launches.last().unwrap();
    assert_eq!(
        (last.launch, last.error.as_deref()),
        (1, Some("eif-crc")),
        "no second try"
    );
}
