//! What the worker tests share: where the programs are, and ONNX models written byte by byte.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod onnx;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use nacre_enclave::tensor::{DataType, Tensor};
use nacre_enclave::workers::WorkerConfig;
use rustix::thread::CapabilitySet;

/// ONNX Runtime: `NACRE_ONNXRUNTIME`, or where `make setup` puts it. Its absence fails the test.
pub(crate) fn onnxruntime() -> PathBuf {
    let path = std::env::var_os("NACRE_ONNXRUNTIME").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/onnxruntime/libonnxruntime.so"),
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "{} is missing: run `make setup`, or set NACRE_ONNXRUNTIME",
        path.display()
    );
    path.canonicalize().unwrap()
}

/// Workers of one test binary run under uids of their own.
fn slot() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (std::process::id() % 10_000) * 100 + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Whether the tests run as a root that may make namespaces, as an enclave does; a container's root may not.
pub(crate) fn is_full_root() -> bool {
    rustix::process::geteuid().is_root()
        && rustix::thread::capabilities(None)
            .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// The real worker with short limits. Full isolation is required where the tests run as a full root.
pub(crate) fn config() -> WorkerConfig {
    let mut config = WorkerConfig::new(env!("CARGO_BIN_EXE_nacre-worker"), onnxruntime(), slot());
    config.require_full_isolation = is_full_root();
    config.memory_bytes = 64 << 20;
    config.infer_timeout = Duration::from_secs(20);
    config
}

/// The worker that attacks its walls.
pub(crate) fn hostile_config() -> WorkerConfig {
    WorkerConfig {
        worker_bin: env!("CARGO_BIN_EXE_nacre-hostile-worker").into(),
        ..config()
    }
}

pub(crate) fn tensor(
    name: &str,
    datatype: DataType,
    shape: &[u64],
    data: impl Into<Bytes>,
) -> Tensor {
    Tensor {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
        data: data.into(),
    }
}

pub(crate) fn floats(name: &str, values: &[f32]) -> Tensor {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, DataType::Fp32, &[values.len() as u64], data)
}

pub(crate) fn integers(name: &str, shape: &[u64], values: &[i64]) -> Tensor {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, DataType::Int64, shape, data)
}

/// Whether a process exists that is not a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
