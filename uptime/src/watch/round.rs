//! One slot after the other, every node of it.

use std::sync::Arc;
use std::time::Duration;

use nacre_client::Trust;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{DownReason, Schedule, Slot};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::meters::Meters;
use super::probe;
use super::targets::Target;
use super::unix_ms;
use crate::evidence::EvidenceRecord;
use crate::seeds::{EpochSecret, WatcherKey};

/// What was seen in one slot.
#[derive(Debug)]
pub(crate) struct SlotSeen {
    pub(crate) slot: Slot,
    /// The record's bytes of each node that answered, the last reason of each that did not. Who is missing was not asked.
    pub(crate) nodes: Vec<(NodeId, Result<Vec<u8>, DownReason>)>,
}

/// What slots are probed with.
pub(crate) struct Rounds {
    pub(crate) key: WatcherKey,
    pub(crate) schedule: Schedule,
    pub(crate) trust: Trust,
    pub(crate) targets: watch::Receiver<Arc<Vec<Arc<Target>>>>,
    pub(crate) permits: Arc<Semaphore>,
    /// The last slot that is written down already: a clock that steps back does not bring it again.
    pub(crate) after: Option<Slot>,
    pub(crate) meters: Arc<Meters>,
}

impl Rounds {
    /// Probes slots until nobody takes what was seen.
    pub(crate) async fn run(mut self, seen: &mpsc::Sender<SlotSeen>) {
        loop {
            let (slot, begin) = self.coming().await;
            self.after = Some(slot);
            sleep_until(begin).await;
            let round = self.slot(slot, begin).await;
            // A machine that slept, or whose clock was set, has not looked when it thinks it has.
            let late = unix_ms().abs_diff(self.schedule.slot_start(Slot(slot.0 + 1)));
            if late > u64::from(self.schedule.slot_ms()) / 2 {
                tracing::warn!(
                    slot = slot.0,
                    late,
                    "the clock jumped: the slot counts as unseen"
                );
                continue;
            }
            self.meters.seen(&round);
            if seen.send(round).await.is_err() {
                return;
            }
        }
    }

    /// The slot to look at next and when it begins, once that is near.
    async fn coming(&self) -> (Slot, Instant) {
        let length = u64::from(self.schedule.slot_ms());
        loop {
            let now_ms = unix_ms();
            let slot = self.next(now_ms);
            let begin = self.schedule.slot_start(slot);
            if begin <= now_ms.saturating_add(length) {
                return (slot, instant_of(begin, now_ms));
            }
            // It may be set right again before that slot comes.
            tracing::warn!(
                slot = slot.0,
                "the clock stepped back: these slots were written down before"
            );
            sleep_until(Instant::now() + Duration::from_millis(length)).await;
        }
    }

    /// The first slot that was not looked at: the one that begins, or began a moment ago.
    fn next(&self, now_ms: u64) -> Slot {
        let moment = u64::from(self.schedule.slot_ms()) * 95 / 100;
        let coming = self.schedule.slot_at(now_ms.saturating_add(moment));
        let unseen = self.after.map_or(Slot(0), |slot| Slot(slot.0 + 1));
        coming.max(unseen)
    }

    async fn slot(&self, slot: Slot, begin: Instant) -> SlotSeen {
        let secret = self.key.epoch_secret(self.schedule.epoch_of(slot));
        let targets = Arc::clone(&self.targets.borrow());
        let mut probes = JoinSet::new();
        for target in targets.iter() {
            let probing = Probing {
                target: Arc::clone(target),
                trust: self.trust.clone(),
                permits: Arc::clone(&self.permits),
                schedule: self.schedule,
                secret,
                slot,
            };
            probes.spawn(probing.run(begin));
        }
        let mut nodes = Vec::with_capacity(targets.len());
        while let Some(probed) = probes.join_next().await {
            match probed {
                Ok((node, Some(seen))) => nodes.push((node, seen)),
                Ok((_, None)) => {}
                Err(error) => tracing::error!(%error, "a probe failed"),
            }
        }
        // Also where every node answered at once.
        sleep_until(begin + Duration::from_millis(self.schedule.slot_ms().into()) / 100 * 90).await;
        SlotSeen { slot, nodes }
    }
}

/// The moment of a Unix time, when it is `now_ms`.
fn instant_of(at_ms: u64, now_ms: u64) -> Instant {
    let now = Instant::now();
    let ahead = Duration::from_millis(at_ms.saturating_sub(now_ms));
    let behind = Duration::from_millis(now_ms.saturating_sub(at_ms));
    (now + ahead).checked_sub(behind).unwrap_or(now)
}

struct Probing {
    target: Arc<Target>,
    trust: Trust,
    permits: Arc<Semaphore>,
    schedule: Schedule,
    secret: EpochSecret,
    slot: Slot,
}

impl Probing {
    /// Tries until one is answered. A node whose tries could not all be made is not called down.
    async fn run(self, begin: Instant) -> (NodeId, Option<Result<Vec<u8>, DownReason>>) {
        let node = self.target.node;
        let plan = self.secret.tries(&self.schedule, &node, self.slot);
        let mut reason = None;
        let mut all_made = true;
        for (attempt, from, to) in plan.spans() {
            let (from, to) = (
                begin + Duration::from_millis(from),
                begin + Duration::from_millis(to),
            );
            sleep_until(from).await;
            let Ok(Ok(_permit)) = timeout_at(to, self.permits.acquire()).await else {
                all_made = false;
                continue;
            };
            let nonce = self.secret.nonce(&node, self.slot, attempt);
            match probe::ask(&self.target, &self.trust, &nonce, to).await {
                Ok(proof) => match self.record(attempt, proof) {
                    Some(record) => return (node, Some(Ok(record))),
                    None => all_made = false,
                },
                Err(why) => reason = Some(why),
            }
        }
        (node, reason.filter(|_| all_made).map(Err))
    }

    fn record(&self, attempt: u8, proof: crate::evidence::Proof) -> Option<Vec<u8>> {
        let record = EvidenceRecord {
            version: 1,
            watcher: self.secret.watcher(),
            node: self.target.node,
            slot: self.slot,
            slot_ms: self.schedule.slot_ms(),
            attempt,
            proof,
        };
        record.to_json().ok()
    }
}
