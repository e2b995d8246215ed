//! What an enclave counts for its host's metrics.
//!
//! Counts and times, and nothing else: none depends on what a payload says beyond how long the model takes for it, which the
//! host, who starts and feeds the machine, sees in any case. The one text is a function's name, which the host said itself.

use serde::{Deserialize, Serialize};

use crate::ids::FunctionName;

/// Upper ends of every [`Histogram`]'s buckets, in seconds. Above the last there is one more.
pub const HISTOGRAM_ENDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 30.0,
];

/// How often something took how long, since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many took at most as long as each of [`HISTOGRAM_ENDS`] and longer than the one before; last, how many took longer
    /// than all. Empty where nothing is known.
    pub counts: Vec<u64>,
    /// How long all of them took, microseconds.
    pub sum_micros: u64,
}

/// What an enclave has done since boot, beside its [`Counters`](super::Counters).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnclaveMetrics {
    /// Answers by the hundred of their status: 1xx, 2xx, 3xx, 4xx, 5xx.
    pub answers: [u64; 5],
    /// From a request's head to its answer's.
    pub requests: Histogram,
    /// Bytes of blobs and workers that are held now.
    pub memory_used_bytes: u64,
    /// Each function that serves, since it was loaded.
    pub functions: Vec<FunctionMetrics>,
}

/// What one function has done since it was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionMetrics {
    /// Its name.
    pub name: FunctionName,
    /// Inferences that were answered.
    pub succeeded: u64,
    /// Inferences that failed in the model.
    pub failed: u64,
    /// The model's time for each that was answered.
    pub compute: Histogram,
}
