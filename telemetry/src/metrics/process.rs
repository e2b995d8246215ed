//! The process itself, by the names that every Prometheus client gives.

use prometheus_client::registry::Registry;

use super::observed::Read;

/// Registers what the kernel knows of this process. What it does not say is not exposed.
pub(super) fn register(registry: &mut Registry) {
    registry.register(
        "process_resident_memory_bytes",
        "Memory of the process that is not paged out",
        Read::new([], || one(resident_bytes())),
    );
    registry.register(
        "process_open_fds",
        "Open files of the process",
        Read::new([], || one(open_files())),
    );
}

fn one(value: Option<f64>) -> Vec<([super::Label; 0], f64)> {
    value.map(|value| ([], value)).into_iter().collect()
}

/// The `VmRSS` of proc_pid_status(5), which is in KiB.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn open_files() -> Option<f64> {
    // One of them is the folder that is read.
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1) as f64)
}
