//! Windows are settled: each node below the level is slashed, once.

use nacre_protocol::uptime::{Epoch, SlashRecord, Window};
use nacre_uptime::Terms;

use crate::error::Error;
use crate::platform::Platform;
use crate::store::uptime::{epochs, stakes, windows};
use crate::store::{Connection, commit};

impl Platform {
    /// Settles the windows that can no longer be disputed.
    pub(super) async fn settle_windows(&self) -> Result<(), Error> {
        loop {
            let mut tx = self.store.read().await?;
            let due = self.due_window(&mut tx).await?;
            drop(tx);
            let Some(window) = due else { return Ok(()) };
            self.settle(window).await?;
        }
    }

    async fn due_window(&self, on: &mut Connection) -> Result<Option<Window>, Error> {
        let Some((first, last)) = epochs::judged(on).await? else {
            return Ok(None);
        };
        let schedule = self.schedule();
        let window = match windows::last(on).await? {
            Some(settled) => Window(settled.0 + 1),
            None => schedule.window_of(first),
        };
        let judged = schedule.window_of(Epoch(last.0.saturating_add(1))) > window;
        let undisputed = self.clock.now_ms() >= self.uptime.settles_at(window);
        Ok((judged && undisputed).then_some(window))
    }

    async fn settle(&self, window: Window) -> Result<(), Error> {
        let schedule = self.schedule();
        let terms = Terms::new(schedule.window_slots())
            .map_err(|_| Error::Internal("a window without slots"))?;
        let (begin, end) = (
            schedule.first_epoch(window),
            schedule.first_epoch(Window(window.0 + 1)),
        );
        let within = [begin, end].map(|epoch| schedule.slot_start(schedule.first_slot(epoch)));
        let now = self.clock.now_ms();

        let mut tx = self.store.write().await?;
        if !windows::insert(&mut tx, window, now).await? {
            return Ok(());
        }
        let operators = windows::operators(&mut tx).await?;
        for (node, tally) in epochs::sums(&mut tx, begin.0..=end.0 - 1).await? {
            let Some(operator) = operators.get(&node) else {
                continue;
            };
            if !terms.is_below(tally.missing) {
                continue;
            }
            let stake = stakes::most_behind(&mut tx, &node, within[0]..within[1]).await?;
            let Some(slash) = tally.slash(node, window, stake, &terms) else {
                continue;
            };
            let record = SlashRecord {
                node,
                operator: *operator,
                window,
                stake,
                window_slots: schedule.window_slots(),
                up: tally.up,
                missing: slash.missing,
                excused: tally.excused,
                unjudged: tally.unjudged,
                amount: slash.amount,
                settled_ms: now,
            };
            windows::slash(&mut tx, &record).await?;
            tracing::warn!(%node, window = window.0, missing = slash.missing, amount = slash.amount, "slashed");
        }
        Ok(commit(tx).await?)
    }

    /// Forgets what was said of windows that are settled, when it has been kept long enough.
    pub(in crate::platform) async fn forget_old_uptime(&self) -> Result<(), Error> {
        let schedule = self.schedule();
        let mut tx = self.store.read().await?;
        let settled = windows::last(&mut tx).await?;
        drop(tx);
        let Some(settled) = settled else {
            return Ok(());
        };
        let kept = u64::try_from(self.uptime.rules.retention.as_millis()).unwrap_or(u64::MAX);
        let old = schedule.slot_at(self.clock.now_ms().saturating_sub(kept));
        // Scores look one window back.
        let old = schedule.first_epoch(settled).min(schedule.epoch_of(old));
        let next = schedule.first_epoch(Window(settled.0 + 1));
        let mut tx = self.store.write().await?;
        epochs::forget(&mut tx, old, next).await?;
        Ok(commit(tx).await?)
    }
}
