//! What a watcher says it saw.

use core::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Slot;
use crate::encoding::{base64url_array, base64url_bytes};
use crate::ids::NodeId;
use crate::merkle::{Hash, Tree, leaf_hash};

/// What one watcher saw of one node in one slot. One byte on the wire: 0 unseen, 1 up, above that the reason for down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did not look: it was not running, or did not come to it. Says nothing about the node.
    Unseen,
    /// The enclave's signed answer came.
    Up,
    /// No try was answered as it must be; the reason is the last try's.
    Down(DownReason),
}

/// Why a try did not count as answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[repr(u8)]
pub enum DownReason {
    /// No TCP connection.
    ConnectFailed = 2,
    /// No TLS 1.3 session.
    TlsFailed = 3,
    /// Not within the try's time.
    Timeout = 4,
    /// The evidence does not satisfy the watcher's policy, or is not for this connection.
    EvidenceRefused = 5,
    /// An enclave answered, but another run of it than the one that is registered for this node.
    OtherEnclave = 6,
    /// The connection ended early.
    ConnectionBroken = 7,
    /// The answer's status was not 200.
    Refused = 8,
    /// The answer came without a receipt that proves it.
    ReceiptRefused = 9,
    /// The answer proves itself, and is not the canary's.
    WrongAnswer = 10,
}

impl DownReason {
    const ALL: [Self; 9] = [
        Self::ConnectFailed,
        Self::TlsFailed,
        Self::Timeout,
        Self::EvidenceRefused,
        Self::OtherEnclave,
        Self::ConnectionBroken,
        Self::Refused,
        Self::ReceiptRefused,
        Self::WrongAnswer,
    ];

    /// Stable kebab-case code.
    pub fn code(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect-failed",
            Self::TlsFailed => "tls-failed",
            Self::Timeout => "timeout",
            Self::EvidenceRefused => "evidence-refused",
            Self::OtherEnclave => "other-enclave",
            Self::ConnectionBroken => "connection-broken",
            Self::Refused => "refused",
            Self::ReceiptRefused => "receipt-refused",
            Self::WrongAnswer => "wrong-answer",
        }
    }
}

impl Outcome {
    /// The byte on the wire.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Unseen => 0,
            Self::Up => 1,
            Self::Down(reason) => reason as u8,
        }
    }

    /// The outcome of a byte; `None` for one that stands for nothing.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Unseen),
            1 => Some(Self::Up),
            _ => DownReason::ALL
                .into_iter()
                .find(|reason| *reason as u8 == byte)
                .map(Self::Down),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unseen => f.write_str("unseen"),
            Self::Up => f.write_str("up"),
            Self::Down(reason) => write!(f, "down ({})", reason.code()),
        }
    }
}

/// One node through one epoch, as one watcher saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Row {
    /// Which node.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub node: NodeId,
    /// One byte a slot ([`Outcome::to_byte`]), base64url.
    #[serde(with = "base64url_bytes")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub outcomes: Vec<u8>,
    /// [`evidence_root`] of what the watcher keeps of each slot, base64url: what it shows later is what it had.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub evidence_root: Hash,
}

impl Row {
    /// This row's leaf in the epoch's tree: SHA-256(0x00 ‖ "nacre/uptime-row/v1" ‖ node ‖ evidence root ‖ outcomes).
    pub fn leaf(&self) -> Hash {
        leaf_hash(&[
            b"nacre/uptime-row/v1",
            self.node.as_bytes(),
            &self.evidence_root,
            &self.outcomes,
        ])
    }
}

/// The RFC 6962 root over the rows' leaves, in their order; of no rows SHA-256 of nothing (RFC 6962 §2.1).
///
/// `None` for more rows than [`crate::merkle::MAX_LEAVES`].
pub fn scores_root(rows: &[Row]) -> Option<Hash> {
    if rows.is_empty() {
        return Some(Sha256::digest([]).into());
    }
    Tree::new(rows.iter().map(Row::leaf).collect()).map(|tree| tree.root())
}

/// A slot's leaf in [`evidence_root`]: SHA-256(0x00 ‖ "nacre/uptime-evidence/v1" ‖ slot ‖ SHA-256 of the evidence record's
/// bytes, or 32 zeros where there is none).
pub fn evidence_leaf(slot: Slot, evidence: Option<&Hash>) -> Hash {
    leaf_hash(&[
        b"nacre/uptime-evidence/v1",
        &slot.0.to_be_bytes(),
        evidence.unwrap_or(&[0; 32]),
    ])
}

/// The RFC 6962 root over one node's evidence leaves, one a slot from `first` on.
///
/// `None` for no slots or too many.
pub fn evidence_root(first: Slot, evidence: &[Option<Hash>]) -> Option<Hash> {
    let slots = first.0..;
    let leaves = slots.zip(evidence);
    let leaves = leaves.map(|(slot, hash)| evidence_leaf(Slot(slot), hash.as_ref()));
    Tree::new(leaves.collect()).map(|tree| tree.root())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_one_outcome_or_none() {
        for byte in 0..=u8::MAX {
            match Outcome::from_byte(byte) {
                Some(outcome) => assert_eq!(outcome.to_byte(), byte),
                None => assert!(byte > 10, "{byte}"),
            }
        }
    }

    #[test]
    fn a_reason_has_one_code_in_json_and_text() {
        for reason in DownReason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.code()));
        }
    }
}
