//! Runs another program: an argument vector, a bounded time, its output kept.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// What a program may print at most; more is cut off and the program then waits until its time is over.
const OUTPUT_LIMIT: u64 = 256 << 20;
/// How long a program gets to clean up after SIGTERM.
const GRACE: Duration = Duration::from_secs(10);
/// How many of the last lines of its output an error shows.
const SHOWN_LINES: usize = 25;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It is not installed.
    #[error("`{0}` is missing: install it (Debian, Ubuntu: apt-get install {package})", package = package_of(.0))]
    Missing(String),
    /// It could not be started or watched.
    #[error("`{program}` cannot be run: {source}")]
    Io {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It said no.
    #[error("`{program}` failed ({status}):\n{said}")]
    Failed {
        /// Its name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it printed.
        said: String,
    },
    /// It took too long and was stopped.
    #[error("`{program}` was stopped: it did not end within {} s", limit.as_secs())]
    TimedOut {
        /// Its name.
        program: String,
        /// How long it had.
        limit: Duration,
    },
}

impl CommandError {
    /// The stable code of this error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "program-missing",
            Self::Io { .. } => "program-not-run",
            Self::Failed { .. } => "program-failed",
            Self::TimedOut { .. } => "program-timed-out",
        }
    }
}

/// What a program printed.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

/// Runs `command` with no standard input to its successful end, within `limit`.
///
/// # Errors
///
/// When it is not there, ends with another status than 0, or takes longer.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<Printed, CommandError> {
    let printed = run_any(command, limit)?;
    if printed.status.success() {
        return Ok(printed);
    }
    let said = format!("{}\n{}", printed.stdout, printed.stderr);
    let lines: Vec<&str> = said.trim().lines().collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    Err(CommandError::Failed {
        program: name_of(command),
        status: printed.status,
        said: shown.join("\n"),
    })
}

/// As [`run`], but any exit status will do.
pub(crate) fn run_any(command: &mut Command, limit: Duration) -> Result<Printed, CommandError> {
    let program = name_of(command);
    let spawned = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CommandError::Missing(program.clone()),
        _ => CommandError::Io {
            program: program.clone(),
            source,
        },
    })?;
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let ended = wait(&mut child, limit).map_err(|source| CommandError::Io {
        program: program.clone(),
        source,
    })?;
    let Some(status) = ended else {
        return Err(CommandError::TimedOut { program, limit });
    };
    Ok(Printed {
        stdout: text(stdout),
        stderr: text(stderr),
        status,
    })
}

/// The status, or `None` when the time is over and the program was stopped.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    if ends_within(child, limit)? {
        return child.wait().map(Some);
    }
    if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
        // SIGTERM first: make and cargo stop their own children then.
        kill_process(pid, Signal::TERM)?;
    }
    if !ends_within(child, GRACE)? {
        child.kill()?;
    }
    child.wait()?;
    Ok(None)
}

fn ends_within(child: &Child, limit: Duration) -> io::Result<bool> {
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else {
        return Ok(true);
    };
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    let timeout = Timespec::try_from(limit).map_err(io::Error::other)?;
    let mut watched = [PollFd::new(&handle, PollFlags::IN)];
    let ready = rustix::io::retry_on_intr(|| poll(&mut watched, Some(&timeout)))?;
    Ok(ready > 0)
}

fn read(pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is still worth showing.
        let _ = pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        bytes
    })
}

fn text(reader: Option<JoinHandle<Vec<u8>>>) -> String {
    let bytes = reader
        .and_then(|reader| reader.join().ok())
        .unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn name_of(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    name.to_string_lossy().into_owned()
}

/// The Debian package of the few programs that are taken from the machine.
fn package_of(program: &str) -> &str {
    match program {
        "apt-get" | "apt-cache" | "apt-helper" => "apt",
        "dpkg-deb" => "dpkg",
        "tar" => "tar xz-utils",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn what_a_program_prints_is_kept() {
        let printed = run(Command::new("printf").arg("a b"), LONG).unwrap();
        assert_eq!(printed.stdout, "a b");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("/nowhere/apt-get"), LONG).unwrap_err();
        assert_eq!(error.code(), "program-missing");
        assert!(error.to_string().contains("apt-get install apt"), "{error}");
    }

    #[test]
    fn a_failure_shows_what_the_program_said() {
        let error = run(
            Command::new("sh").args(["-c", "echo why >&2; exit 3"]),
            LONG,
        )
        .unwrap_err();
        assert_eq!(error.code(), "program-failed");
        assert!(error.to_string().contains("why"), "{error}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_stopped() {
        let error = run(Command::new("sleep").arg("1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.code(), "program-timed-out");
    }
}
