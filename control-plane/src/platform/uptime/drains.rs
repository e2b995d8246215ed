//! Drains are announced; what they excuse is told at once.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{AnnounceDrain, AnnouncedDrain, Slot};
use nacre_uptime::excused_slots;

use super::judge::in_slots;
use crate::error::{Error, UptimeError};
use crate::platform::Platform;
use crate::store::uptime::circumstances::{self, DrainRow};
use crate::store::{Connection, commit, nodes};

/// Longest drain, milliseconds.
const MAX_DRAIN_MS: u64 = 7 * 24 * 3600 * 1000;
/// Drains of a node that have not ended.
const MAX_AHEAD: usize = 32;

impl Platform {
    /// Announces a drain. The same one again is the same one.
    pub(crate) async fn announce_drain(
        &self,
        node: NodeId,
        drain: AnnounceDrain,
    ) -> Result<AnnouncedDrain, Error> {
        let now = self.clock.now_ms();
        let length = drain.to_ms.checked_sub(drain.from_ms);
        let sound = length.is_some_and(|length| (1..=MAX_DRAIN_MS).contains(&length));
        if !sound || drain.from_ms <= now || i64::try_from(drain.to_ms).is_err() {
            return Err(UptimeError::DrainTimes { now_ms: now }.into());
        }
        let mut tx = self.store.write().await?;
        if nodes::known(&mut tx, &node).await?.is_none() {
            return Err(UptimeError::NodeNotFound(node).into());
        }
        let ahead = circumstances::drains_of(&mut tx, &node, now).await?;
        match ahead.iter().find(|other| other.from_ms == drain.from_ms) {
            Some(other) if other.to_ms != drain.to_ms => {
                return Err(UptimeError::DrainDiffers.into());
            }
            Some(_) => {}
            None if ahead.len() >= MAX_AHEAD => {
                return Err(UptimeError::ManyDrains(MAX_AHEAD).into());
            }
            None => drop(circumstances::announce(&mut tx, &node, &drain, now).await?),
        }
        let all = self.drains_in(&mut tx, &node, now).await?;
        let kept = all.into_iter().find(|kept| kept.from_ms == drain.from_ms);
        commit(tx).await?;
        kept.ok_or(Error::Internal("a drain vanished"))
    }

    /// A node's drains that have not ended, in order.
    pub(crate) async fn drains(&self, node: NodeId) -> Result<Vec<AnnouncedDrain>, Error> {
        let mut tx = self.store.read().await?;
        if nodes::known(&mut tx, &node).await?.is_none() {
            return Err(UptimeError::NodeNotFound(node).into());
        }
        self.drains_in(&mut tx, &node, self.clock.now_ms()).await
    }

    async fn drains_in(
        &self,
        on: &mut Connection,
        node: &NodeId,
        now_ms: u64,
    ) -> Result<Vec<AnnouncedDrain>, Error> {
        let (schedule, terms) = (self.schedule(), self.uptime.rules.drain_terms());
        // As far back as the first of them could spend of a month.
        let month = terms.month_slots.saturating_mul(schedule.slot_ms().into());
        let rows = circumstances::drains_of(on, node, now_ms.saturating_sub(month)).await?;
        let all: Vec<_> = rows.iter().map(|row| in_slots(&schedule, row)).collect();
        let shown = |row: &DrainRow| {
            let span = in_slots(&schedule, row);
            let excused = excused_slots(&all, &terms, Slot(span.from.0)..span.to);
            AnnouncedDrain {
                from_ms: row.from_ms,
                to_ms: row.to_ms,
                announced_ms: row.announced_ms,
                excused_slots: excused.len() as u64,
            }
        };
        let ahead = rows.iter().filter(|row| row.to_ms > now_ms);
        Ok(ahead.map(shown).collect())
    }
}
