//! What is shown: reports, slashes, watchers.

use std::collections::BTreeSet;

use nacre_protocol::api::Page;
use nacre_protocol::ids::{NodeId, OrganisationName};
use nacre_protocol::uptime::{
    Epoch, MAX_REPORT_SLOTS, PostReveal, Row, SlashRecord, Slot, SlotReport, UptimeReport, Verdict,
    WatcherRecord, WatcherStanding, Window,
};
use nacre_uptime::{EpochInput, EpochVerdict, WatcherInput, WindowTally, report_slots};

use crate::error::{Error, RequestError, UptimeError};
use crate::platform::Platform;
use crate::store::nodes;
use crate::store::uptime::epochs::NodeEpoch;
use crate::store::uptime::words::Overturned;
use crate::store::uptime::{epochs, stakes, windows, words};

/// What cursors of the list of slashes are sealed for.
const SLASHES: &str = "slashes";

impl Platform {
    /// What each watcher saw of a node in the slots `from..to`, as far as they were judged, at most `limit` of them. Without
    /// bounds: the last window.
    pub(crate) async fn uptime_report(
        &self,
        node: NodeId,
        bounds: (Option<u64>, Option<u64>),
        limit: u64,
    ) -> Result<UptimeReport, Error> {
        if !(1..=MAX_REPORT_SLOTS).contains(&limit) {
            let words = format!("limit must be between 1 and {MAX_REPORT_SLOTS}");
            return Err(RequestError::Query(words).into());
        }
        let schedule = self.schedule();
        let mut report = UptimeReport {
            node,
            schedule,
            slots: Vec::new(),
            next: None,
        };
        let mut tx = self.store.read().await?;
        if nodes::known(&mut tx, &node).await?.is_none() {
            return Err(UptimeError::NodeNotFound(node).into());
        }
        let Some((first, last)) = epochs::judged(&mut tx).await? else {
            return Ok(report);
        };
        let begin = schedule.first_slot(first).0;
        let end = schedule.first_slot(Epoch(last.0 + 1)).0;
        let to = bounds.1.unwrap_or(end).min(end);
        let whole = to.saturating_sub(schedule.window_slots().into());
        let from = bounds.0.unwrap_or(whole).max(begin);
        let page = to.min(from.saturating_add(limit));
        if from >= page {
            return Ok(report);
        }
        report.next = (page < to).then_some(Slot(page));

        let epoch_of = |slot| schedule.epoch_of(Slot(slot)).0;
        let asked = epoch_of(from)..=epoch_of(page - 1);
        let slots = usize::from(schedule.epoch_slots());
        let mut rows = epochs::of_node(&mut tx, &node, asked.clone(), slots)
            .await?
            .into_iter()
            .peekable();
        for epoch in asked.map(Epoch) {
            let Some(watchers) = epochs::standings(&mut tx, epoch).await? else {
                continue;
            };
            let row = rows.next_if(|row| row.epoch == epoch);
            let row = row.unwrap_or_else(|| unseen(epoch, node, watchers.len(), slots));
            let overturned = words::overturned(&mut tx, epoch).await?;
            let all = self.epoch_report(&row, watchers, &overturned);
            let within = all
                .into_iter()
                .filter(|slot| (from..page).contains(&slot.slot.0));
            report.slots.extend(within);
        }
        Ok(report)
    }

    /// A kept row, put together as it was judged.
    fn epoch_report(
        &self,
        row: &NodeEpoch,
        watchers: Vec<WatcherStanding>,
        overturned: &Overturned,
    ) -> Vec<SlotReport> {
        let schedule = self.schedule();
        let reveals: Vec<_> = watchers
            .iter()
            .zip(&row.saw)
            .map(|(watcher, saw)| PostReveal {
                watcher: watcher.watcher,
                epoch: row.epoch,
                salt: [0; 32],
                rows: vec![Row {
                    node: row.node,
                    outcomes: saw.iter().map(|outcome| outcome.to_byte()).collect(),
                    evidence_root: [0; 32],
                }],
                signature: [0; 64],
            })
            .collect();
        let inputs = watchers.iter().zip(&reveals);
        let input = EpochInput {
            schedule,
            epoch: row.epoch,
            watchers: inputs
                .map(|(watcher, reveal)| WatcherInput {
                    watcher: watcher.watcher,
                    stake: watcher.stake,
                    commitment: None,
                    reveal: Some(reveal),
                })
                .collect(),
            overturned,
        };
        let first = schedule.first_slot(row.epoch).0;
        let excused = (first..).zip(&row.excused);
        let excused: BTreeSet<_> = excused
            .filter_map(|(slot, excused)| excused.then_some(Slot(slot)))
            .collect();
        let verdict = EpochVerdict {
            epoch: row.epoch,
            watchers,
            nodes: [(row.node, row.verdicts.clone())].into(),
        };
        report_slots(&input, &verdict, &row.node, &excused)
    }

    /// A page of slashes, the newest window first.
    pub(crate) async fn slashes(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<SlashRecord>, Error> {
        let after = self
            .cursors
            .open(SLASHES, organisation, after, slash_position)?;
        let mut tx = self.store.read().await?;
        let items = windows::slashes(&mut tx, after, limit + 1).await?;
        Ok(self
            .cursors
            .page(SLASHES, organisation, items, limit, |slash| {
                format!("{}.{}", slash.window.0, slash.node)
            }))
    }

    /// Everybody who may report or might.
    pub(crate) async fn watchers(&self) -> Result<Vec<WatcherRecord>, Error> {
        let mut tx = self.store.read().await?;
        let standings = match epochs::judged(&mut tx).await? {
            Some((_, last)) => epochs::standings(&mut tx, last).await?,
            None => None,
        };
        let standings = standings.unwrap_or_default();
        let rows = stakes::watchers(&mut tx).await?;
        let record = |row: stakes::WatcherRow| {
            let mut stood = standings.iter();
            let stood = stood.find(|standing| standing.watcher == row.watcher);
            WatcherRecord {
                watcher: row.watcher,
                name: row.name,
                stake: row.stake,
                added_ms: row.added_ms,
                standing: stood.map(|standing| standing.standing),
                said_twice: row.said_twice,
            }
        };
        Ok(rows.into_iter().map(record).collect())
    }
}

fn slash_position(text: &str) -> Option<(Window, NodeId)> {
    let (window, node) = text.split_once('.')?;
    Some((Window(window.parse().ok()?), node.parse().ok()?))
}

/// Of a node that no watcher named.
fn unseen(epoch: Epoch, node: NodeId, watchers: usize, slots: usize) -> NodeEpoch {
    use nacre_protocol::uptime::Outcome;
    NodeEpoch {
        epoch,
        node,
        verdicts: vec![Verdict::Unseen; slots],
        excused: vec![false; slots],
        saw: vec![vec![Outcome::Unseen; slots]; watchers],
        tally: WindowTally::default(),
    }
}
