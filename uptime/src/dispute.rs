//! Disputes: a watcher's own evidence against its own word.

use nacre_client::Trust;
use nacre_protocol::ids::{BootId, NodeId};
use nacre_protocol::uptime::{Slot, WatcherId};

use crate::evidence::{EvidenceError, EvidenceRecord};
use crate::seeds::EpochSecret;

/// A claim that one watcher's "down" is wrong: its own nonce was answered in that slot.
#[derive(Debug, Clone)]
pub struct Dispute<'a> {
    /// The record.
    pub record: &'a EvidenceRecord,
    /// The salt that the watcher revealed for the slot's epoch.
    pub revealed_salt: [u8; 32],
    /// Length of slots here, milliseconds.
    pub slot_ms: u32,
    /// The runs of the enclave that were registered for the node in that slot.
    pub boots: &'a [BootId],
}

/// A dispute that overturns nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DisputeError {
    /// The record shows nothing.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The record is of slots of another length.
    #[error("the record is of slots of {0} ms")]
    Schedule(u32),
    /// Another enclave answered.
    #[error("the enclave that answered ({0}) was not registered for this node")]
    OtherEnclave(BootId),
}

impl DisputeError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Evidence(error) => error.code(),
            Self::Schedule(_) => "uptime-schedule-differs",
            Self::OtherEnclave(_) => "dispute-other-enclave",
        }
    }
}

impl Dispute<'_> {
    /// Checks the claim: the record's nonce must be the watcher's own. What comes back belongs into [`crate::EpochInput::overturned`]; other watchers' words stand.
    pub fn check(&self, trust: &Trust) -> Result<(WatcherId, NodeId, Slot), DisputeError> {
        let record = self.record;
        if record.slot_ms != self.slot_ms {
            return Err(DisputeError::Schedule(record.slot_ms));
        }
        let secret = EpochSecret::revealed(record.watcher, self.revealed_salt);
        let verified = record.verify(trust, Some(&secret))?;
        if !self.boots.contains(&verified.boot_id) {
            return Err(DisputeError::OtherEnclave(verified.boot_id));
        }
        Ok((record.watcher, record.node, record.slot))
    }
}
