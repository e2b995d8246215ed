//! Commitments and reveals: who signed them, and whether the one is of the other.

use ed25519_dalek::{Signature, VerifyingKey};
use nacre_protocol::merkle::{Hash, MAX_LEAVES};
use nacre_protocol::uptime::{
    Epoch, Outcome, PostCommit, PostReveal, RevealTicket, Row, Schedule, WatcherId, commit_message,
    commitment, reveal_message, scores_root,
};

use crate::seeds::WatcherKey;

/// A commitment or reveal that is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// Slots or epochs of another length.
    #[error("the commitment is to {epoch_slots} slots of {slot_ms} ms: time is cut otherwise here")]
    Schedule {
        /// The length it names.
        slot_ms: u32,
        /// The number it names.
        epoch_slots: u16,
    },
    /// Not signed by the watcher that it names.
    #[error("the signature is not this watcher's")]
    Signature,
    /// What was revealed are no scores.
    #[error("the rows are not scores: {0}")]
    Rows(&'static str),
    /// What was revealed is not what was committed to.
    #[error("the reveal is not of this commitment")]
    RevealedOtherwise,
}

impl CommitError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Schedule { .. } => "uptime-schedule-differs",
            Self::Signature => "uptime-signature-invalid",
            Self::Rows(_) => "uptime-rows-invalid",
            Self::RevealedOtherwise => "uptime-revealed-otherwise",
        }
    }
}

/// Commitment and reveal of one epoch, signed. The same scores give the same bytes.
///
/// `None` where there are more rows than a tree has leaves.
pub fn sign_epoch(
    key: &WatcherKey,
    schedule: &Schedule,
    epoch: Epoch,
    rows: Vec<Row>,
) -> Option<(PostCommit, PostReveal)> {
    let watcher = key.id();
    let secret = key.epoch_secret(epoch);
    let root = scores_root(&rows)?;
    let commitment = commitment(schedule, &watcher, epoch, secret.salt(), &root);
    let (slot_ms, epoch_slots) = (schedule.slot_ms(), schedule.epoch_slots());
    let message = commit_message(&watcher, epoch, slot_ms, epoch_slots, &commitment);
    let commit = PostCommit {
        watcher,
        epoch,
        slot_ms,
        epoch_slots,
        commitment,
        signature: key.sign(&message),
    };
    let reveal = PostReveal {
        watcher,
        epoch,
        salt: *secret.salt(),
        rows,
        signature: key.sign(&reveal_message(&commitment)),
    };
    Some((commit, reveal))
}

/// Checks that the watcher signed this commitment, to an epoch of this schedule. Whether it comes in time is the
/// receiver's to say ([`Schedule::commits_from`], [`Schedule::reveals_from`]).
pub fn check_commit(schedule: &Schedule, commit: &PostCommit) -> Result<(), CommitError> {
    let (slot_ms, epoch_slots) = (commit.slot_ms, commit.epoch_slots);
    if (slot_ms, epoch_slots) != (schedule.slot_ms(), schedule.epoch_slots()) {
        return Err(CommitError::Schedule {
            slot_ms,
            epoch_slots,
        });
    }
    let message = commit_message(
        &commit.watcher,
        commit.epoch,
        slot_ms,
        epoch_slots,
        &commit.commitment,
    );
    check_signature(&commit.watcher, &message, &commit.signature)
}

/// Checks that whoever sends a reveal is the watcher that committed, before a byte of its body is read.
pub fn check_ticket(committed: &Hash, ticket: &RevealTicket) -> Result<(), CommitError> {
    let message = reveal_message(committed);
    check_signature(&ticket.watcher, &message, &ticket.signature)
}

/// Checks that a reveal is signed, has the shape of scores, and is what was committed to.
///
/// A wrong signature is nobody's doing but the sender's: refuse the request and mark no watcher. Any other error is the
/// watcher's own signed word against itself: keep it, so that [`crate::judge_epoch`] marks the watcher.
pub fn check_reveal(
    schedule: &Schedule,
    committed: &Hash,
    reveal: &PostReveal,
) -> Result<(), CommitError> {
    check_signature(
        &reveal.watcher,
        &reveal_message(committed),
        &reveal.signature,
    )?;
    check_rows(schedule, &reveal.rows)?;
    let root = scores_root(&reveal.rows).ok_or(CommitError::Rows("too many"))?;
    let (watcher, epoch) = (&reveal.watcher, reveal.epoch);
    if commitment(schedule, watcher, epoch, &reveal.salt, &root) == *committed {
        Ok(())
    } else {
        Err(CommitError::RevealedOtherwise)
    }
}

fn check_rows(schedule: &Schedule, rows: &[Row]) -> Result<(), CommitError> {
    let slots = usize::from(schedule.epoch_slots());
    if rows.len() > MAX_LEAVES as usize {
        return Err(CommitError::Rows("more than 65,536 nodes"));
    }
    if !rows.is_sorted_by(|a, b| a.node < b.node) {
        return Err(CommitError::Rows("nodes must rise, each once"));
    }
    if rows.iter().any(|row| row.outcomes.len() != slots) {
        return Err(CommitError::Rows("a row has one outcome for each slot"));
    }
    let mut outcomes = rows.iter().flat_map(|row| &row.outcomes);
    if outcomes.any(|byte| Outcome::from_byte(*byte).is_none()) {
        return Err(CommitError::Rows("an outcome is none that is known"));
    }
    Ok(())
}

fn check_signature(
    watcher: &WatcherId,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), CommitError> {
    VerifyingKey::from_bytes(watcher.as_bytes())
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
        .map_err(|_| CommitError::Signature)
}
