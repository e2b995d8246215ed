//! What happens later: one timer of the system for all times that are waited for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::vsock::Micros;

/// Times, each with what it is for.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    began: Instant,
    heap: BinaryHeap<Reverse<(Micros, T)>>,
    timer: OwnedFd,
    armed: Option<Micros>,
}

impl<T: Ord> Timers<T> {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            heap: BinaryHeap::new(),
            timer: timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?,
            armed: None,
        })
    }

    pub(crate) fn now(&self) -> Micros {
        Micros::try_from(self.began.elapsed().as_micros()).unwrap_or(Micros::MAX)
    }

    pub(crate) fn at(&mut self, time: Micros, what: T) {
        self.heap.push(Reverse((time, what)));
    }

    /// What is due, one after the other.
    pub(crate) fn next_due(&mut self, now: Micros) -> Option<T> {
        let Reverse((time, _)) = self.heap.peek()?;
        if *time > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, what))| what)
    }

    /// Sets the system's timer to the earliest time.
    pub(crate) fn arm(&mut self) -> std::io::Result<()> {
        let next = self.heap.peek().map(|Reverse((time, _))| *time);
        if next == self.armed {
            return Ok(());
        }
        self.armed = next;
        let wait = next.map(|time| time.saturating_sub(self.now()).max(1));
        let wait = wait.unwrap_or(0);
        let zero = Timespec::default();
        let timer = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: i64::try_from(wait / 1_000_000).unwrap_or(i64::MAX),
                tv_nsec: i64::try_from(wait % 1_000_000 * 1000).unwrap_or(0),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }

    /// The timer went off.
    pub(crate) fn went_off(&mut self) {
        let mut count = [0; 8];
        // Whether there was something to read does not matter: the times are looked at anyway.
        let _ = rustix::io::read(&self.timer, &mut count);
        self.armed = None;
    }
}

impl<T> AsFd for Timers<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}
