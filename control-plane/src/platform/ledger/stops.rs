//! Functions that wait for money: their leases have ended, and their orders are not served.

use nacre_ledger::Amount;
use nacre_protocol::ids::FunctionName;

use super::Platform;
use crate::error::{Error, LedgerError};
use crate::platform::Changed;
use crate::store::ledger::spending::{self, Stop};
use crate::store::ledger::terms;
use crate::store::market::seed;
use crate::store::{Transaction, commit, orders};

/// How long after a lease's end its last receipts may come.
const SETTLE_MS: u64 = 15 * 60 * 1000;

impl Platform {
    /// Ends the functions' leases, and keeps them from getting new ones.
    pub(super) async fn stop_functions(
        &self,
        tx: &mut Transaction,
        stops: &[Stop],
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let mut changed = Changed::default();
        for stop in stops {
            spending::stop(tx, stop, now_ms).await?;
            // What they had is free for others.
            changed = changed.and(self.withdraw(tx, &stop.function, now_ms).await?);
            tracing::warn!(function = %stop.function, customer = %stop.customer, "{}", stop.reason);
        }
        Ok(changed)
    }

    /// Refuses work for a function that is stopped, or about to be.
    pub(crate) async fn admit_work(
        &self,
        tx: &mut Transaction,
        function: &FunctionName,
    ) -> Result<(), Error> {
        match spending::stopped(tx, function).await? {
            Some(stop) => Err(LedgerError::Capped(stop.reason).into()),
            None => Ok(()),
        }
    }

    /// What time brings about: functions whose next use is covered again go on, leases that ended are settled, slashes
    /// are booked, and months that are over are invoiced.
    pub(crate) async fn tick_ledger(&self) -> Result<(), Error> {
        self.lift_stops().await?;
        let now = self.clock.now_ms();
        let before = now.saturating_sub(SETTLE_MS);
        let mut tx = self.store.read().await?;
        let any = terms::any_to_settle(&mut tx, before).await?;
        drop(tx);
        if any {
            let mut tx = self.store.write().await?;
            terms::settle(&mut tx, before, now).await?;
            commit(tx).await?;
        }
        self.book_slashes().await?;
        self.issue_invoices().await
    }

    async fn lift_stops(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let mut any = false;
        for stop in spending::stops(&mut tx, None).await? {
            any |= self.is_covered(&mut tx, &stop, now).await?;
        }
        drop(tx);
        if !any {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        let mut events = Vec::new();
        for stop in spending::stops(&mut tx, None).await? {
            if self.is_covered(&mut tx, &stop, now).await? {
                spending::lift(&mut tx, &stop.function).await?;
                if let Some(order) = orders::live_of(&mut tx, &stop.function).await? {
                    events.extend(seed::ordered(&mut tx, order).await?);
                }
                tracing::info!(function = %stop.function, customer = %stop.customer, "covered again");
            }
        }
        let changed = self.market(&mut tx, &events, now).await?;
        self.commit(tx, changed).await
    }

    async fn is_covered(
        &self,
        tx: &mut Transaction,
        stop: &Stop,
        now_ms: u64,
    ) -> Result<bool, Error> {
        let room = self
            .room(tx, &stop.customer, &stop.function, now_ms)
            .await?;
        Ok(room.is_none_or(|room| room.left >= stop.wanted.max(Amount::from_micros(1))))
    }
}
