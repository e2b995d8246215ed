//! What a deployment asks, in the market's words. Pure.

use nacre_protocol::api::CreateDeployment;
use nacre_protocol::api::market::{Placement, Scaling};
use nacre_scheduler::{Region, Rollout, Tenant, Terms, WORKER_CPU};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Most replicas of a deployment.
pub(crate) const MAX_REPLICAS: u32 = 100;
/// Longest time that scaling may wait for anything, milliseconds: 30 days.
const MAX_WAIT_MS: u64 = 30 * 24 * 3600 * 1000;

/// An update adds a replica elsewhere where it can, and takes one's place at once where it cannot.
const ROLLOUT: Rollout = Rollout {
    surge: 1,
    unavailable: 1,
};

/// What a deployment asks beside its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// How many replicas, or the fewest.
    pub replicas: u32,
    /// What a replica has of its node's processors, thousandths of one. It stays with the deployment, as its version does:
    /// one that is gone back to runs with its own.
    pub cpu_milli: u32,
    /// The most that is paid for memory.
    pub max_price: Option<u64>,
    /// The rest.
    pub more: More,
}

/// What a deployment asks beside replicas and price, as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct More {
    /// The most that is paid for processors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cpu_price: Option<u64>,
    /// When more replicas run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// Where they run.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub placement: Placement,
}

impl Asked {
    /// What a caller orders, checked.
    pub(crate) fn of(order: &CreateDeployment) -> Result<Self, Error> {
        let least = u32::from(order.scaling.is_none());
        let most = order.scaling.map_or(MAX_REPLICAS, |s| s.max_replicas);
        if !(1..=MAX_REPLICAS).contains(&most) {
            return Err(Error::MaxReplicas(most));
        }
        if !(least..=most).contains(&order.replicas) {
            return Err(Error::Replicas(order.replicas));
        }
        if !(1..=WORKER_CPU).contains(&order.cpu_milli) {
            return Err(Error::Processors(order.cpu_milli));
        }
        let ceilings = [order.max_price, order.max_cpu_price].into_iter().flatten();
        if ceilings
            .into_iter()
            .any(|price| i64::try_from(price).is_err())
        {
            return Err(Error::MaxPrice);
        }
        let waits = order
            .scaling
            .map(|s| [s.max_queue_ms, s.stable_ms, s.idle_ms]);
        if waits.into_iter().flatten().any(|ms| ms > MAX_WAIT_MS) {
            return Err(Error::ScalingTimes(MAX_WAIT_MS));
        }
        Ok(Self {
            replicas: order.replicas,
            cpu_milli: order.cpu_milli,
            max_price: order.max_price,
            more: More {
                max_cpu_price: order.max_cpu_price,
                scaling: order.scaling,
                placement: order.placement.clone(),
            },
        })
    }

    /// As the market reads it. Fixed replicas do not follow the load, whatever it is. Capacity that is short is shared
    /// between tenants.
    pub(crate) fn terms(&self, tenant: String) -> Terms {
        let Placement {
            regions,
            max_per_operator,
            min_score,
            priority,
        } = self.more.placement.clone();
        let scaling = self.more.scaling.unwrap_or(Scaling::up_to(self.replicas));
        Terms {
            tenant: Tenant(tenant),
            priority,
            min_replicas: self.replicas,
            max_replicas: scaling.max_replicas,
            max_memory_price: self.max_price,
            max_cpu_price: self.more.max_cpu_price,
            regions: regions.into_iter().map(Region).collect(),
            max_per_operator,
            min_score,
            scaling: nacre_scheduler::Scaling {
                target_in_flight: scaling.target_in_flight,
                max_queue_ms: scaling.max_queue_ms,
                stable_ms: scaling.stable_ms,
                idle_ms: scaling.idle_ms,
            },
            rollout: ROLLOUT,
        }
    }
}
