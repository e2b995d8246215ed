//! What a run came to, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use nacre_failpoint::Point;

use crate::invariants::Told;
use crate::kept::Kept;

/// Counts of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Kills at each point.
    pub(crate) at: BTreeMap<Point, usize>,
    /// Kills at any moment.
    pub(crate) anywhere: usize,
    /// Points that nobody came to in time, and that came again later.
    pub(crate) missed: usize,
}

impl Tally {
    /// Kills in all.
    pub(crate) fn kills(&self) -> usize {
        self.at.values().sum::<usize>() + self.anywhere
    }

    /// Prints all of it.
    pub(crate) fn print(&self, what: &str, seed: u64, took: Duration, told: &Told, kept: &Kept) {
        println!(
            "{what}, seed {seed}: {} kills in {:.1} s, {} of them at {} failpoints ({} times nobody came to one in time)",
            self.kills(),
            took.as_secs_f64(),
            self.at.values().sum::<usize>(),
            self.at.len(),
            self.missed,
        );
        let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
        for job in &kept.jobs {
            *ends.entry(&job.state).or_default() += 1;
        }
        let ends = ends.iter().map(|(state, count)| format!("{count} {state}"));
        println!(
            "  {} jobs ({}), {} attempts, {} settlements, {} webhooks, {} incidents, {} objects, {} noted and not used, {} staged",
            kept.jobs.len(),
            ends.collect::<Vec<_>>().join(", "),
            kept.attempts.len(),
            kept.settlements.len(),
            told.notices.len(),
            kept.incidents.len(),
            kept.files.len(),
            kept.unused(),
            kept.staged.len(),
        );
        let points = self
            .at
            .iter()
            .map(|(point, count)| format!("{point} {count}"));
        println!(
            "  anywhere {}; {}",
            self.anywhere,
            points.collect::<Vec<_>>().join(", ")
        );
    }
}
