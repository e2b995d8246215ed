//! What incidents take off a node's score.

/// How long an incident counts, milliseconds: seven days.
pub(super) const WINDOW_MS: u64 = 7 * 24 * 3600 * 1000;
/// The score of a node without any.
const FULL: u32 = 10_000;

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

/// The score after so many incidents of each code.
pub(super) fn score<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> u32 {
    counts.fold(FULL, |score, (code, times)| {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        score.saturating_sub(points(code).saturating_mul(times))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_falls_with_each_incident_and_not_below_nothing() {
        assert_eq!(score([].into_iter()), 10_000);
        assert_eq!(
            score([("job-receipt-terms", 1), (STATE_FALSE, 2)].into_iter()),
            5_500
        );
        assert_eq!(score([(BOOT_TAKEN, 1), (NOT_BOUND, 3)].into_iter()), 0);
        assert_eq!(score([("anything", u64::MAX)].into_iter()), 0);
    }
}
