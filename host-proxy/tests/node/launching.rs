//! The launcher alone.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nacre_host_proxy::egress::EgressArgs;
use nacre_host_proxy::launcher::{
    LaunchError, Launcher as _, ProcessConfig, ProcessLauncher, RunningEnclave,
};
use tempfile::TempDir;

use crate::node::alive;

fn own() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn config(dir: &TempDir, behaviour: &str) -> ProcessConfig {
    let worker = dir.path().join("worker");
    std::fs::write(&worker, behaviour).unwrap();
    ProcessConfig {
        nsm_emulator: vec![own().into(), OsString::from("nsm-emulator")],
        pki_dir: dir.path().join("pki"),
        nsm_latency_ms: 7,
        enclave: own(),
        worker,
        onnxruntime: own(),
        memory_bytes: 1 << 20,
        dir_prefix: format!("nacre-test-{}-", std::process::id()),
        egress: EgressArgs::default(),
        ready_within: Duration::from_secs(10),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn launch(config: ProcessConfig) -> Result<Box<dyn RunningEnclave>, LaunchError> {
    ProcessLauncher::new(config).launch().await
}

fn runtime_dirs() -> usize {
    let prefix = format!("nacre-test-{}-", std::process::id());
    let bases = [
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        Some("/tmp".into()),
    ];
    let entries = bases
        .into_iter()
        .flatten()
        .filter_map(|base| std::fs::read_dir(base).ok());
    let ours = |name: OsString| name.to_string_lossy().starts_with(&prefix);
    entries
        .flatten()
        .flatten()
        .filter(|e| ours(e.file_name()))
        .count()
}

pub(crate) fn says_what_went_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let message = |config| match launch(config) {
        Ok(_) => panic!("launched"),
        Err(error) => error.to_string(),
    };
    let missing = ProcessConfig {
        enclave: "/nonexistent/enclave".into(),
        ..config(&dir, "")
    };
    let text = message(missing);
    assert!(text.contains("/nonexistent/enclave"), "{text}");
    let text = message(config(&dir, "dies"));
    assert!(text.contains("enclave ended before it was ready"), "{text}");
    assert!(
        text.contains("exit status: 3") && text.contains("cannot load the library"),
        "{text}"
    );
    let text = message(config(&dir, "chatters"));
    assert!(text.contains("\"hello\""), "{text}");
    let slow = ProcessConfig {
        ready_within: Duration::from_secs(1),
        ..config(&dir, "hangs")
    };
    let text = message(slow);
    assert!(text.contains("not ready within 1s"), "{text}");
    assert_eq!(runtime_dirs(), 0, "failed launches leave nothing behind");
}

pub(crate) fn ends_even_the_stubborn() {
    let dir = tempfile::tempdir().unwrap();
    let launcher = ProcessLauncher::new(config(&dir, "stubborn"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut enclave = launcher.launch().await.unwrap();
        let sockets = enclave.tls().to_string();
        let directory = Path::new(sockets.strip_prefix("unix:").unwrap())
            .parent()
            .unwrap();
        let emulator: u32 = std::fs::read_to_string(directory.join("nsm.pid"))
            .unwrap()
            .parse()
            .unwrap();
        assert!(alive(emulator));
        let still_runs = tokio::time::timeout(Duration::from_millis(50), enclave.ended()).await;
        assert!(still_runs.is_err());
        let start = Instant::now();
        enclave.stop().await;
        assert!(start.elapsed() < Duration::from_secs(8));
        assert!(!alive(emulator));
        assert_eq!(runtime_dirs(), 0);
    });
}
