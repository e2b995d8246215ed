//! What can go wrong with uptime.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Epoch, Schedule, TicketError};
use nacre_uptime::DisputeError;
use nacre_uptime::commit::CommitError;

/// Why a watcher's word, a dispute or a drain is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UptimeError {
    /// The database was begun with another schedule.
    #[error(
        "watchers' words in this database are of slots cut otherwise ({0:?}): start with the same lengths, or with a new database"
    )]
    Schedule(Schedule),
    /// Not signed, or not what was committed to.
    #[error(transparent)]
    Word(#[from] CommitError),
    /// The header that comes with a reveal.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// Header and body are of different reveals.
    #[error("header and body name different watchers, epochs or signatures")]
    OtherTicket,
    /// Nobody added this watcher.
    #[error("nobody has added this watcher: ask who runs the platform")]
    UnknownWatcher,
    /// Too early or too late.
    #[error("epoch {epoch} takes this from {from_ms} ms to {to_ms} ms; it is {now_ms} ms here")]
    NotOpen {
        /// Which epoch.
        epoch: u64,
        /// When it begins.
        from_ms: u64,
        /// When it ends.
        to_ms: u64,
        /// The control plane's time.
        now_ms: u64,
    },
    /// Another commitment stands.
    #[error("another commitment to epoch {} stands; this one is kept beside it", .0.0)]
    CommitDiffers(Epoch),
    /// No such node.
    #[error("there is no node {0}")]
    NodeNotFound(NodeId),
    /// A dispute that overturns nothing.
    #[error(transparent)]
    Dispute(#[from] DisputeError),
    /// A dispute against what was not said.
    #[error(
        "this watcher did not say that the node was down in this slot, or its word does not count"
    )]
    NothingToOverturn,
    /// Too early or too late for a dispute.
    #[error("epoch {} is not judged yet, or its window is settled", .0.0)]
    DisputeClosed(Epoch),
    /// A drain whose times make no sense.
    #[error("a drain begins later than now, {now_ms}, ends after it begins, and within 7 days")]
    DrainTimes {
        /// The control plane's time.
        now_ms: u64,
    },
    /// A node has so many drains ahead.
    #[error("a node has at most {0} drains ahead")]
    ManyDrains(usize),
    /// Another drain begins at the same time.
    #[error("another drain that begins then was announced before, and stands")]
    DrainDiffers,
}

impl UptimeError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Schedule(_) => (
                409,
                "uptime-schedule-differs",
                "Time is cut otherwise in this database.",
            ),
            Self::Word(error) => {
                let status = match error {
                    CommitError::Signature => 403,
                    CommitError::Schedule { .. } => 409,
                    _ => 422,
                };
                (status, error.code(), "The watcher's word is not taken.")
            }
            Self::Ticket(_) | Self::OtherTicket => (
                400,
                "reveal-header-invalid",
                "The reveal's header cannot be read, or is another's.",
            ),
            Self::UnknownWatcher => (403, "watcher-unknown", "The watcher may not report here."),
            Self::NotOpen { .. } => (409, "uptime-not-open", "It is not the time for this."),
            Self::CommitDiffers(_) => (409, "commit-differs", "Another commitment stands."),
            Self::NodeNotFound(_) => (404, "node-not-found", "There is no such node."),
            Self::Dispute(error) => (422, error.code(), "The dispute overturns nothing."),
            Self::NothingToOverturn => (
                409,
                "nothing-to-overturn",
                "The watcher did not say what is disputed.",
            ),
            Self::DisputeClosed(_) => (409, "dispute-closed", "It is not the time for a dispute."),
            Self::DrainTimes { .. } => (
                422,
                "drain-out-of-range",
                "The drain's times are out of range.",
            ),
            Self::ManyDrains(_) => (409, "too-many-drains", "Too many drains are ahead."),
            Self::DrainDiffers => (409, "drain-differs", "Another drain stands."),
        }
    }
}
