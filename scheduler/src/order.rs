//! What a deployment asks of the market.

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{DeploymentId, FunctionName};
use serde::{Deserialize, Serialize};

use crate::error::Refusal;

/// Most replicas of one order.
pub const MAX_REPLICAS: u32 = 1000;
/// Most regions that one order names.
pub const MAX_REGIONS: usize = 16;
/// Largest memory of a node or a replica, bytes: 1 PiB.
pub const MAX_MEMORY: u64 = 1 << 50;
/// Largest processor share of a node or a replica, thousandths of a processor.
pub const MAX_CPU: u32 = 100_000_000;
/// What a replica's worker keeps busy while it computes, thousandths of a processor: it has one thread.
pub const WORKER_CPU: u32 = 1000;
/// Dearest ask, micro-units. With [`MAX_MEMORY`] it keeps every cost within 128 bits.
pub const MAX_PRICE: u64 = 1_000_000_000_000;
/// A weight or score of one whole, in hundredths of a percent.
pub const WHOLE: u32 = 10_000;
/// Longest name of a region or tenant, bytes.
pub const MAX_NAME: usize = 64;

/// Unix milliseconds. The scheduler reads no clock: each event comes with its time.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This many milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// Where a node stands, in its operator's words: `eu-central-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Region(pub String);

/// Who pays; capacity that is short is shared between tenants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(pub String);

/// A function's standing wish. A function has one order; a new one for the same function replaces its terms and, if the
/// version differs, starts a rolling update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Which function.
    pub function: FunctionName,
    /// What its replicas run once the update is through.
    pub version: Version,
    /// How many, where, and at what price.
    pub terms: Terms,
}

/// One digest of a function, and what a replica of it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// The deployment that asked for it; two deployments of one digest are two versions.
    pub deployment: DeploymentId,
    /// The function digest.
    pub digest: Digest,
    /// Memory of one replica.
    pub memory_bytes: u64,
    /// Processor share of one replica, thousandths of a processor; 0 where none is reserved.
    pub cpu_milli: u32,
}

/// How many replicas, where, and at what price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Who pays.
    pub tenant: Tenant,
    /// Higher goes first when capacity is short.
    pub priority: u8,
    /// Fewest replicas; 0 lets the function sleep.
    pub min_replicas: u32,
    /// Most replicas, 1 to [`MAX_REPLICAS`].
    pub max_replicas: u32,
    /// Highest ask taken for memory, micro-units per GiB-second.
    pub max_memory_price: Option<u64>,
    /// Highest ask taken for processors, micro-units per CPU-second.
    pub max_cpu_price: Option<u64>,
    /// Where replicas may run; empty: anywhere.
    pub regions: Vec<Region>,
    /// Most replicas with one operator.
    pub max_per_operator: Option<u32>,
    /// Lowest score taken, hundredths of a percent.
    pub min_score: u32,
    /// When replicas come and go.
    pub scaling: Scaling,
    /// How an update proceeds.
    pub rollout: Rollout,
}

/// When replicas come and go. Up at once; down after a while of less load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scaling {
    /// Requests in flight that one replica should carry.
    pub target_in_flight: u32,
    /// A request that waits longer asks for one more replica than answer, milliseconds.
    pub max_queue_ms: u64,
    /// How long the load must stay below before replicas go, milliseconds.
    pub stable_ms: u64,
    /// How long there must be no request before the last replica goes (only with `min_replicas` 0), milliseconds.
    pub idle_ms: u64,
}

/// How an update proceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Replicas above the wanted number while versions change, on nodes without the function.
    pub surge: u32,
    /// Replicas that answered and may be ended before their successor answers. 0 keeps every update on other nodes, and
    /// so stuck where there are none. Not both bounds are 0.
    pub unavailable: u32,
}

/// A node's standing ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ask {
    /// Micro-units per GiB-second.
    pub memory: u64,
    /// Micro-units per CPU-second.
    pub cpu: u64,
}

/// What a replica costs each second that it computes, in micro-units × 1000 × 2³⁰, so that nothing is rounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost(pub u128);

impl Ask {
    /// What a replica of this version costs at this ask.
    pub fn cost(self, version: &Version) -> Cost {
        let memory = u128::from(self.memory) * u128::from(version.memory_bytes) * 1000;
        let cpu = (u128::from(self.cpu) * u128::from(version.busy_cpu_milli())) << 30;
        Cost(memory + cpu)
    }

    pub(crate) fn check(self) -> Result<(), Refusal> {
        let fine = self.memory <= MAX_PRICE && self.cpu <= MAX_PRICE;
        fine.then_some(()).ok_or(Refusal::Price)
    }
}

impl Version {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let memory = 1..=MAX_MEMORY;
        if !memory.contains(&self.memory_bytes) || self.cpu_milli > MAX_CPU {
            return Err(Refusal::Size);
        }
        Ok(())
    }

    /// Processors that a replica keeps busy while it computes, thousandths: at least its worker's one, reserved or not. This
    /// is what it costs; what is reserved only says where it fits.
    pub fn busy_cpu_milli(&self) -> u32 {
        self.cpu_milli.max(WORKER_CPU)
    }

    /// What counts against a tenant's share, KiB; a processor weighs as much as 4 GiB.
    pub(crate) fn size(&self) -> u64 {
        self.memory_bytes.div_ceil(1024) + u64::from(self.cpu_milli) * 4096
    }
}

impl Terms {
    /// Whether the order takes this ask.
    pub fn affords(&self, ask: Ask) -> bool {
        self.max_memory_price.is_none_or(|max| ask.memory <= max)
            && self.max_cpu_price.is_none_or(|max| ask.cpu <= max)
    }

    /// Whether replicas may run there.
    pub fn allows(&self, region: &Region) -> bool {
        self.regions.is_empty() || self.regions.contains(region)
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let max = 1..=MAX_REPLICAS;
        if !max.contains(&self.max_replicas) || self.min_replicas > self.max_replicas {
            return Err(Refusal::Replicas);
        }
        if self.regions.len() > MAX_REGIONS {
            return Err(Refusal::Regions);
        }
        for name in self.regions.iter().map(|r| &r.0).chain([&self.tenant.0]) {
            check_name(name)?;
        }
        if self.max_per_operator == Some(0) {
            return Err(Refusal::Spread);
        }
        if self.min_score > WHOLE {
            return Err(Refusal::Score);
        }
        if self.scaling.target_in_flight == 0 {
            return Err(Refusal::Scaling);
        }
        if self.rollout.surge == 0 && self.rollout.unavailable == 0 {
            return Err(Refusal::Rollout);
        }
        Ok(())
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let fine = !name.is_empty() && name.len() <= MAX_NAME;
    fine.then_some(()).ok_or(Refusal::Name)
}
