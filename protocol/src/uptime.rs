//! Uptime (DESIGN §6): how time is cut, what a watcher says it saw, how it commits to that before it reveals it, and the
//! shapes in which all of it travels.
//!
//! A watcher scores every node in every slot. At the end of an epoch (a row of slots) it makes one [`Row`] a node, takes
//! the Merkle root of them, and posts [`commitment`] over that root and a secret salt. When no more commitments are
//! taken it posts salt and rows. Nobody can copy another's scores, and nobody can change its own after it has seen them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::encoding::{EncodingError, array_from_hex, base64url_array};
use crate::merkle::Hash;

mod consequence;
mod report;
mod schedule;
mod score;
mod ticket;

pub use consequence::{AnnounceDrain, AnnouncedDrain, NodeUptime, SlashRecord, WatcherRecord};
pub use report::{
    MAX_REPORT_SLOTS, Saw, SlotReport, Standing, UptimeReport, Verdict, WatcherStanding,
};
pub use schedule::{Epoch, Schedule, ScheduleError, Slot, Window};
pub use score::{DownReason, Outcome, Row, evidence_leaf, evidence_root, scores_root};
pub use ticket::{REVEAL_HEADER, RevealTicket, TicketError};

/// `POST`: a watcher's commitment to one epoch. 204 also for a repeat; 409 `commit-differs` for a second, other one.
pub const COMMITS_PATH: &str = "/v1/uptime/commits";
/// `POST`: what was committed to, with [`REVEAL_HEADER`]. 204 also for a repeat; 409 before commitments are closed.
pub const REVEALS_PATH: &str = "/v1/uptime/reveals";
/// `GET`: the [`Schedule`] by which time is cut there.
pub const SCHEDULE_PATH: &str = "/v1/uptime/schedule";
/// `GET ?node=&from=&to=&limit=`: [`UptimeReport`] of the slots `from..to`.
pub const REPORT_PATH: &str = "/v1/uptime/report";
/// `POST`: an evidence record against its own watcher's word.
pub const DISPUTES_PATH: &str = "/v1/uptime/disputes";
/// `GET`: pages of [`SlashRecord`]s, the newest window first.
pub const SLASHES_PATH: &str = "/v1/uptime/slashes";
/// `GET`: all [`WatcherRecord`]s.
pub const WATCHERS_PATH: &str = "/v1/uptime/watchers";
/// Longest body of a reveal that is read, bytes: 10,000 nodes with the longest epochs that there are.
pub const MAX_REVEAL: usize = 16 << 20;

/// A watcher: an Ed25519 public key, written as 64 lowercase hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WatcherId([u8; 32]);

impl WatcherId {
    /// Takes the 32 bytes of an Ed25519 public key; whether it is a point is the verifier's question.
    pub const fn from_public_key(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The public key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for WatcherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for WatcherId {
    type Err = EncodingError;

    fn from_str(text: &str) -> Result<Self, EncodingError> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(EncodingError::NotHex);
        }
        array_from_hex(text).map(Self)
    }
}

impl TryFrom<String> for WatcherId {
    type Error = EncodingError;
    fn try_from(text: String) -> Result<Self, EncodingError> {
        text.parse()
    }
}

impl From<WatcherId> for String {
    fn from(id: WatcherId) -> Self {
        id.to_string()
    }
}

/// Body of `POST /v1/uptime/commits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostCommit {
    /// Who commits.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub watcher: WatcherId,
    /// To which epoch.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// Length of its slots, milliseconds: must be the control plane's.
    pub slot_ms: u32,
    /// How many slots it has: must be the control plane's.
    pub epoch_slots: u16,
    /// [`commitment`], base64url.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub commitment: Hash,
    /// The watcher's Ed25519 signature over [`commit_message`], base64url.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: [u8; 64],
}

/// Body of `POST /v1/uptime/reveals`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PostReveal {
    /// Who reveals.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub watcher: WatcherId,
    /// Which epoch.
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub epoch: Epoch,
    /// The commitment's salt, base64url. The nonces that the watcher sent in this epoch follow from it.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub salt: [u8; 32],
    /// What it saw, one row a node, ids rising.
    pub rows: Vec<Row>,
    /// The watcher's Ed25519 signature over [`reveal_message`], base64url.
    #[serde(with = "base64url_array")]
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub signature: [u8; 64],
}

/// The commitment to an epoch's scores: SHA-256("nacre/uptime-commit/v1" ‖ 0x00 ‖ salt ‖ watcher ‖ epoch ‖ slot_ms ‖
/// epoch_slots ‖ root), numbers big-endian in 8, 4 and 2 bytes, root by [`scores_root`].
pub fn commitment(
    schedule: &Schedule,
    watcher: &WatcherId,
    epoch: Epoch,
    salt: &[u8; 32],
    root: &Hash,
) -> Hash {
    Sha256::new_with_prefix(b"nacre/uptime-commit/v1\x00")
        .chain_update(salt)
        .chain_update(watcher.as_bytes())
        .chain_update(epoch.0.to_be_bytes())
        .chain_update(schedule.slot_ms().to_be_bytes())
        .chain_update(schedule.epoch_slots().to_be_bytes())
        .chain_update(root)
        .finalize()
        .into()
}

/// The bytes that a watcher signs to commit. The commitment hides its epoch, so the signature names it: two commitments
/// signed for one epoch prove that the watcher said two things.
pub fn commit_message(
    watcher: &WatcherId,
    epoch: Epoch,
    slot_ms: u32,
    epoch_slots: u16,
    commitment: &Hash,
) -> Vec<u8> {
    [
        b"nacre/uptime-commit-signature/v1\x00".as_slice(),
        watcher.as_bytes(),
        &epoch.0.to_be_bytes(),
        &slot_ms.to_be_bytes(),
        &epoch_slots.to_be_bytes(),
        commitment,
    ]
    .concat()
}

/// The bytes that a watcher signs to reveal: the commitment names everything else.
pub fn reveal_message(commitment: &Hash) -> Vec<u8> {
    [b"nacre/uptime-reveal/v1\x00".as_slice(), commitment].concat()
}
