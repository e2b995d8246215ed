//! Which digests answer for a function, and with which part of its requests.

use crate::action::{Action, Share};
use crate::order::{Version, WHOLE};
use crate::reconcile::Role;
use crate::scheduler::Scheduler;
use crate::slab::OrderIx;

impl Scheduler {
    /// Says so when the shares changed.
    pub(crate) fn publish(&mut self, order: OrderIx, out: &mut Vec<Action>) {
        let shares = self.shares(order);
        let row = &mut self.orders[order];
        if row.shares != shares {
            row.shares.clone_from(&shares);
            out.push(Action::Route {
                function: row.function.clone(),
                shares,
            });
        }
    }

    /// The canary has its weight as soon as it answers; the other versions share the rest by replicas that answer.
    fn shares(&self, order: OrderIx) -> Vec<Share> {
        let row = &self.orders[order];
        let mut ready: Vec<(Version, u64)> = Vec::new();
        let mut count = |version: Version, one: u64| match ready
            .iter_mut()
            .find(|(known, _)| *known == version)
        {
            Some((_, n)) => *n += one,
            None => ready.push((version, one)),
        };
        if !row.withdrawn {
            count(row.target, 0);
            if let Some((canary, _)) = row.canary {
                count(canary, 0);
            }
        }
        for lease in row.leases.iter().map(|lease| &self.leases[*lease]) {
            let there = !matches!(self.role(row, lease), Role::Lost | Role::Dead);
            count(lease.version, u64::from(there && lease.is_ready()));
        }
        let canary = row.canary.and_then(|(version, weight)| {
            ready
                .iter()
                .position(|(v, n)| *v == version && *n > 0)
                .map(|at| (at, weight))
        });
        let rest: u64 =
            ready.iter().map(|(_, n)| n).sum::<u64>() - canary.map_or(0, |(at, _)| ready[at].1);
        let trial = canary.map_or(0, |(_, weight)| if rest == 0 { WHOLE } else { weight });
        let shared = u64::from(WHOLE - trial);
        let mut seen = 0;
        let mut given = 0;
        let mut shares: Vec<Share> = Vec::new();
        for (at, (version, n)) in ready.iter().enumerate() {
            let weight = if canary.is_some_and(|(c, _)| c == at) {
                u64::from(trial)
            } else {
                // Rounded so that the parts add up; none where nothing answers.
                seen += n;
                let upto = (shared * seen).checked_div(rest).unwrap_or_default();
                let part = upto - given;
                given = upto;
                part
            };
            let weight = u32::try_from(weight).unwrap_or(WHOLE);
            match shares.iter_mut().find(|s| s.digest == version.digest) {
                Some(share) => share.weight += weight,
                None => shares.push(Share {
                    digest: version.digest,
                    deployment: version.deployment,
                    weight,
                }),
            }
        }
        shares.sort_unstable();
        shares
    }
}
