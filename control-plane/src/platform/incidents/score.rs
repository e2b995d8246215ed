//! What incidents take off a node's score: all of their points on the first day, a seventh less each day after, nothing from the
//! eighth on.

use crate::score::FULL;
use crate::store::incidents::{DAY_MS, Tally};

/// For how many days an incident counts.
const DAYS: u64 = 7;
/// The same, milliseconds.
pub(super) const WINDOW_MS: u64 = DAYS * DAY_MS;

/// The same enclave under two names: what it earns is asked for twice.
pub(super) const BOOT_TAKEN: &str = "boot-id-taken";
/// Evidence that was not made for the registration that it came with.
pub(super) const NOT_BOUND: &str = "evidence-not-bound";
/// A job that was held to its deadline or for ever.
pub(crate) const NEVER_FINISHED: &str = "job-never-finished";
/// A function reported ready that the node's own enclave does not know.
pub(crate) const STATE_FALSE: &str = "state-false";

/// What one incident takes off. A lie that evidence or a receipt exposes costs a quarter or more; what bad luck may once bring
/// about, less.
pub(super) fn points(code: &str) -> u32 {
    match code {
        BOOT_TAKEN => 5_000,
        NOT_BOUND => 2_500,
        NEVER_FINISHED | STATE_FALSE => 1_000,
        // A result without proof, or with another's.
        code if code.starts_with("job-receipt-") => 2_500,
        _ => 500,
    }
}

/// The score after these incidents, not below 0.
pub(super) fn score(tallies: &[Tally]) -> u32 {
    let lost = tallies.iter().map(|tally| {
        let left = DAYS.saturating_sub(tally.days);
        let points = u64::from(points(&tally.code)).saturating_mul(tally.times);
        points.saturating_mul(left)
    });
    let lost = lost.fold(0, u64::saturating_add).div_ceil(DAYS);
    FULL.saturating_sub(u32::try_from(lost).unwrap_or(FULL))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(code: &str, days: u64, times: u64) -> Tally {
        Tally {
            code: code.to_owned(),
            days,
            times,
        }
    }

    #[test]
    fn a_score_falls_with_each_incident_and_not_below_nothing() {
        let today = |code, times| tally(code, 0, times);
        assert_eq!(score(&[]), 10_000);
        let two = [today("job-receipt-terms", 1), today(STATE_FALSE, 2)];
        assert_eq!(score(&two), 5_500);
        assert_eq!(score(&[today(BOOT_TAKEN, 1), today(NOT_BOUND, 3)]), 0);
        assert_eq!(score(&[today("anything", u64::MAX)]), 0);
    }

    #[test]
    fn an_incident_counts_less_each_day_and_nothing_after_a_week() {
        let after: Vec<_> = (0..9)
            .map(|days| score(&[tally(BOOT_TAKEN, days, 1)]))
            .collect();
        assert_eq!(
            after,
            [
                5_000, 5_714, 6_428, 7_142, 7_857, 8_571, 9_285, 10_000, 10_000
            ]
        );
    }
}
