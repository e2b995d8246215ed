//! What follows from uptime, as the API shows it: scores, slashes, drains, and who watches.

use serde::{Deserialize, Serialize};

use super::{Standing, WatcherId, Window};
use crate::ids::{NodeId, OperatorId};

/// Where a node stands with its watchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeUptime {
    /// Slots up of the slots up or missing, over the last window, hundredths of a percent. Absent until watchers said something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u32>,
    /// Since when watchers agree that nobody reaches it, Unix milliseconds. It is offline until they see it up again, or
    /// it registers a new run of its enclave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unreachable_ms: Option<u64>,
    /// What stands behind it, micro-units.
    pub stake: u64,
}

/// What one window cost a node: amount = stake × min(5 %, 10 × missing ÷ slots of the window), rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SlashRecord {
    /// Which node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// Whose it is.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: OperatorId,
    /// Which window; a node is slashed once for it at most.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub window: Window,
    /// The most that stood behind the node in the window, micro-units.
    pub stake: u64,
    /// Slots of the window.
    pub window_slots: u32,
    /// Slots that watchers saw up.
    pub up: u32,
    /// Slots that they saw down and that nothing excuses.
    pub missing: u32,
    /// Slots that they saw down, excused.
    pub excused: u32,
    /// Slots without a verdict.
    pub unjudged: u32,
    /// Micro-units.
    pub amount: u64,
    /// When it was settled, Unix milliseconds.
    pub settled_ms: u64,
}

/// A watcher that may report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WatcherRecord {
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub watcher: WatcherId,
    /// What whoever added it calls it.
    pub name: String,
    /// Its stake from now on, micro-units; 0: its word counts no more.
    pub stake: u64,
    /// When it was added, Unix milliseconds.
    pub added_ms: u64,
    /// Whether its scores counted in the epoch that was judged last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// Epochs, of those still kept, to which it signed two commitments.
    pub said_twice: u32,
}

/// Body of `POST /v1/nodes/{id}/drains`: the node will be gone. Slots within are excused where it was announced in time, as far
/// as the month's budget goes. Ten minutes before, its replicas begin to move elsewhere and no new ones come until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnnounceDrain {
    /// From when, Unix milliseconds.
    pub from_ms: u64,
    /// Until when; at most 7 days later.
    pub to_ms: u64,
}

/// An announced drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnnouncedDrain {
    /// From when, Unix milliseconds.
    pub from_ms: u64,
    /// Until when.
    pub to_ms: u64,
    /// When it was announced.
    pub announced_ms: u64,
    /// It ends when the node is back, if that is earlier.
    #[serde(default)]
    pub until_back: bool,
    /// Slots that it excuses, as things stand.
    pub excused_slots: u64,
}
