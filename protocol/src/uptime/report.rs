//! `GET /v1/uptime/report`: what each watcher saw of a node, slot by slot, and what came of it.

use serde::{Deserialize, Serialize};

use super::{DownReason, Schedule, Slot, WatcherId};
use crate::ids::NodeId;

/// The most slots of one page of a report: an hour of the default ones.
pub const MAX_REPORT_SLOTS: u64 = 360;

/// What watchers together say of a node in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Verdict {
    /// More than half of the reporting stake saw it up.
    Up,
    /// More than half of the reporting stake saw it down.
    Down,
    /// Half against half: counts neither as up nor as down.
    Tied,
    /// Nobody whose scores count looked: counts neither as up nor as down.
    Unseen,
}

/// Whether a watcher's scores of an epoch count, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Standing {
    /// Committed and revealed the same: counts.
    Counted,
    /// Committed to nothing in time.
    NotCommitted,
    /// Committed, and did not reveal in time.
    NotRevealed,
    /// Revealed something else than it committed to, or what are no scores.
    RevealedOtherwise,
}

/// What is known of one node's slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UptimeReport {
    /// Which node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// How time is cut.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub schedule: Schedule,
    /// The slots asked for whose epochs were judged, rising; as many as a page has.
    pub slots: Vec<SlotReport>,
    /// `from` of the next page; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub next: Option<Slot>,
}

/// One slot of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlotReport {
    /// Which slot.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub slot: Slot,
    /// When it began, Unix milliseconds.
    pub start_ms: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// The node was drained, in time and within its budget: the slot does not count as missing whatever the verdict.
    pub excused: bool,
    /// What each watcher with stake saw.
    pub saw: Vec<Saw>,
}

/// What one watcher saw of a node in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Saw {
    /// Who, and whether its epoch counts.
    #[serde(flatten)]
    pub watcher: WatcherStanding,
    /// Absent where it did not look, or its scores do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up: Option<bool>,
    /// Why it says down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DownReason>,
    /// It said down, and a dispute showed that its own nonce was answered in this slot: counts as up.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub overturned: bool,
}

/// A watcher's part in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WatcherStanding {
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub watcher: WatcherId,
    /// Its stake in that epoch, micro-units.
    pub stake: u64,
    /// Whether its scores count.
    pub standing: Standing,
}
