//! Attested time under an honest module and under one whose time is somebody's to set.

use proptest::prelude::*;

use super::*;

/// A day in milliseconds.
const DAY: u64 = 86_400_000;

/// A clock whose module answers at once, and moments on its monotonic time.
struct Setting {
    clock: AttestedClock,
    start: Instant,
}

impl Setting {
    fn new() -> Self {
        Self {
            clock: AttestedClock::default(),
            // Later than any moment at which the test runs.
            start: Instant::now() + Duration::from_secs(3600),
        }
    }

    fn moment(&self, at_ms: u64) -> Instant {
        self.start + Duration::from_millis(at_ms)
    }

    fn document(&self, at_ms: u64, signed_ms: u64) {
        self.clock
            .observe(signed_ms, self.moment(at_ms), self.moment(at_ms));
    }

    fn read(&self, at_ms: u64) -> Result<u64, ClockUnavailable> {
        self.clock.at(self.moment(at_ms))
    }
}

#[test]
fn runs_from_the_document_and_ends_without_one() {
    let setting = Setting::new();
    assert_eq!(setting.read(0), Err(ClockUnavailable::Silent));
    setting.document(0, 1_000_000);
    assert_eq!(setting.read(250), Ok(1_000_250));
    assert_eq!(setting.read(60_000), Ok(1_060_000));
    assert_eq!(setting.read(60_001), Err(ClockUnavailable::Silent));
    setting.document(70_000, 1_070_000);
    assert_eq!(setting.read(71_000), Ok(1_071_000));
    assert_eq!(setting.clock.steps(), 0);
}

#[test]
fn a_document_that_arrives_after_a_later_one_changes_nothing() {
    let setting = Setting::new();
    let at = |ms| setting.moment(ms);
    setting.clock.observe(1_500, at(500), at(600));
    // Asked for and signed before, and read after, but taken to the clock last.
    setting.clock.observe(1_100, at(100), at(550));
    assert_eq!(setting.read(700), Ok(1_600));
    assert_eq!(setting.clock.steps(), 0);
}

#[test]
fn a_slow_answer_is_no_step() {
    let setting = Setting::new();
    let at = |ms| setting.moment(ms);
    setting.clock.observe(10_000, at(0), at(0));
    // Signed as soon as asked for, and nine seconds on the way.
    setting.clock.observe(20_000, at(10_000), at(19_000));
    // Signed at the end of nine seconds.
    setting.clock.observe(39_000, at(20_000), at(29_000));
    assert_eq!(setting.clock.steps(), 0);
}

#[test]
fn a_step_forward_is_followed_and_counted() {
    let setting = Setting::new();
    setting.document(0, DAY);
    setting.document(20_000, 2 * DAY);
    assert_eq!(setting.clock.steps(), 1);
    assert_eq!(setting.read(20_500), Ok(2 * DAY + 500));
}

#[test]
fn a_small_step_back_stands_still_until_the_module_has_caught_up() {
    let setting = Setting::new();
    setting.document(0, DAY);
    setting.document(20_000, DAY + 19_200);
    assert_eq!(setting.read(20_000), Ok(DAY + 20_000));
    assert_eq!(setting.read(20_700), Ok(DAY + 20_000));
    assert_eq!(setting.read(21_000), Ok(DAY + 20_200));
    assert_eq!(setting.clock.steps(), 0);
}

#[test]
fn a_large_step_back_is_counted_and_leaves_no_time_until_the_module_has_caught_up() {
    let setting = Setting::new();
    setting.document(0, DAY);
    setting.document(20_000, DAY + 10_000);
    assert_eq!(setting.clock.steps(), 1);
    assert_eq!(setting.read(20_000), Err(ClockUnavailable::SteppedBack));
    // What the stepped module says next is no further step, and does not make it forgotten.
    setting.document(25_000, DAY + 15_000);
    assert_eq!(setting.clock.steps(), 1);
    assert_eq!(setting.read(25_000), Err(ClockUnavailable::SteppedBack));
    setting.document(45_000, DAY + 35_000);
    assert_eq!(setting.read(45_000), Ok(DAY + 35_000));
}

#[test]
fn a_machine_that_was_paused_sees_a_step() {
    let setting = Setting::new();
    setting.document(0, DAY);
    setting.document(20, DAY + 3_600_020);
    assert_eq!(setting.clock.steps(), 1);
}

proptest! {
    /// Whatever the module says and whenever it answers, what is signed never runs backwards.
    #[test]
    fn signed_time_never_runs_backwards(
        documents in prop::collection::vec((0u64..90_000, 0u64..12_000, any::<u64>(), any::<bool>()), 1..30)
    ) {
        let setting = Setting::new();
        let (mut now, mut latest) = (0, 0);
        for (pause, took, signed, near) in documents {
            let asked = now + pause;
            now = asked + took;
            // Half of them near the truth, where the small steps are.
            let signed = if near { DAY + asked + signed % 4_000 } else { signed };
            setting.clock.observe(signed, setting.moment(asked), setting.moment(now));
            for read_at in [now, now + 1, now + 700] {
                if let Ok(time) = setting.read(read_at) {
                    prop_assert!(time >= latest, "{time} after {latest}");
                    latest = time;
                }
            }
            now += 700;
        }
    }

    /// An honest module whose clock drifts by less than a thousandth is never said to step, however slow it is.
    #[test]
    fn an_honest_module_never_steps(
        documents in prop::collection::vec((0u64..90_000, 0u64..12_000, 0.0f64..=1.0), 1..30),
        drift_ppm in -900i64..900,
    ) {
        let setting = Setting::new();
        let mut now = 0;
        for (pause, took, when) in documents {
            let asked = now + pause;
            now = asked + took;
            let signed_at = asked + (took as f64 * when) as u64;
            let drifted = DAY as i64 + signed_at as i64 + signed_at as i64 * drift_ppm / 1_000_000;
            setting.clock.observe(drifted as u64, setting.moment(asked), setting.moment(now));
        }
        prop_assert_eq!(setting.clock.steps(), 0);
    }
}
