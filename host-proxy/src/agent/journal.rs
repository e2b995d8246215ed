//! The enclave's events on their way to the control plane: each kept until its report was answered.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacre_protocol::control::Event;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Boot;
use crate::backoff::{Backoff, pause};

/// Events of one report.
const PER_REPORT: usize = 256;
/// Events that wait here; while there are as many, the enclave keeps its own.
const MOST: usize = 1024;
/// How long the enclave may keep a question that has no news.
const WAIT: Duration = Duration::from_secs(20);
/// An answer without news that comes sooner than this is not a long poll.
const TOO_SOON: Duration = Duration::from_millis(500);

/// Events in order of `seq`, each once.
#[derive(Debug, Default)]
pub(super) struct Journal {
    queue: Mutex<Queue>,
    /// New events, for the reporter.
    pub(super) news: Notify,
    /// New events, for the reconciler: something changed inside.
    pub(super) stirred: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    last_seq: u64,
}

impl Journal {
    /// The oldest events, not yet acknowledged.
    pub(super) fn oldest(&self) -> Vec<Event> {
        self.queue()
            .events
            .iter()
            .take(PER_REPORT)
            .cloned()
            .collect()
    }

    /// Forgets events up to and including this one.
    pub(super) fn acknowledge(&self, seq: u64) {
        let mut queue = self.queue();
        while queue.events.front().is_some_and(|event| event.seq <= seq) {
            queue.events.pop_front();
        }
        self.room.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue().events.is_empty()
    }

    /// Adds the new ones among these; the sequence number after which to ask next.
    fn add(&self, events: Vec<Event>) -> u64 {
        let mut queue = self.queue();
        let mut any = false;
        for event in events {
            if event.seq > queue.last_seq {
                queue.last_seq = event.seq;
                queue.events.push_back(event);
                any = true;
            }
        }
        if any {
            self.news.notify_one();
            self.stirred.notify_one();
        }
        queue.last_seq
    }

    async fn wait_for_room(&self) {
        while self.queue().events.len() >= MOST {
            self.room.notified().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the enclave's events until it turns out to be another boot.
pub(super) async fn follow(boot: &Boot) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let mut after = 0;
    loop {
        boot.journal.wait_for_room().await;
        let asked = Instant::now();
        match boot.control.events(after, WAIT).await {
            Ok(page) if page.boot_id != boot.id => return,
            Ok(page) => {
                let next = boot.journal.add(page.events);
                if next > after || asked.elapsed() >= TOO_SOON {
                    after = next;
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => tracing::debug!(%error, "cannot read the enclave's events"),
        }
        pause(backoff.next_jittered()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Event {
        Event {
            seq,
            at_ms: 0,
            function: "iris".parse().unwrap(),
            code: "ready".to_owned(),
            message: String::new(),
        }
    }

    fn seqs(journal: &Journal) -> Vec<u64> {
        journal.oldest().iter().map(|event| event.seq).collect()
    }

    #[test]
    fn each_event_is_kept_once_until_it_is_acknowledged() {
        let journal = Journal::default();
        assert_eq!(journal.add(vec![event(1), event(2)]), 2);
        assert_eq!(journal.add(vec![event(2), event(3), event(3), event(5)]), 5);
        assert_eq!(seqs(&journal), [1, 2, 3, 5]);
        assert_eq!(seqs(&journal), [1, 2, 3, 5], "a lost report is repeated");
        journal.acknowledge(3);
        assert_eq!(journal.add(vec![event(4)]), 5, "late duplicates stay out");
        assert_eq!(seqs(&journal), [5]);
        journal.acknowledge(5);
        assert!(journal.is_empty());
    }

    #[test]
    fn a_report_is_bounded() {
        let journal = Journal::default();
        journal.add((1..=1000).map(event).collect());
        assert_eq!(seqs(&journal).len(), 256);
        journal.acknowledge(256);
        assert_eq!(seqs(&journal)[0], 257);
    }
}
