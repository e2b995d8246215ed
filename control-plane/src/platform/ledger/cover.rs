//! Setting aside what leases can cost before it is spent.

use std::collections::BTreeSet;

use nacre_ledger::{Amount, Budget, Rate};

use super::Platform;
use crate::error::Error;
use crate::platform::Changed;
use crate::store::Transaction;
use crate::store::ledger::spending::{self, Stop};
use crate::store::ledger::terms::{self, Granted, Terms};
use crate::wakers::Topic;

/// Workers that an enclave runs for one function.
const WORKERS: u32 = 1;
/// Bytes a second that are set aside where bytes cost something. A lease that carries more is charged all the same as far as
/// its caps allow.
const CARRIED_A_SECOND: u64 = 16 << 20;

impl Platform {
    /// Belongs to every transaction that may have changed leases: new ones get their terms, and what they can cost is set
    /// aside. A function for which that cannot be done loses its leases before any node has heard of them.
    pub(in crate::platform) async fn cover_leases(
        &self,
        tx: &mut Transaction,
        mut changed: Changed,
    ) -> Result<Changed, Error> {
        let now = self.clock.now_ms();
        loop {
            let of_leases = |topic: &Topic| matches!(topic, Topic::Desired(_));
            if !changed.0.iter().any(of_leases) {
                return Ok(changed);
            }
            terms::note_ended(tx, now).await?;
            let mut stops = Vec::new();
            for granted in terms::missing(tx).await? {
                // It was ordered anew.
                stops.extend(spending::stopped(tx, &granted.function).await?);
                terms::insert(tx, &self.agree(granted)).await?;
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

    fn agree(&self, granted: Granted) -> Terms {
        let rules = &self.ledger_rules;
        let (gib_second, cpu_second) = granted.price;
        let rate = Rate {
            gib_second,
            cpu_second,
            gib_carried: rules.gib_carried,
        };
        let bytes = CARRIED_A_SECOND.saturating_mul(rules.hold.as_secs());
        let hold = Budget::exposure(rate, granted.reserved, WORKERS, rules.hold, bytes);
        Terms {
            lease: granted.lease,
            function: granted.function,
            customer: granted.customer,
            node: granted.node,
            operator: granted.operator,
            reserved: granted.reserved,
            rate,
            fee: rules.fee,
            // A price beyond counting is covered by nothing.
            hold: hold.unwrap_or(Amount::from_micros(i64::MAX)),
            held: Amount::ZERO,
            granted_ms: granted.granted_ms,
            ended_ms: None,
            settled_ms: None,
        }
    }
}
