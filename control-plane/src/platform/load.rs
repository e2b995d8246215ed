//! The market is told what replicas that follow the load have to do.

use nacre_protocol::api::market::Demand;
use nacre_protocol::ids::FunctionName;
use nacre_scheduler::Event;

use super::{Changed, Platform, Served};
use crate::error::{Error, RequestError};
use crate::store::{Transaction, functions, load};

/// How long a gateway's word about who waits counts, milliseconds.
pub(super) const DEMAND_MS: u64 = 10_000;
/// Most callers that one gateway says wait.
const MAX_WAITING: u32 = 1_000_000;
/// Longest wait that is believed, milliseconds.
const MAX_WAIT_MS: u64 = 3_600_000;
/// Functions whose load is summed up in one transaction; the next one is half a second later.
const AT_ONCE: u32 = 1024;
/// Longest name of a gateway.
const MAX_SOURCE: usize = 64;

impl Platform {
    /// Takes a gateway's word about who waits there for a replica of a function.
    pub(crate) async fn demand(
        &self,
        served: &Served,
        function: &FunctionName,
        demand: Demand,
    ) -> Result<(), Error> {
        let plain = (1..=MAX_SOURCE).contains(&demand.source.len())
            && demand.source.bytes().all(|b| b.is_ascii_graphic());
        if !plain {
            let why = "source must be 1 to 64 visible ASCII characters";
            return Err(RequestError::Shape(why.to_owned()).into());
        }
        let demand = Demand {
            waiting: demand.waiting.min(MAX_WAITING),
            oldest_wait_ms: demand.oldest_wait_ms.min(MAX_WAIT_MS),
            ..demand
        };
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let owner = functions::organisation(&mut tx, function).await?;
        let own = |owner: &_| served.organisation().is_none_or(|own| own == owner);
        if !owner.as_ref().is_some_and(own) {
            return Err(Error::FunctionNotFound(function.clone()));
        }
        load::of_gateway(&mut tx, function, &demand, now).await?;
        let changed = self.tell_load(&mut tx, now).await?;
        self.commit(tx, changed).await
    }

    /// Tells the market of loads that changed since.
    pub(crate) async fn follow_load(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let any = load::any_due(&mut tx, now).await?;
        drop(tx);
        if !any {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        let changed = self.tell_load(&mut tx, now).await?;
        self.commit(tx, changed).await
    }

    async fn tell_load(&self, tx: &mut Transaction, now_ms: u64) -> Result<Changed, Error> {
        let since_ms = now_ms.saturating_sub(DEMAND_MS);
        let mut events = Vec::new();
        for load in load::due(tx, (now_ms, since_ms), AT_ONCE).await? {
            // The first moment at which that gateway's word does not count any more.
            let again_ms = load.said_ms.map(|said| said + DEMAND_MS + 1);
            load::looked(tx, &load.function, again_ms).await?;
            if load.is_news {
                events.push(Event::Load {
                    function: load.function,
                    in_flight: load.in_flight,
                    oldest_wait_ms: load.oldest_wait_ms,
                });
            }
        }
        self.market(tx, &events, now_ms).await
    }
}
