//! Closed epochs are judged, one after the other.

use std::collections::BTreeMap;

use nacre_protocol::uptime::Epoch;
use nacre_scheduler::Event;

use super::judge::{Circumstances, Question, in_slots, reachable, score};
use crate::error::Error;
use crate::platform::{Changed, Platform};
use crate::score::placed;
use crate::store::uptime::epochs::NodeEpoch;
use crate::store::uptime::{circumstances, drains, epochs, stakes, windows, words};
use crate::store::{Connection, Transaction, deployments, incidents};

/// Epochs that are judged in one go; the rest comes with the next.
const AT_ONCE: usize = 64;

impl Platform {
    /// Judges the epochs whose time is up.
    pub(super) async fn judge_epochs(&self) -> Result<(), Error> {
        for _ in 0..AT_ONCE {
            let mut tx = self.store.read().await?;
            let Some(epoch) = self.next_epoch(&mut tx).await? else {
                return Ok(());
            };
            if self.schedule().closed_from(epoch) > self.clock.now_ms() {
                return Ok(());
            }
            let state = words::state(&mut tx, epoch).await?;
            let question = self.question(&mut tx, epoch).await?;
            drop(tx);
            let judged = tokio::task::spawn_blocking(move || question.judge()).await;
            let (watchers, nodes) =
                judged.map_err(|_| Error::Internal("an epoch could not be judged"))?;

            let now = self.clock.now_ms();
            let mut tx = self.store.write().await?;
            // What came meanwhile, by a clock that is behind ours, is judged too.
            if words::state(&mut tx, epoch).await? != state
                || !epochs::insert(&mut tx, epoch, &watchers, now).await?
            {
                continue;
            }
            epochs::put(&mut tx, &nodes).await?;
            let changed = self.stand_anew(&mut tx, epoch, &nodes, now).await?;
            self.commit(tx, changed).await?;
        }
        Ok(())
    }

    /// The epoch to judge next: the one after the last, or the first that began with a watcher.
    async fn next_epoch(&self, on: &mut Connection) -> Result<Option<Epoch>, Error> {
        if let Some((_, last)) = epochs::judged(on).await? {
            return Ok(Some(Epoch(last.0.saturating_add(1))));
        }
        let schedule = self.schedule();
        let first = stakes::first_weight(on).await?;
        Ok(first.map(|at| Epoch(schedule.epoch_of(schedule.slot_at(at)).0.saturating_add(1))))
    }

    /// Everything that an epoch is judged by.
    pub(super) async fn question(
        &self,
        on: &mut Connection,
        epoch: Epoch,
    ) -> Result<Question, Error> {
        let schedule = self.schedule();
        let drain_terms = self.uptime.rules.drain_terms();
        let first = schedule.first_slot(epoch);
        let within = schedule.slot_start(first)..schedule.commits_from(epoch);
        let month = drain_terms.month_slots.max(1);
        let month = nacre_protocol::uptime::Slot(first.0 / month * month);

        let weights = stakes::weights(on, within.start).await?;
        let mut drains: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for drain in drains::all(on, schedule.slot_start(month), within.end).await? {
            let of_node = drains.entry(drain.node).or_default();
            of_node.push(in_slots(&schedule, &drain));
        }
        Ok(Question {
            schedule,
            drain_terms,
            epoch,
            words: words::words(on, epoch, weights).await?,
            overturned: words::overturned(on, epoch).await?,
            circumstances: Circumstances {
                known: windows::operators(on).await?.into_keys().collect(),
                drains,
                outages: circumstances::outages(on, &within).await?,
            },
        })
    }

    /// Scores over the last window, and who cannot be reached: that one is offline whatever it reports, until watchers see it
    /// up again and it reports then.
    async fn stand_anew(
        &self,
        tx: &mut Transaction,
        epoch: Epoch,
        nodes: &[NodeEpoch],
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let schedule = self.schedule();
        let window = u64::from(schedule.window_slots()) / u64::from(schedule.epoch_slots());
        let from = epoch.0.saturating_add(1).saturating_sub(window);
        let before = windows::standings(tx).await?;
        let said: BTreeMap<_, _> = nodes
            .iter()
            .filter_map(|node| Some((node.node, reachable(&node.verdicts)?)))
            .collect();
        let mut lost = Vec::new();
        let mut events = Vec::new();
        for (node, tally) in epochs::sums(tx, from..=epoch.0).await? {
            let old = before.get(&node).copied().unwrap_or_default();
            let mut new = old;
            new.score = score(&tally);
            new.unreachable_ms = match said.get(&node) {
                Some(true) => None,
                Some(false) => old.unreachable_ms.or(Some(now_ms)),
                None => old.unreachable_ms,
            };
            if new == old {
                continue;
            }
            windows::set_standing(tx, &node, &new).await?;
            if let Some(score) = new.score.filter(|_| new.score != old.score) {
                let conduct = incidents::conduct(tx, &node).await?;
                let score = placed(Some(score), conduct);
                events.push(Event::NodeScored { node, score });
            }
            match (old.unreachable_ms, new.unreachable_ms) {
                (None, Some(_)) => {
                    tracing::warn!(%node, "node offline: watchers agree that nobody reaches it");
                    circumstances::offline_if_unreachable(tx, &node).await?;
                    events.push(Event::NodeOffline { node });
                    lost.push(node);
                }
                (Some(_), None) => tracing::info!(%node, "watchers reach the node again"),
                _ => {}
            }
        }
        if events.is_empty() {
            return Ok(Changed::default());
        }
        let affected = deployments::on_nodes(tx, &lost).await?;
        let changed = self.market(tx, &events, now_ms).await?;
        Ok(changed.deployments(affected))
    }
}
