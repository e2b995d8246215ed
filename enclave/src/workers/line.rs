//! Who waits for a function's worker, and since when.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Calls that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Line(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    joined: u64,
    since: BTreeMap<u64, Instant>,
}

impl Line {
    /// One more waits from now on, until what is returned is dropped.
    pub(super) fn join(self: &Arc<Self>, now: Instant) -> InLine {
        let mut waiting = self.waiting();
        waiting.joined += 1;
        let number = waiting.joined;
        waiting.since.insert(number, now);
        InLine {
            line: Arc::clone(self),
            number,
        }
    }

    /// How long the first of them has waited now.
    pub(super) fn oldest(&self, now: Instant) -> Duration {
        let waiting = self.waiting();
        let first = waiting.since.first_key_value();
        first.map_or(Duration::ZERO, |(_, since)| now.duration_since(*since))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that waits.
#[derive(Debug)]
pub(super) struct InLine {
    line: Arc<Line>,
    number: u64,
}

impl Drop for InLine {
    fn drop(&mut self) {
        self.line.waiting().since.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_who_still_waits_is_the_oldest() {
        let line = Arc::new(Line::default());
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(line.oldest(after(9)), Duration::ZERO);
        let first = line.join(after(0));
        let second = line.join(after(2));
        assert_eq!(line.oldest(after(3)), Duration::from_secs(3));
        drop(first);
        assert_eq!(line.oldest(after(3)), Duration::from_secs(1));
        drop(second);
        assert_eq!(line.oldest(after(3)), Duration::ZERO);
    }
}
