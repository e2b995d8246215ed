//! Starts the enclave's program and waits for its end.

use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Rlimit, WaitOptions, WaitStatus, setrlimit, wait};

use crate::boot_file::BootFile;
use crate::ending::Ending;
use crate::refusal::Refusal;

/// Runs the program to its end. Its arguments, environment and limits are those of the boot file, its standard input is
/// empty, its standard output and standard error are the console's, and no signal is blocked or ignored. Orphans are reaped.
///
/// # Errors
///
/// `limit-refused`; `program-not-started`.
pub fn run(boot: &BootFile) -> Result<Ending, Refusal> {
    for (limit, value) in &boot.limits {
        let both = Rlimit {
            current: Some(*value),
            maximum: Some(*value),
        };
        setrlimit(limit.resource(), both).map_err(|error| {
            Refusal::new("limit-refused", format!("{limit:?} {value}: {error}"))
        })?;
    }
    let not_started = |error: std::io::Error| {
        Refusal::new("program-not-started", format!("{}: {error}", boot.program))
    };
    let child = Command::new(&boot.program)
        .args(&boot.arguments)
        .env_clear()
        .envs(boot.environment.iter().map(|(key, value)| (key, value)))
        .current_dir("/")
        .stdin(Stdio::null())
        .spawn()
        .map_err(not_started)?;
    let program = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if Some(ended) == program => {
                if let Some(ending) = ending(status) {
                    return Ok(ending);
                }
            }
            // An orphan.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(not_started(error.into())),
        }
    }
}

fn ending(status: WaitStatus) -> Option<Ending> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some(Ending::Exited(code)),
        (None, Some(signal)) => Some(Ending::Killed(signal)),
        (None, None) => None,
    }
}
