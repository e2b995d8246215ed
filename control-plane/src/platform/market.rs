//! What happened, told to the market; what it decides, written down, in the same transaction.

use std::time::Instant;

use nacre_protocol::ids::FunctionName;
use nacre_scheduler::{Action, Event, Report};
use tokio::sync::Mutex;

use super::{Changed, Platform, random_id};
use crate::error::Error;
use crate::market::Market;
use crate::meters::Meters;
use crate::store::market::{self, decisions, seed};
use crate::store::{Transaction, deployments};

/// Rounds in which a function's leases end; an order with the most leases that it may have takes two.
const MAX_ENDINGS: usize = 16;

/// The market as this control plane last saw it.
pub(super) type Held = Mutex<Option<Market>>;

impl Platform {
    /// Tells the market what happened, and writes what it decides, all within the transaction, which must be one that
    /// has its turn to write ([`crate::store::Store::write`]). What it changed belongs to the transaction's [`Changed`].
    ///
    /// Events are taken in at `now_ms`, or at the time of the last one if that is later. One about a node, function or
    /// lease that the market no longer knows changes nothing; one that it refuses otherwise is an error, and the
    /// transaction is to be dropped. What the events themselves say of nodes (ask, leaving) is written
    /// into their rows. No events: whatever time has done is done.
    pub(super) async fn market(
        &self,
        tx: &mut Transaction,
        events: &[Event],
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let mut held = self.market.lock().await;
        // Until the end nobody holds it: if this breaks off, it is made anew from the log.
        let mut market = match held.take() {
            Some(known) => match market::catch_up(tx, known).await? {
                Some(market) => market,
                None => from_log(tx, now_ms, &self.meters).await?,
            },
            None => from_log(tx, now_ms, &self.meters).await?,
        };
        let before = market.place().seq;
        let changed = tell(tx, &mut market, events, now_ms, &self.meters).await;
        // A refusal before anything was taken in leaves it as it was.
        if changed.is_ok() || market.place().seq == before {
            *held = Some(market);
        }
        changed
    }

    /// Withdraws a function's order, and ends its leases at once: what they have begun is not waited for.
    pub(super) async fn withdraw(
        &self,
        tx: &mut Transaction,
        function: &FunctionName,
        now_ms: u64,
    ) -> Result<Changed, Error> {
        let withdrawn = Event::Withdrawn {
            function: function.clone(),
        };
        let mut changed = self.market(tx, &[withdrawn], now_ms).await?;
        for _ in 0..MAX_ENDINGS {
            let leases = deployments::leases_of(tx, function).await?;
            if leases.is_empty() {
                break;
            }
            let drained = leases
                .into_iter()
                .map(|(lease, node)| Event::LeaseReported {
                    node,
                    lease,
                    report: Report::Drained,
                });
            let drained: Vec<_> = drained.collect();
            changed = changed.and(self.market(tx, &drained, now_ms).await?);
        }
        Ok(changed)
    }

    /// Makes the log if there is none.
    pub(super) async fn open_market(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let changed = self.market(&mut tx, &[], now).await?;
        self.commit(tx, changed).await
    }

    /// Gives the market its tick if one is due. Any control plane may, and only one does.
    pub(crate) async fn tick_market(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let (_, wake) = market::head(&mut tx).await?;
        drop(tx);
        if wake.is_none_or(|wake| wake > now) {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        let changed = self.market(&mut tx, &[], now).await?;
        self.commit(tx, changed).await
    }
}

async fn from_log(tx: &mut Transaction, now_ms: u64, meters: &Meters) -> Result<Market, Error> {
    match market::load(tx).await? {
        Some(market) => Ok(market),
        None => from_tables(tx, now_ms, meters).await,
    }
}

/// There is no log, or one of earlier rules: a new one begins with what the tables say. Nodes are silent at first,
/// so that nothing is granted while leases that are there are taken over; then those that report come back, and
/// the market goes on from there. What runs keeps its lease and its node.
async fn from_tables(tx: &mut Transaction, now_ms: u64, meters: &Meters) -> Result<Market, Error> {
    let (last, _) = market::head(tx).await?;
    let mut lease_seed = [0; 32];
    getrandom::fill(&mut lease_seed)?;
    seed::wipe(tx).await?;
    let mut market = Market::empty(lease_seed, last);
    let standing = seed::standing(tx).await?;
    tell(tx, &mut market, &standing, now_ms, meters).await?;
    for (grant, report) in seed::leases(tx).await? {
        let lease = grant.lease;
        let adopted = tell(
            tx,
            &mut market,
            &[Event::LeaseAdopted(grant)],
            now_ms,
            meters,
        )
        .await;
        match adopted {
            Ok(_) if market.scheduler().lease(&lease).is_some() => {
                tell(tx, &mut market, &[report], now_ms, meters).await?;
            }
            Ok(_) | Err(Error::Market(_)) => seed::drop_lease(tx, &lease, now_ms).await?,
            Err(error) => return Err(error),
        }
    }
    let mut online = seed::online(tx).await?;
    // So that the log has an end to be known by, whatever the tables hold.
    online.push(Event::Tick);
    tell(tx, &mut market, &online, now_ms, meters).await?;
    market::keep_snapshot(tx, &market).await?;
    tracing::info!("the market begins from what the tables say");
    Ok(market)
}

/// Takes events in, and writes log, notes and decisions.
async fn tell(
    tx: &mut Transaction,
    market: &mut Market,
    events: &[Event],
    now_ms: u64,
    meters: &Meters,
) -> Result<Changed, Error> {
    let mark = hex::encode(random_id()?);
    let begun = Instant::now();
    let told = market.tell(events, now_ms, &mark)?;
    let count = |is: fn(&Action) -> bool| told.actions.iter().filter(|action| is(action)).count();
    let granted = count(|action| matches!(action, Action::Grant(_)));
    let ended = count(|action| matches!(action, Action::End { .. }));
    meters.auction(begun.elapsed(), [("granted", granted), ("ended", ended)]);
    for entry in &told.entries {
        decisions::note(tx, &entry.event, market.scheduler()).await?;
    }
    let concerned = decisions::carry_out(tx, &told.actions, now_ms).await?;
    market::append(tx, &told.entries, market).await?;
    Ok(Changed::default()
        .nodes(concerned.nodes)
        .deployments(concerned.deployments)
        .renewed(concerned.renewed))
}
