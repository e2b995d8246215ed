//! Setting aside what leases can cost before it is spent.

use std::collections::BTreeSet;

use nacre_ledger::{Agreement, Amount, Budget, Offer, Rate};
use nacre_protocol::ids::LeaseId;

use super::Platform;
use crate::error::Error;
use crate::platform::Changed;
use crate::store::Transaction;
use crate::store::ledger::spending::{self, Stop};
use crate::store::ledger::terms::{self, Asked, Granted, Terms};
use crate::store::ledger::{journal_time, rates, usage};

/// Workers that an enclave runs for one function.
const WORKERS: u32 = 1;
/// Bytes a second that are set aside where bytes cost something. A lease that carries more is charged all the same as far as
/// its caps allow.
const CARRIED_A_SECOND: u64 = 16 << 20;

impl Platform {
    /// Belongs to every transaction that may have changed leases: new ones get their terms, those whose term began anew another
    /// agreement where it differs, and what they can cost is set aside. A function for which that cannot be done loses its
    /// leases before any node has heard of them.
    pub(in crate::platform) async fn cover_leases(
        &self,
        tx: &mut Transaction,
        mut changed: Changed,
    ) -> Result<Changed, Error> {
        let now = self.clock.now_ms();
        loop {
            if !changed.may_be_of_leases() {
                return Ok(changed);
            }
            terms::note_ended(tx, now).await?;
            let mut stops = Vec::new();
            for granted in terms::missing(tx).await? {
                // It was ordered anew.
                stops.extend(spending::stopped(tx, &granted.function).await?);
                self.agree(tx, granted).await?;
            }
            for (lease, asked) in terms::renewed(tx).await? {
                self.agree_anew(tx, &lease, &asked, now).await?;
            }
            let short = terms::short(tx).await?;
            stops.extend(self.top_up(tx, short, now).await?);
            if stops.is_empty() {
                return Ok(changed);
            }
            changed = changed.and(self.stop_functions(tx, &stops, now).await?);
        }
    }

    /// Sets aside what is missing for these leases. Says which functions cannot go on.
    pub(super) async fn top_up(
        &self,
        tx: &mut Transaction,
        short: Vec<Terms>,
        now_ms: u64,
    ) -> Result<Vec<Stop>, Error> {
        let mut stopped = BTreeSet::new();
        let mut stops = Vec::new();
        for terms in short {
            let known = spending::stopped(tx, &terms.function).await?;
            if known.is_some() || stopped.contains(&terms.function) {
                continue;
            }
            let missing = terms.hold.minus(terms.held).unwrap_or(terms.hold);
            let room = self.room(tx, &terms.customer, &terms.function, now_ms);
            match room.await? {
                Some(room) if room.left < missing => {
                    stopped.insert(terms.function.clone());
                    let wanted = terms::wanted(tx, &terms.function).await?;
                    stops.push(Stop {
                        reason: format!(
                            "spending-cap: {} leaves {}, and {wanted} must be set aside before it runs",
                            room.under,
                            room.left.max(Amount::ZERO)
                        ),
                        function: terms.function,
                        customer: terms.customer,
                        wanted,
                    });
                }
                _ => terms::set_held(tx, &terms.lease, terms.hold).await?,
            }
        }
        Ok(stops)
    }

    /// The first agreement of a lease.
    async fn agree(&self, tx: &mut Transaction, granted: Granted) -> Result<(), Error> {
        let agreement = Agreement::first(self.offer(&granted.asked), granted.granted_ms);
        let terms = Terms {
            lease: granted.lease,
            function: granted.function,
            customer: granted.customer,
            node: granted.node,
            operator: granted.operator,
            hold: agreement.hold,
            held: Amount::ZERO,
            granted_ms: granted.granted_ms,
            until_ms: granted.asked.until_ms,
            ended_ms: None,
            settled_ms: None,
        };
        terms::insert(tx, &terms).await?;
        Ok(rates::insert(tx, &terms.lease, &agreement).await?)
    }

    /// Another term: another agreement, if it is at another price or under other rules of the platform.
    async fn agree_anew(
        &self,
        tx: &mut Transaction,
        lease: &LeaseId,
        asked: &Asked,
        now_ms: u64,
    ) -> Result<(), Error> {
        let last = rates::last(tx, lease).await?;
        let last = last.ok_or(Error::Internal("a lease without an agreement"))?;
        // After all that was booked under the last one, whatever the clocks say and however long this waited for its turn.
        let after = usage::latest_of(tx, lease).await?.saturating_add(1);
        let at = journal_time(tx, now_ms).await?.max(after);
        let lag = u64::try_from(self.ledger_rules.hold.as_millis()).unwrap_or(u64::MAX);
        let next = last.next(self.offer(asked), at, lag);
        if let Some(next) = &next {
            rates::insert(tx, lease, next).await?;
            let (number, from) = (next.number, next.from_ms);
            tracing::info!(%lease, number, from, "agreed anew");
        }
        let hold = next.map_or(last.hold, |next| next.hold);
        Ok(terms::renew(tx, lease, asked.until_ms, hold).await?)
    }

    /// What the market asks, under the platform's rules of today.
    fn offer(&self, asked: &Asked) -> Offer {
        let rules = &self.ledger_rules;
        let rate = Rate {
            gib_carried: rules.gib_carried,
            ..asked.rate
        };
        let bytes = CARRIED_A_SECOND.saturating_mul(rules.hold.as_secs());
        let hold = Budget::exposure(rate, asked.reserved, WORKERS, rules.hold, bytes);
        Offer {
            reserved: asked.reserved,
            rate,
            fee: rules.fee,
            // A price beyond counting is covered by nothing.
            hold: hold.unwrap_or(Amount::from_micros(i64::MAX)),
        }
    }
}
