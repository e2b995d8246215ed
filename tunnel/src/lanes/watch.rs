//! How a lane waits: with its eyes open for a moment, and then asleep.
//!
//! Whoever a message was brought to often answers within microseconds. To be put to sleep and woken for that answer costs
//! more than to look for it, so a lane that has just carried a message looks on for a moment. It does so only while that
//! pays: after moments in which nothing came it goes to sleep at once for a while, the longer the more there were. Bulk
//! is no message: the longer a lane sleeps then, the more there is to be carried at once.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a moment is: what a program that sleeps takes to be woken and to answer.
const MOMENT: Duration = Duration::from_micros(50);
/// So often at most a lane goes to sleep at once before it looks on again.
const MOST_NAPS: u32 = 255;

thread_local! {
    /// Messages that were carried on this thread.
    static CARRIED: Cell<u64> = const { Cell::new(0) };
}

/// A message was carried on this thread.
pub(crate) fn carried_a_message() {
    CARRIED.with(|carried| carried.set(carried.get().wrapping_add(1)));
}

/// What a lane watches with.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Keeps the lane awake.
    awake: Notify,
    turn: Mutex<Turn>,
}

#[derive(Debug, Default)]
struct Turn {
    /// Messages carried when the lane last looked.
    seen: u64,
    /// Since when it has looked on for more.
    since: Option<Instant>,
    /// After the last moment in which nothing came, it was to go to sleep at once so often,
    naps: u32,
    /// and is yet to.
    naps_left: u32,
}

impl Watch {
    /// Called on the lane's thread before it goes to sleep: keeps it awake if it is to look on.
    pub(super) fn before_sleep(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.looks_on(CARRIED.with(Cell::get), Instant::now()) {
            self.awake.notify_one();
            drop(turn);
            // The answer is made by somebody who may be waiting for this very core.
            std::thread::yield_now();
        }
    }

    /// What the lane has to do, without end, while it looks on.
    pub(super) async fn look_on(&self) {
        loop {
            self.awake.notified().await;
        }
    }
}

impl Turn {
    /// Whether to look on, when so many messages have been carried by now.
    fn looks_on(&mut self, carried: u64, now: Instant) -> bool {
        if carried != self.seen {
            self.seen = carried;
            if self.since.is_some() {
                // It came while the lane looked on.
                (self.naps, self.naps_left) = (0, 0);
            }
            if self.naps_left > 0 {
                self.naps_left -= 1;
                return false;
            }
            self.since = Some(now);
            return true;
        }
        let Some(since) = self.since else {
            return false;
        };
        if now < since + MOMENT {
            return true;
        }
        self.since = None;
        self.naps = (2 * self.naps + 1).min(MOST_NAPS);
        self.naps_left = self.naps;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_looks_on_for_a_moment_after_a_message_and_then_sleeps() {
        let (mut turn, now) = (Turn::default(), Instant::now());
        assert!(!turn.looks_on(0, now), "nothing was carried yet");
        assert!(turn.looks_on(1, now));
        assert!(turn.looks_on(1, now + MOMENT / 2));
        assert!(!turn.looks_on(1, now + MOMENT));
        assert!(!turn.looks_on(1, now + MOMENT), "asleep is asleep");
    }

    #[test]
    fn a_lane_looks_on_for_as_long_as_that_pays() {
        let (mut turn, mut now) = (Turn::default(), Instant::now());
        for carried in 1..1000 {
            assert!(turn.looks_on(carried, now));
            now += MOMENT / 2;
        }
    }

    #[test]
    fn a_lane_that_looked_on_for_nothing_seldom_does_it_again() {
        let (mut turn, mut now) = (Turn::default(), Instant::now());
        let mut looked_on = 0;
        for carried in 1..=10_000 {
            looked_on += u32::from(turn.looks_on(carried, now));
            now += 10 * MOMENT;
            assert!(!turn.looks_on(carried, now));
        }
        assert!(looked_on < 60, "{looked_on} times of 10,000");
        // What pays again is done again at once.
        let mut carried = 10_000;
        while !turn.looks_on(carried, now) {
            carried += 1;
            assert!(carried <= 10_001 + u64::from(MOST_NAPS));
        }
        assert!(turn.looks_on(carried + 1, now));
        assert!(turn.looks_on(carried + 2, now));
    }
}
