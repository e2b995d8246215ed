//! Crash reports: one small file for each enclave that ended without being told to, in the node's data directory.
//!
//! What is in one comes from the host side: when, which boot, how it ended, counters, versions, measurements, and what the
//! supervisor did last. Nothing that a caller sent or an enclave printed can be in it, so a report may be shown to anyone.

use std::collections::VecDeque;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use nacre_protocol::control::Counters;
use nacre_protocol::ids::BootId;
use serde::{Deserialize, Serialize};

use crate::health::Cause;
use crate::launcher::{HowEnded, LaunchedImage};

/// Reports that are kept; the oldest go first.
pub const KEPT: usize = 20;
/// Folder in the node's data directory.
const FOLDER: &str = "crashes";
/// Longest report that is read back. One that is written stays far below it.
const MAX_REPORT: u64 = 64 << 10;
/// Lines of a [`HostLog`], and characters of one.
const LINES: usize = 40;
const LINE_LENGTH: usize = 200;

/// The end of one enclave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrashReport {
    /// Version of this shape: 1.
    pub schema: u32,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The launcher: `process`, `emulator` or `nitro`.
    pub kind: String,
    /// Which launch of the node's process it was.
    pub launch: u64,
    /// Why it is no more.
    pub cause: Cause,
    /// Code of the last thing that went wrong: a launch, or a question to the enclave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How it ended, if it did so by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<HowEnded>,
    /// How long it ran.
    pub uptime_ms: u64,
    /// Its boot id, if it ever said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<BootId>,
    /// Its counters when it last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// Version of the host's program.
    pub host_version: String,
    /// Version of the enclave's program, if it ever said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enclave_version: Option<String>,
    /// What was launched, where that is an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<LaunchedImage>,
    /// What the host did last.
    pub log: Vec<LogLine>,
}

/// One line of a [`HostLog`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub line: String,
}

/// The last things that the host did with its enclave.
#[derive(Debug, Clone, Default)]
pub struct HostLog(VecDeque<LogLine>);

impl HostLog {
    /// Adds a line, which is cut where it is too long, and forgets the oldest.
    pub fn note(&mut self, line: impl Into<String>) {
        if self.0.len() == LINES {
            self.0.pop_front();
        }
        let line: String = line.into();
        self.0.push_back(LogLine {
            at_ms: unix_millis(),
            line: line.chars().take(LINE_LENGTH).collect(),
        });
    }

    /// All of them, the oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.0.iter().cloned().collect()
    }
}

/// Now, in milliseconds since 1970.
pub fn unix_millis() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Where a node keeps its reports.
#[derive(Debug, Clone)]
pub struct CrashLog {
    directory: PathBuf,
}

impl CrashLog {
    /// The reports of the node with this data directory.
    pub fn of(data: &Path) -> Self {
        Self {
            directory: data.join(FOLDER),
        }
    }

    /// Writes a report, whole or not at all, and removes the oldest beyond [`KEPT`]. Blocks on the disk.
    pub fn write(&self, report: &CrashReport) -> io::Result<PathBuf> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)?;
        serde_json::to_writer_pretty(&mut file, report)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        // Names sort by time.
        let name = format!("{:013}-{:06}.json", report.at_ms, report.launch);
        let path = self.directory.join(name);
        file.persist(&path)?;
        File::open(&self.directory)?.sync_all()?;
        let files = self.files()?;
        for old in files.iter().rev().skip(KEPT).filter(|old| **old != path) {
            fs::remove_file(old)?;
        }
        Ok(path)
    }

    /// All reports, the oldest first, and the files that are none.
    pub fn read(&self) -> io::Result<(Vec<CrashReport>, Vec<PathBuf>)> {
        let (mut reports, mut unreadable) = (Vec::new(), Vec::new());
        for path in self.files()? {
            match read_report(&path) {
                Ok(report) => reports.push(report),
                Err(_) => unreadable.push(path),
            }
        }
        Ok((reports, unreadable))
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

fn read_report(path: &Path) -> io::Result<CrashReport> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_REPORT)
        .read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::InitStatus;

    fn report(at_ms: u64) -> CrashReport {
        let mut log = HostLog::default();
        for n in 0..100 {
            log.note(format!("{n} {}", "é".repeat(1000)));
        }
        CrashReport {
            schema: 1,
            at_ms,
            kind: "emulator".to_owned(),
            launch: 3,
            cause: Cause::Ended,
            error: Some("enclave-timeout".to_owned()),
            ended: Some(HowEnded {
                part: "emulator".to_owned(),
                exit_code: Some(0),
                signal: None,
                init: Some(InitStatus::Killed(11)),
            }),
            uptime_ms: 1234,
            boot_id: Some(BootId::from_random([7; 16])),
            counters: Some(Counters::default()),
            host_version: "1".to_owned(),
            enclave_version: None,
            image: None,
            log: log.lines(),
        }
    }

    #[test]
    fn the_newest_reports_are_kept_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let log = CrashLog::of(dir.path());
        assert!(log.read().unwrap().0.is_empty(), "no crash, no folder");
        let reports: Vec<CrashReport> = (0..30).map(|n| report(1_000_000_000_000 + n)).collect();
        for report in &reports {
            log.write(report).unwrap();
        }
        let (kept, unreadable) = log.read().unwrap();
        assert_eq!(kept, reports[10..]);
        assert!(unreadable.is_empty());

        // A clock that was set back does not lose the newest report.
        let path = log.write(&report(5)).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn a_report_is_small_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = CrashLog::of(dir.path()).write(&report(1)).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.len() < MAX_REPORT / 2, "{}", metadata.len());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let folder = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_damaged_report_is_named_and_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let log = CrashLog::of(dir.path());
        log.write(&report(2)).unwrap();
        let damaged = dir.path().join(FOLDER).join("0000000000001-000001.json");
        fs::write(&damaged, "{").unwrap();
        let (reports, unreadable) = log.read().unwrap();
        assert_eq!((reports.len(), unreadable), (1, vec![damaged]));
    }
}
