//! The processes of a platform, by `/proc`.

use std::path::Path;
use std::time::Duration;

/// One of the programs that make up a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `nacre control-plane`.
    ControlPlane,
    /// `nacre node`: the host proxy with launcher and agent.
    Node,
    /// `nacre nsm-emulator`.
    NsmEmulator,
    /// `nacre-enclave`.
    Enclave,
    /// `nacre-worker`, one a function.
    Worker,
}

impl Part {
    /// Whether a process with these arguments is this part.
    pub fn is(self, arguments: &[String]) -> bool {
        let program = arguments.first().map(Path::new);
        let program = program
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let command = arguments.get(1).map(String::as_str);
        match self {
            Self::ControlPlane => (program, command) == (Some("nacre"), Some("control-plane")),
            Self::Node => (program, command) == (Some("nacre"), Some("node")),
            Self::NsmEmulator => (program, command) == (Some("nacre"), Some("nsm-emulator")),
            Self::Enclave => program == Some("nacre-enclave"),
            Self::Worker => program == Some("nacre-worker"),
        }
    }
}

/// All descendants of a process.
pub fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = all().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let mut family = vec![root];
    let mut at = 0;
    while at < family.len() {
        let of_this = parents.iter().filter(|(_, parent)| *parent == family[at]);
        let children: Vec<_> = of_this.map(|(pid, _)| *pid).collect();
        family.extend(children);
        at += 1;
    }
    family.remove(0);
    family
}

/// Whether a process still runs (a zombie does not).
pub fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Processor time that a process has used so far, all its threads together (proc(5): ticks of 10 ms).
pub fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    // The state is the third field of the file; user and system time are the 14th and 15th.
    let times = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A process's arguments.
pub fn command_line(pid: u32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = line
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty());
    words
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Sends a signal to one process.
pub fn signal(pid: u32, signal: rustix::process::Signal) -> anyhow::Result<()> {
    let raw = i32::try_from(pid)?;
    let process = rustix::process::Pid::from_raw(raw);
    let process = process.ok_or_else(|| anyhow::anyhow!("{pid} is no process"))?;
    Ok(rustix::process::kill_process(process, signal)?)
}

fn all() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit(')').next()?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}
