//! What comes of all checks: which modes work, and the report in text and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::check::{Check, Mode, Status};
use crate::output::table;

/// The whole report. In JSON, codes and fields are stable.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) modes: BTreeMap<Mode, Verdict>,
    pub(super) checks: Vec<Check>,
}

/// Whether a mode works here.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    pub(super) works: bool,
    /// Codes of the checks that keep it from working.
    pub(super) missing: Vec<&'static str>,
    /// Codes of the checks that make it worse.
    pub(super) degraded: Vec<&'static str>,
}

impl Report {
    pub(super) fn of(checks: Vec<Check>) -> Self {
        let codes = |mode: Mode, status: Status| -> Vec<&'static str> {
            let of_it = checks
                .iter()
                .filter(|check| check.status == status && check.modes.contains(&mode));
            of_it.map(|check| check.code).collect()
        };
        let verdict = |mode: Mode| {
            let missing = codes(mode, Status::Missing);
            let verdict = Verdict {
                works: missing.is_empty(),
                missing,
                degraded: codes(mode, Status::Degraded),
            };
            (mode, verdict)
        };
        Self {
            modes: Mode::ALL.into_iter().map(verdict).collect(),
            checks,
        }
    }

    /// Whether this mode works; without one, whether any does.
    pub(super) fn works(&self, mode: Option<Mode>) -> bool {
        let asked =
            |(of, verdict): (&Mode, &Verdict)| verdict.works && mode.is_none_or(|mode| mode == *of);
        self.modes.iter().any(asked)
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (mode, verdict) in &self.modes {
            let how = match (verdict.works, verdict.degraded.is_empty()) {
                (true, true) => "works".to_owned(),
                (true, false) => format!("works; less well for: {}", verdict.degraded.join(", ")),
                (false, _) => format!("does not work; missing: {}", verdict.missing.join(", ")),
            };
            let _ = writeln!(text, "{:10}{how}", mode.name());
        }
        let row = |check: &Check| {
            let modes: Vec<_> = check.modes.iter().map(|mode| mode.name()).collect();
            let status = match check.status {
                Status::Ok => "ok",
                Status::Missing => "missing",
                Status::Degraded => "degraded",
            };
            let cells = [check.code, status, &modes.join(","), &check.found];
            cells.map(str::to_owned).to_vec()
        };
        let rows: Vec<_> = self.checks.iter().map(row).collect();
        let _ = write!(
            text,
            "\n{}",
            table(&["CHECK", "STATUS", "FOR", "FOUND"], &rows)
        );
        let fixes: Vec<_> = self
            .checks
            .iter()
            .filter_map(|check| Some((check.code, check.fix.as_deref()?)))
            .collect();
        if !fixes.is_empty() {
            text.push_str("\n\nto mend:");
            for (code, fix) in fixes {
                let _ = write!(text, "\n  {code:18}{fix}");
            }
        }
        text
    }
}
