//! Counts what was used, and signs it for whoever bills (DESIGN §3.3, [`nacre_protocol::usage`]).
//!
//! What is used is added up for each lease and caller. Sums are signed when the host asks for them, at most once in
//! [`INTERVAL`], and numbered in that moment, so that numbers have no gap and a host that does not ask costs nothing. What is
//! signed stays until the host has acknowledged it, [`MAX_ISSUED`] at most; while there is no room for more, sums go on
//! growing, and nothing is lost. With the enclave ends what the host has not fetched: it is the host who is paid by it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacre_protocol::ids::{BootId, LeaseId};
use nacre_protocol::usage::{ANONYMOUS, SignedUsage, UsageReceipt};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::clock::AttestedClock;
use crate::receipts::Receipts;

/// Shortest time between two rounds of signing.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// Most signed receipts that wait for their acknowledgement, and most of one page.
pub const MAX_ISSUED: usize = 256;
/// Most leases and callers that are told apart between two rounds. What comes beyond is added up as nobody's.
const MAX_OPEN: usize = 4096;

/// Whose it is.
type Account = (Option<LeaseId>, [u8; 32]);

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Time in the model, microseconds.
    pub compute_micros: u64,
    /// Bytes that came.
    pub bytes_in: u64,
    /// Bytes that went.
    pub bytes_out: u64,
}

/// The meter of one boot.
#[derive(Debug)]
pub struct UsageMeter {
    boot_id: BootId,
    receipts: Receipts,
    ledger: Mutex<Ledger>,
    /// Held by who signs, so that receipts are filed in the order of their numbers.
    signing: tokio::sync::Mutex<()>,
    recorded: Notify,
}

/// More was acknowledged than has been issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("usage is issued up to number {issued}, and {through} was acknowledged")]
pub struct NotIssued {
    /// The number acknowledged.
    pub through: u64,
    /// The last that was issued.
    pub issued: u64,
}

impl UsageMeter {
    /// Counts from nothing.
    pub fn new(boot_id: BootId, receipts: Receipts) -> Self {
        Self {
            boot_id,
            receipts,
            ledger: Mutex::default(),
            signing: tokio::sync::Mutex::default(),
            recorded: Notify::new(),
        }
    }

    /// Adds to what a caller has used under a lease.
    pub fn record(&self, lease: Option<LeaseId>, caller: [u8; 32], used: Used) {
        if used != Used::default() {
            self.ledger().add((lease, caller), used);
            self.recorded.notify_waiters();
        }
    }

    /// Receipts after number `after`, of those that are not acknowledged; waits up to `wait` for the first. While there is no
    /// attested time, nothing new is signed.
    pub async fn page(
        &self,
        after: u64,
        wait: Duration,
        clock: &AttestedClock,
    ) -> Vec<SignedUsage> {
        let deadline = Instant::now() + wait;
        loop {
            let mut recorded = std::pin::pin!(self.recorded.notified());
            // From here on no record goes unnoticed.
            recorded.as_mut().enable();
            let now = Instant::now();
            let may_sign = clock.now().is_ok();
            if may_sign {
                self.issue(now).await;
            }
            let page = self.ledger().after(after);
            if !page.is_empty() || now >= deadline {
                return page;
            }
            let next_round = match may_sign {
                true => self.ledger().next_round(),
                false => Some(now + INTERVAL),
            };
            match next_round {
                Some(at) => sleep_until(at.min(deadline)).await,
                // Until the deadline or the next record, whichever is first; either way the loop looks again.
                None => drop(timeout_at(deadline, recorded).await),
            }
        }
    }

    /// Forgets all receipts up to number `through`.
    ///
    /// # Errors
    ///
    /// [`NotIssued`].
    pub fn acknowledge(&self, through: u64) -> Result<(), NotIssued> {
        self.ledger().acknowledge(through)
    }

    /// Signs what is due.
    async fn issue(&self, now: Instant) {
        let _turn = self.signing.lock().await;
        let due = self.ledger().take_due(now, self.boot_id);
        if due.is_empty() {
            return;
        }
        // Signing takes its time, and whoever records must not wait for it.
        let signed: Vec<_> = due
            .into_iter()
            .map(|receipt| self.receipts.with_key(|key| receipt.sign(key)))
            .collect();
        self.ledger().issued.extend(signed);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sums, and what is signed. Pure: the time is given.
#[derive(Debug, Default)]
struct Ledger {
    open: BTreeMap<Account, Used>,
    issued: VecDeque<SignedUsage>,
    /// The last number given out, and the last acknowledged.
    last: u64,
    acknowledged: u64,
    last_round: Option<Instant>,
}

impl Ledger {
    fn add(&mut self, account: Account, used: Used) {
        let full = self.open.len() >= MAX_OPEN && !self.open.contains_key(&account);
        let account = if full { (None, ANONYMOUS) } else { account };
        let sum = self.open.entry(account).or_default();
        sum.compute_micros = sum.compute_micros.saturating_add(used.compute_micros);
        sum.bytes_in = sum.bytes_in.saturating_add(used.bytes_in);
        sum.bytes_out = sum.bytes_out.saturating_add(used.bytes_out);
    }

    /// When there will be something to sign; `None` while there is nothing, or no room for it.
    fn next_round(&self) -> Option<Instant> {
        let due = !self.open.is_empty() && self.room() > 0;
        let last = self.last_round?;
        due.then_some(last + INTERVAL)
    }

    /// Numbers what is to be signed now, as much as there is room for.
    fn take_due(&mut self, now: Instant, boot_id: BootId) -> Vec<UsageReceipt> {
        if self.last_round.is_some_and(|last| now < last + INTERVAL) || self.open.is_empty() {
            return Vec::new();
        }
        self.last_round = Some(now);
        let (room, mut due) = (self.room(), Vec::new());
        while due.len() < room
            && let Some(((lease, caller), used)) = self.open.pop_first()
        {
            // The receipt's field is narrower than the sum; the rest goes into the next one.
            let compute_micros = u32::try_from(used.compute_micros).unwrap_or(u32::MAX);
            let rest = used.compute_micros - u64::from(compute_micros);
            self.last += 1;
            due.push(UsageReceipt {
                lease,
                boot_id,
                seq: self.last,
                caller,
                compute_micros,
                bytes_in: used.bytes_in,
                bytes_out: used.bytes_out,
            });
            if rest > 0 {
                let used = Used {
                    compute_micros: rest,
                    ..Used::default()
                };
                self.open.insert((lease, caller), used);
            }
        }
        due
    }

    fn after(&self, after: u64) -> Vec<SignedUsage> {
        let wanted = self
            .issued
            .iter()
            .filter(|signed| signed.receipt.seq > after);
        wanted.copied().collect()
    }

    fn acknowledge(&mut self, through: u64) -> Result<(), NotIssued> {
        // What is numbered and not yet filed has not been given out.
        let issued = self
            .issued
            .back()
            .map_or(self.acknowledged, |signed| signed.receipt.seq);
        if through > issued {
            return Err(NotIssued { through, issued });
        }
        while self
            .issued
            .front()
            .is_some_and(|signed| signed.receipt.seq <= through)
        {
            self.issued.pop_front();
        }
        self.acknowledged = self.acknowledged.max(through);
        Ok(())
    }

    fn room(&self) -> usize {
        MAX_ISSUED.saturating_sub(self.issued.len())
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;
