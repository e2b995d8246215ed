//! The supervisor's side of the workers: starts them, checks all they say, and brings them back.
//!
//! [`Worker`] is one process with one model. [`FunctionRunner`] keeps one running for a function: it bounds the
//! calls that wait, ends calls that take too long, and replaces a process that died before the next call notices.
//!
//! A worker is not trusted. Names, types, sizes and ids of what it answers are checked against what was asked, its
//! outputs are copied through a socket into memory that it cannot reach, and what it says to its standard error is
//! passed on only up to its first inference: after that it could hold a caller's data.

mod check;
mod error;
mod event;
mod line;
mod process;
mod runner;
mod to_the_end;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

pub use error::WorkerError;
pub use event::{FunctionEvent, FunctionEventKind};
pub use process::LogSink;
pub use runner::FunctionRunner;
pub use worker::{InferOutput, Worker};

/// How to run a function's worker.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Path of the `nacre-worker` program.
    pub worker_bin: PathBuf,
    /// Path of libonnxruntime.
    pub onnxruntime: PathBuf,
    /// Most memory for the model and its computation together, in bytes; loading counts too.
    pub memory_bytes: u64,
    /// Which of the user ids from [`FIRST_UID`] on the worker runs under; no two workers share one. Used where the
    /// enclave runs as root.
    pub slot: u32,
    /// Threads within an operator; 1 suits models that answer within a millisecond.
    pub threads: u16,
    /// Longest time from start to a loaded model.
    pub load_timeout: Duration,
    /// Longest time of one inference, and longest wait for a turn.
    pub infer_timeout: Duration,
    /// Most calls that wait for the one that runs.
    pub max_queue: usize,
    /// Most bytes of outputs of one inference.
    pub max_output_bytes: u64,
    /// Refuse to run where any wall of [`crate::worker::wire::Isolation`] is missing, as production does.
    pub require_full_isolation: bool,
}

/// User id of slot 0.
pub const FIRST_UID: u32 = 200_000;

impl WorkerConfig {
    /// A configuration with the usual limits: 256 MiB, one thread, 30 s to load, 2 s to infer, 64 waiting calls,
    /// 64 MiB of outputs, full isolation.
    pub fn new(worker_bin: impl Into<PathBuf>, onnxruntime: impl Into<PathBuf>, slot: u32) -> Self {
        WorkerConfig {
            worker_bin: worker_bin.into(),
            onnxruntime: onnxruntime.into(),
            memory_bytes: 256 << 20,
            slot,
            threads: 1,
            load_timeout: Duration::from_secs(30),
            infer_timeout: Duration::from_secs(2),
            max_queue: 64,
            max_output_bytes: 64 << 20,
            require_full_isolation: true,
        }
    }
}
