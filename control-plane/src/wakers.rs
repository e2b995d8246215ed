//! Who waits for what. In memory only: whoever waits reads the store first, so a lost waker costs one poll. Changes at
//! other control planes of the same database come in through [`crate::platform`]'s `follow`.

use core::fmt;
use core::str::FromStr;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacre_protocol::ids::{DeploymentId, FunctionName, JobId, NodeId};
use tokio::sync::watch;
use tokio::time::Instant;

/// Longest that a long poll waits, milliseconds.
pub(crate) const MAX_WAIT_MS: u64 = 60_000;

/// Something that can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Topic {
    /// A node's desired state.
    Desired(NodeId),
    /// Where a deployment stands.
    Deployment(DeploymentId),
    /// A function's log.
    Logs(FunctionName),
    /// Where a job stands.
    Job(JobId),
    /// Jobs that a node may have.
    Work(NodeId),
}

/// As control planes tell each other, and back.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Desired(node) => write!(f, "desired {node}"),
            Self::Deployment(deployment) => write!(f, "deployment {deployment}"),
            Self::Logs(function) => write!(f, "logs {function}"),
            Self::Job(job) => write!(f, "job {job}"),
            Self::Work(node) => write!(f, "work {node}"),
        }
    }
}

impl FromStr for Topic {
    type Err = NoTopic;

    fn from_str(text: &str) -> Result<Self, NoTopic> {
        let (kind, name) = text.split_once(' ').ok_or(NoTopic)?;
        match kind {
            "desired" => name.parse().map(Self::Desired).map_err(|_| NoTopic),
            "deployment" => name.parse().map(Self::Deployment).map_err(|_| NoTopic),
            "logs" => name.parse().map(Self::Logs).map_err(|_| NoTopic),
            "job" => name.parse().map(Self::Job).map_err(|_| NoTopic),
            "work" => name.parse().map(Self::Work).map_err(|_| NoTopic),
            _ => Err(NoTopic),
        }
    }
}

/// Not a topic that this version knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoTopic;

type Topics = Arc<Mutex<HashMap<Topic, watch::Sender<()>>>>;

/// All topics that anybody waits for.
#[derive(Debug, Clone)]
pub(crate) struct Wakers {
    topics: Topics,
    stopping: watch::Sender<bool>,
}

impl Wakers {
    /// Nobody waits yet.
    pub(crate) fn new() -> Self {
        Self {
            topics: Topics::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Wakes everybody who waits for the topic. To be called after the change is committed.
    pub(crate) fn wake(&self, topic: &Topic) {
        if let Some(sender) = lock(&self.topics).get(topic) {
            sender.send_replace(());
        }
    }

    /// Wakes everybody: nobody knows what changed.
    pub(crate) fn wake_all(&self) {
        for sender in lock(&self.topics).values() {
            sender.send_replace(());
        }
    }

    /// Ends all waiting, now and later.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether all waiting has ended.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Starts to listen. To be called before the first read, so that no change falls between.
    pub(crate) fn wait(&self, topic: Topic, wait_ms: u64) -> Wait {
        let changed = lock(&self.topics)
            .entry(topic.clone())
            .or_default()
            .subscribe();
        Wait {
            changed: Some(changed),
            stopping: self.stopping.subscribe(),
            until: Instant::now() + Duration::from_millis(wait_ms.min(MAX_WAIT_MS)),
            topic,
            topics: Arc::clone(&self.topics),
        }
    }

    #[cfg(test)]
    fn topics(&self) -> usize {
        lock(&self.topics).len()
    }
}

/// One long poll.
#[derive(Debug)]
pub(crate) struct Wait {
    changed: Option<watch::Receiver<()>>,
    stopping: watch::Receiver<bool>,
    until: Instant,
    topic: Topic,
    topics: Topics,
}

impl Wait {
    /// Waits for the next change: true when it is worth reading again, false when the time is up or the server stops.
    pub(crate) async fn again(&mut self) -> bool {
        let Some(changed) = &mut self.changed else {
            return false;
        };
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => false,
            () = tokio::time::sleep_until(self.until) => false,
            woken = changed.changed() => woken.is_ok(),
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut topics = lock(&self.topics);
        self.changed = None;
        let unused = |sender: &watch::Sender<()>| sender.receiver_count() == 0;
        if topics.get(&self.topic).is_some_and(unused) {
            topics.remove(&self.topic);
        }
    }
}

/// A panic elsewhere cannot leave the map half changed.
fn lock(topics: &Topics) -> MutexGuard<'_, HashMap<Topic, watch::Sender<()>>> {
    topics.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: u8) -> Topic {
        Topic::Desired(NodeId::from_random([n; 16]))
    }

    #[tokio::test]
    async fn a_change_before_the_wait_is_not_lost() {
        let wakers = Wakers::new();
        let mut wait = wakers.wait(topic(1), MAX_WAIT_MS);
        wakers.wake(&topic(1));
        assert!(wait.again().await);
    }

    #[tokio::test]
    async fn other_topics_and_time_do_not_wake() {
        let wakers = Wakers::new();
        let mut wait = wakers.wait(topic(1), 1);
        wakers.wake(&topic(2));
        assert!(!wait.again().await);
    }

    #[tokio::test]
    async fn everybody_is_woken_when_nobody_knows_what_changed() {
        let wakers = Wakers::new();
        let (mut a, mut b) = (
            wakers.wait(topic(1), MAX_WAIT_MS),
            wakers.wait(topic(2), MAX_WAIT_MS),
        );
        wakers.wake_all();
        assert!(a.again().await && b.again().await);
    }

    #[test]
    fn topics_are_told_and_understood() {
        for topic in [
            topic(1),
            Topic::Deployment(DeploymentId::from_random([2; 16])),
            Topic::Logs("iris-2".parse().unwrap()),
            Topic::Job(JobId::from_random([3; 16])),
            Topic::Work(NodeId::from_random([4; 16])),
        ] {
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
        for strange in [
            "",
            "logs",
            "logs ",
            "weather fine",
            "desired x",
            "deployment \n",
        ] {
            assert_eq!(strange.parse::<Topic>(), Err(NoTopic), "{strange:?}");
        }
    }

    #[tokio::test]
    async fn stopping_ends_those_who_wait_and_those_who_come() {
        let wakers = Wakers::new();
        let mut before = wakers.wait(topic(1), MAX_WAIT_MS);
        wakers.stop();
        assert!(!before.again().await);
        assert!(!wakers.wait(topic(1), MAX_WAIT_MS).again().await);
    }

    #[tokio::test]
    async fn nothing_is_kept_when_nobody_waits() {
        let wakers = Wakers::new();
        let (a, b) = (wakers.wait(topic(1), 0), wakers.wait(topic(1), 0));
        drop(a);
        assert_eq!(wakers.topics(), 1);
        drop(b);
        assert_eq!(wakers.topics(), 0);
    }
}
