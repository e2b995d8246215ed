//! How fast this processor's time stamp counter runs.
//!
//! Under TCG the guest reads the host's counter. It must be told the counter's rate, for its own calibration against
//! an emulated timer fails when the host is busy. No file of Linux tells it reliably, so it is measured.
#![allow(
    unsafe_code,
    reason = "reading the counter is an instruction that the language calls unsafe"
)]

use std::time::{Duration, Instant};

/// The shortest measurement that is trusted: with it, two readings of 100 ns each make 10 millionths.
const SHORTEST: Duration = Duration::from_millis(20);

/// A measurement that has begun. Other work can be done meanwhile.
#[derive(Debug)]
pub(super) struct Measuring {
    ticks: u64,
    since: Instant,
}

impl Measuring {
    pub(super) fn begin() -> Self {
        Self {
            ticks: ticks(),
            since: Instant::now(),
        }
    }

    /// The rate in kHz; waits until the measurement is long enough.
    pub(super) fn finish(self) -> u64 {
        while self.since.elapsed() < SHORTEST {
            std::thread::yield_now();
        }
        let elapsed = self.since.elapsed().as_nanos().max(1);
        let ticks = u128::from(ticks().wrapping_sub(self.ticks));
        u64::try_from(ticks * 1_000_000 / elapsed).unwrap_or(0)
    }
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it touches nothing but registers.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Elsewhere TCG counts nanoseconds for the guest.
#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_agree_to_a_thousandth() {
        let first = Measuring::begin().finish();
        let second = Measuring::begin().finish();
        assert!(first > 100_000, "{first} kHz");
        assert!(first.abs_diff(second) <= first / 1000, "{first} {second}");
    }
}
