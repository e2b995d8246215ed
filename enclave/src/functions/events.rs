//! What happened to functions, for the host to fetch: the last [`KEPT`] events, numbered from 1.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nacre_protocol::control::Event;
use nacre_protocol::ids::FunctionName;
use tokio::sync::watch;

use crate::clock::AttestedClock;

/// How many events are kept.
const KEPT: usize = 1024;
/// Longest message of an event in bytes; what is longer is cut.
const MAX_MESSAGE: usize = 512;

/// The log.
#[derive(Debug)]
pub struct EventLog {
    clock: Arc<AttestedClock>,
    kept: Mutex<VecDeque<Event>>,
    last: watch::Sender<u64>,
}

impl EventLog {
    /// An empty log that takes its times from `clock`.
    pub fn new(clock: Arc<AttestedClock>) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
            last: watch::Sender::new(0),
        }
    }

    /// Adds an event. The message must not hold a payload.
    pub fn push(&self, function: &FunctionName, code: &str, message: &str) {
        tracing::info!(%function, code, message, "function event");
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = *self.last.borrow() + 1;
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Event {
            seq,
            at_ms: self.clock.unsigned_now(),
            function: function.clone(),
            code: code.to_owned(),
            message: cut(message).to_owned(),
        });
        self.last.send_replace(seq);
    }

    /// Events after number `after`; waits up to `wait` for the first.
    pub async fn after(&self, after: u64, wait: Duration) -> Vec<Event> {
        let mut last = self.last.subscribe();
        // Nothing by then is an answer too.
        let _ = tokio::time::timeout(wait, last.wait_for(|last| *last > after)).await;
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .filter(|event| event.seq > after)
            .cloned()
            .collect()
    }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MAX_MESSAGE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> EventLog {
        EventLog::new(Arc::new(AttestedClock::default()))
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_event() {
        let log = Arc::new(log());
        let iris: FunctionName = "iris".parse().unwrap();
        log.push(&iris, "ready", "first");
        assert_eq!(log.after(0, Duration::ZERO).await[0].message, "first");
        assert!(log.after(1, Duration::ZERO).await.is_empty());
        let waiting = tokio::spawn({
            let log = Arc::clone(&log);
            async move { log.after(1, Duration::from_secs(30)).await }
        });
        log.push(&iris, "deleted", "second");
        let events = waiting.await.unwrap();
        assert_eq!((events[0].seq, events[0].code.as_str()), (2, "deleted"));
    }

    #[tokio::test]
    async fn the_log_is_bounded_and_gaps_show() {
        let log = log();
        let iris: FunctionName = "iris".parse().unwrap();
        for _ in 0..KEPT + 5 {
            log.push(&iris, "log", &"ä".repeat(1000));
        }
        let events = log.after(0, Duration::ZERO).await;
        assert_eq!((events.len(), events[0].seq), (KEPT, 6));
        assert!(events[0].message.len() <= MAX_MESSAGE);
    }
}
