//! What a node promises.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::BootId;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::enclave::NO_MODEL;
use crate::node::{Answer, Node, WITHIN, alive, command, gone, kill};
use crate::platform::{Listening, Platform};

pub(crate) struct Setup {
    pub(crate) dir: TempDir,
    pub(crate) platform: Arc<Platform>,
    pub(crate) listening: Listening,
    pub(crate) node: Node,
}

async fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let platform = Platform::new();
    let listening = platform.listen(None).await;
    let node = Node::start(&dir.path().join("data"), listening.address).await;
    Setup {
        dir,
        platform,
        listening,
        node,
    }
}

pub(crate) fn model(content: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nacre.toml", b"[function]".to_vec()),
        ("model.onnx", content.to_vec()),
    ]
}

pub(crate) fn boot_of(answer: &Answer) -> BootId {
    answer.boot.parse().unwrap()
}

#[tokio::main]
pub(crate) async fn deploys_and_reports() {
    let setup = setup().await;
    let (platform, node) = (&setup.platform, &setup.node);
    platform.inner().lose_reports = 2;
    let large = platform.deploy("large", &model(&vec![42; 20 << 20]));
    let refused = platform.deploy("refused", &model(NO_MODEL));
    platform
        .until(WITHIN, "both are settled", |p| {
            p.is_ready(large)
                && p.observed_of(refused)
                    .is_some_and(|f| f.state == FunctionState::Failed)
        })
        .await;
    {
        let inner = platform.inner();
        let error = inner.observed_of(refused).unwrap().error.clone().unwrap();
        assert!(error.starts_with("model-invalid: "), "{error}");
        let registration = inner.registrations.last().unwrap();
        assert_eq!(registration.endpoint, node.address.to_string());
        let offer = registration.offer;
        assert_eq!((offer.memory_bytes, offer.price), (64 << 20, 12));
        assert_eq!(offer.cpu_milli, 3000, "the enclave has three processors");
    }

    platform.delete("large");
    platform
        .until(WITHIN, "it is unloaded", |p| {
            p.events.iter().any(|(_, _, code)| code == "unloaded")
        })
        .await;
    // Reports come without any change, too, and not in a loop.
    let reports = platform.inner().reports + 10;
    platform
        .until(2 * WITHIN, "signs of life", |p| p.reports >= reports)
        .await;
    let quiet_since = Instant::now();
    platform
        .until(WITHIN, "signs of life", |p| p.reports >= reports + 3)
        .await;
    assert!(quiet_since.elapsed() > Duration::from_millis(800));

    let inner = platform.inner();
    let refusals = inner.events.iter().filter(|(_, _, code)| code == "refused");
    let mut seqs: Vec<u64> = refusals.map(|(_, seq, _)| *seq).collect();
    seqs.dedup();
    assert!(seqs.len() <= 2, "once a revision, not in a loop: {seqs:?}");
    let mut all: Vec<u64> = inner.events.iter().map(|(_, seq, _)| *seq).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(
        all,
        (1..=all.len() as u64).collect::<Vec<u64>>(),
        "no event is lost"
    );
}

#[tokio::main]
pub(crate) async fn enclave_killed() {
    let setup = setup().await;
    let (platform, node) = (&setup.platform, &setup.node);
    let digest = platform.deploy("iris", &model(b"weights"));
    platform
        .until(WITHIN, "it runs", |p| p.is_ready(digest))
        .await;
    let victims: [fn(&Answer) -> u32; 2] = [|answer| answer.enclave, |answer| answer.emulator];
    for victim in victims {
        let current = node.call().await.unwrap();
        let mut connection = node.connection().await;
        kill(victim(&current), Signal::KILL);
        let mut end = Vec::new();
        let ended = timeout(WITHIN, connection.read_to_end(&mut end)).await;
        assert!(ended.is_ok(), "open connections end");
        let after = node.call_until_not(&current.boot).await;
        assert_ne!(after.emulator, current.emulator, "both are new");
        gone(&[current.enclave, current.emulator]).await;
        assert!(!current.dir.exists());
        let boot = boot_of(&after);
        platform
            .until(WITHIN, "the function is back in the new boot", |p| {
                p.is_ready(digest) && p.observed.as_ref().is_some_and(|o| o.boot_id == boot)
            })
            .await;
        let inner = platform.inner();
        assert_eq!(
            inner.registrations.last().unwrap().id,
            inner.registrations[0].id
        );
        assert_eq!(
            inner.read_with, inner.token,
            "a boot's blobs are read as that boot, whose token outlives the reading"
        );
    }
}

#[tokio::main]
pub(crate) async fn node_killed() {
    let Setup {
        platform,
        mut node,
        dir,
        listening,
    } = setup().await;
    let digest = platform.deploy("iris", &model(b"weights"));
    platform
        .until(WITHIN, "it runs", |p| p.is_ready(digest))
        .await;
    let before = node.call().await.unwrap();
    kill(node.pid(), Signal::KILL);
    node.ended().await;
    gone(&[before.enclave, before.emulator]).await;

    let again = Node::start(&dir.path().join("data"), listening.address).await;
    assert_eq!(again.address, node.address, "the endpoint stays valid");
    assert!(!before.dir.exists(), "what the killed one left is swept");
    let after = again.call().await.unwrap();
    let boot = boot_of(&after);
    platform
        .until(WITHIN, "the function is back", |p| {
            p.is_ready(digest) && p.observed.as_ref().is_some_and(|o| o.boot_id == boot)
        })
        .await;
    let inner = platform.inner();
    let (first, last) = (&inner.registrations[0], inner.registrations.last().unwrap());
    assert_eq!((first.id, first.operator), (last.id, last.operator));
}

#[tokio::main]
pub(crate) async fn control_plane_lost() {
    let setup = setup().await;
    let (platform, node, listening) = (setup.platform, setup.node, setup.listening);
    let digest = platform.deploy("iris", &model(b"weights"));
    platform
        .until(WITHIN, "it runs", |p| p.is_ready(digest))
        .await;
    let before = node.call().await.unwrap();
    let mut open = node.connection().await;

    let address = listening.address;
    drop(listening);
    for _ in 0..20 {
        assert_eq!(node.call().await.unwrap().boot, before.boot);
    }
    let reports = platform.inner().reports;
    let second = platform.deploy("late", &model(b"other weights"));
    let _listening = platform.listen(Some(address)).await;
    platform
        .until(WITHIN, "it reports again and catches up", |p| {
            p.reports > reports && p.is_ready(second)
        })
        .await;

    // It comes back without any memory of the node.
    let registrations = platform.inner().registrations.len();
    platform.inner().token = None;
    platform
        .until(WITHIN, "it registers again", |p| {
            p.registrations.len() > registrations
        })
        .await;
    let reports = platform.inner().reports;
    platform
        .until(WITHIN, "and reports", |p| {
            p.reports > reports && p.is_ready(digest)
        })
        .await;

    open.write_all(b"still here").await.unwrap();
    let mut echo = [0; 10];
    open.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"still here", "an open connection never noticed");
    assert_eq!(node.call().await.unwrap().boot, before.boot);
}

#[tokio::main]
pub(crate) async fn stopped() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut setup = setup().await;
        let node = &mut setup.node;
        let running = node.call().await.unwrap();
        assert!(alive(running.enclave) && alive(running.emulator));
        kill(node.pid(), signal);
        assert!(node.ended().await.success());
        assert!(!alive(running.enclave) && !alive(running.emulator));
        assert!(!running.dir.exists());
    }
    // The same by the end of standard input, which is how a dead parent looks.
    let dir = tempfile::tempdir().unwrap();
    let listening = Platform::new().listen(None).await;
    let mut command = command(&dir.path().join("data"), listening.address);
    let mut child = command.arg("--exit-on-stdin-eof").spawn().unwrap();
    drop(child.stdin.take());
    let ended = timeout(Duration::from_secs(10), child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
}

#[tokio::main]
pub(crate) async fn wrong_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let refused = |extra: &[&str]| {
        let mut command = command(&data, nowhere);
        command.args(extra).stderr(std::process::Stdio::piped());
        async move {
            let output = timeout(Duration::from_secs(20), command.output())
                .await
                .unwrap()
                .unwrap();
            assert!(!output.status.success());
            String::from_utf8(output.stderr).unwrap()
        }
    };
    let text = refused(&["--listen", "0.0.0.0:0"]).await;
    assert!(text.contains("process-mode-loopback-only"), "{text}");
    for endpoint in ["nowhere", "host:0", "a b:1"] {
        let text = refused(&["--advertise", endpoint]).await;
        assert!(text.contains("--advertise"), "{text}");
    }

    // Two nodes never share a data directory.
    let platform = Platform::new();
    let listening = platform.listen(None).await;
    let _running = Node::start(&data, listening.address).await;
    let text = refused(&[]).await;
    assert!(
        text.contains("another process already runs the node"),
        "{text}"
    );
}
