//! Drains: a node says beforehand that it will be gone. One thing for both sides: the market lets it leave, and what watchers
//! miss of it is excused, as far as it was announced in time and the month's budget goes.
//!
//! A drain begins when the node is to be empty. The market is told at once where the operator commands it, and
//! [`LEAD_MS`] ahead where it was announced for later; row and event are written in one transaction. A drain
//! without an end ends when the node is back, or is told to stay.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{AnnounceDrain, AnnouncedDrain, Slot};
use nacre_scheduler::{Event, Timestamp};
use nacre_uptime::excused_slots;

use super::judge::in_slots;
use crate::error::{Error, UptimeError};
use crate::platform::Platform;
use crate::store::uptime::drains::{self, DrainRow, Market};
use crate::store::{Connection, Transaction, nodes};

/// Longest drain, milliseconds.
const MAX_DRAIN_MS: u64 = 7 * 24 * 3600 * 1000;
/// Drains of a node that have not ended.
const MAX_AHEAD: usize = 32;
/// How long before its begin the market hears of a drain, milliseconds: as long as replicas are given to move.
const LEAD_MS: u64 = 600_000;

impl Platform {
    /// Announces a drain. The same one again is the same one.
    pub(crate) async fn announce_drain(
        &self,
        node: NodeId,
        drain: AnnounceDrain,
    ) -> Result<AnnouncedDrain, Error> {
        let now = self.clock.now_ms();
        if drain.from_ms <= now || i64::try_from(drain.to_ms).is_err() {
            return Err(UptimeError::DrainTimes { now_ms: now }.into());
        }
        check_length(drain.from_ms, drain.to_ms, now)?;
        let mut tx = self.store.write().await?;
        if nodes::known(&mut tx, &node).await?.is_none() {
            return Err(UptimeError::NodeNotFound(node).into());
        }
        let ahead = drains::of(&mut tx, &node, now).await?;
        let mut events = Vec::new();
        match ahead.iter().find(|other| other.from_ms == drain.from_ms) {
            Some(other) if other.to_ms != drain.to_ms => {
                return Err(UptimeError::DrainDiffers.into());
            }
            Some(_) => {}
            None => {
                check_room(&ahead)?;
                let mut row = DrainRow {
                    node,
                    from_ms: drain.from_ms,
                    to_ms: drain.to_ms,
                    announced_ms: now,
                    open_end: false,
                    market: Market::NotTold,
                };
                if row.is_due(now) {
                    events.push(leaves(&row));
                    row.market = Market::Told;
                }
                drains::put(&mut tx, &row).await?;
            }
        }
        let all = self.drains_in(&mut tx, &node, now).await?;
        let kept = all.into_iter().find(|kept| kept.from_ms == drain.from_ms);
        let changed = self.market(&mut tx, &events, now).await?;
        self.commit(tx, changed).await?;
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

    /// Tells the market of drains that are about to begin, and of nodes whose drains are over. Any control plane may, and
    /// only one does.
    pub(crate) async fn follow_drains(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let any = !drains::due(&mut tx, now, LEAD_MS).await?.is_empty();
        drop(tx);
        if !any {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        let mut events = Vec::new();
        for row in drains::due(&mut tx, now, LEAD_MS).await? {
            match row.market {
                Market::NotTold => {
                    events.push(leaves(&row));
                    drains::set_market(&mut tx, &row, Market::Told).await?;
                }
                Market::Told | Market::Over => {
                    // Where the market was told otherwise meanwhile, that stands.
                    if drains::leaves_by(&mut tx, &row).await? {
                        events.push(Event::NodeKept { node: row.node });
                    }
                    drains::set_market(&mut tx, &row, Market::Over).await?;
                }
            }
        }
        let changed = self.market(&mut tx, &events, now).await?;
        self.commit(tx, changed).await
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
        let rows = drains::of(on, node, now_ms.saturating_sub(month)).await?;
        let all: Vec<_> = rows.iter().map(|row| in_slots(&schedule, row)).collect();
        let shown = |row: &DrainRow| {
            let span = in_slots(&schedule, row);
            let excused = excused_slots(&all, &terms, Slot(span.from.0)..span.to);
            AnnouncedDrain {
                from_ms: row.from_ms,
                to_ms: row.to_ms,
                announced_ms: row.announced_ms,
                until_back: row.open_end,
                excused_slots: excused.len() as u64,
            }
        };
        let ahead = rows.iter().filter(|row| row.to_ms > now_ms);
        Ok(ahead.map(shown).collect())
    }
}

/// The operator lets a node leave: it is to be empty at `empty_ms`, and back at `back_ms` if that is known. Gives what the market
/// hears. What was announced before stands beside it: a node that stops in the middle of a drain says so too.
pub(in crate::platform) async fn commanded(
    tx: &mut Transaction,
    node: NodeId,
    empty_ms: u64,
    back_ms: Option<u64>,
    now_ms: u64,
) -> Result<Event, Error> {
    let from_ms = empty_ms.max(now_ms);
    let to_ms = back_ms.unwrap_or(from_ms.saturating_add(MAX_DRAIN_MS));
    check_length(from_ms, to_ms, now_ms)?;
    let ahead = drains::of(tx, &node, now_ms).await?;
    let same = ahead.iter().find(|row| row.from_ms == from_ms);
    if same.is_none() {
        check_room(&ahead)?;
    }
    // What is made shorter was announced when it was longer.
    let announced_ms = match same {
        Some(row) if to_ms <= row.to_ms => row.announced_ms,
        _ => now_ms,
    };
    let row = DrainRow {
        node,
        from_ms,
        to_ms,
        announced_ms,
        open_end: back_ms.is_none(),
        market: Market::Told,
    };
    drains::put(tx, &row).await?;
    Ok(leaves(&row))
}

/// The operator says that a node stays after all: what the market was told of ends now, or does not begin.
pub(in crate::platform) async fn end_told(
    tx: &mut Transaction,
    node: &NodeId,
    now_ms: u64,
) -> Result<(), Error> {
    for row in drains::of(tx, node, now_ms).await? {
        if row.market == Market::Told {
            drains::end(tx, &row, now_ms).await?;
        }
    }
    Ok(())
}

/// A node has registered: it is back, where that was to end its drain.
pub(in crate::platform) async fn back(
    tx: &mut Transaction,
    node: &NodeId,
    now_ms: u64,
) -> Result<(), Error> {
    for row in drains::of(tx, node, now_ms).await? {
        if row.open_end {
            drains::end(tx, &row, now_ms).await?;
        }
    }
    Ok(())
}

impl DrainRow {
    /// Whether the market is to hear of it.
    fn is_due(&self, now_ms: u64) -> bool {
        self.from_ms <= now_ms.saturating_add(LEAD_MS)
    }
}

fn leaves(row: &DrainRow) -> Event {
    Event::NodeDrained {
        node: row.node,
        until: Timestamp(row.from_ms),
    }
}

fn check_length(from_ms: u64, to_ms: u64, now_ms: u64) -> Result<(), UptimeError> {
    let length = to_ms.checked_sub(from_ms);
    match length {
        Some(1..=MAX_DRAIN_MS) => Ok(()),
        _ => Err(UptimeError::DrainTimes { now_ms }),
    }
}

fn check_room(ahead: &[DrainRow]) -> Result<(), UptimeError> {
    match ahead.len() < MAX_AHEAD {
        true => Ok(()),
        false => Err(UptimeError::ManyDrains(MAX_AHEAD)),
    }
}
