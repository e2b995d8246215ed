//! From watchers' words to `UptimeOracle`'s arguments (relay-contracts/STAKE.md): what accuses a node, and what overturns a
//! watcher's word.
//!
//! The contract knows of each epoch the stake that revealed, and each watcher's root. The rows under the roots are off chain:
//! watchers hand them to the control plane, or write them to a file (`nacre watch --report`). Whoever accuses shows those that
//! say "down"; a watcher whose row is not shown counts as having seen the node up.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, FixedBytes};
use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Tree;
use nacre_protocol::uptime::{Epoch, Outcome, PostReveal, Row, Schedule, WatcherId, Window};

use crate::contracts::uptime_oracle::UptimeOracle as abi;

mod dispute;

pub use dispute::{Answer, DisputeArguments, DisputeError};

/// Rows that make no accusation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccusationError {
    /// A reveal that a watcher cannot have made.
    #[error(
        "the reveal of watcher {watcher} for epoch {epoch} has more rows than a watcher takes, or rows of another length"
    )]
    Reveal {
        /// Whose.
        watcher: WatcherId,
        /// Of which epoch.
        epoch: u64,
    },
    /// Nobody saw the node down in this window.
    #[error("no reveal of window {0} saw the node down")]
    Nothing(u64),
}

impl AccusationError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Reveal { .. } => "reveal-malformed",
            Self::Nothing(_) => "nothing-to-accuse",
        }
    }
}

/// The rows of one node in one window that say it was down: epochs rising, in each the accounts rising, as the contract wants
/// them. Epochs in which nobody saw it down are left out, and so are watchers who saw it up throughout: neither can add a
/// missing slot, and each costs gas.
///
/// A watcher is taken by its account; reveals of others are passed over, and so is a second reveal of the same epoch.
///
/// # Errors
///
/// [`AccusationError`].
pub fn evidence(
    schedule: &Schedule,
    accounts: &BTreeMap<WatcherId, Address>,
    reveals: &[PostReveal],
    node: NodeId,
    window: Window,
) -> Result<Vec<abi::EpochRows>, AccusationError> {
    let mut epochs: BTreeMap<Epoch, BTreeMap<Address, abi::Row>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for reveal in reveals {
        let Some(account) = accounts.get(&reveal.watcher) else {
            continue;
        };
        if schedule.window_of(reveal.epoch) != window || !seen.insert((reveal.epoch, *account)) {
            continue;
        }
        if let Some(row) = row(schedule, *account, reveal, node)? {
            epochs
                .entry(reveal.epoch)
                .or_default()
                .insert(*account, row);
        }
    }
    if epochs.is_empty() {
        return Err(AccusationError::Nothing(window.0));
    }
    let epochs = epochs.into_iter().map(|(epoch, rows)| abi::EpochRows {
        epoch: epoch.0,
        rows: rows.into_values().collect(),
    });
    Ok(epochs.collect())
}

/// The node's row in a reveal with its path, where it says of any slot that the node was down, or was not looked at.
fn row(
    schedule: &Schedule,
    account: Address,
    reveal: &PostReveal,
    node: NodeId,
) -> Result<Option<abi::Row>, AccusationError> {
    let malformed = || AccusationError::Reveal {
        watcher: reveal.watcher,
        epoch: reveal.epoch.0,
    };
    let Some(at) = reveal.rows.iter().position(|row| row.node == node) else {
        return Ok(None);
    };
    let own = &reveal.rows[at];
    if own.outcomes.len() != usize::from(schedule.epoch_slots()) {
        return Err(malformed());
    }
    if own
        .outcomes
        .iter()
        .all(|outcome| *outcome == Outcome::Up.to_byte())
    {
        return Ok(None);
    }
    let tree = Tree::new(reveal.rows.iter().map(Row::leaf).collect()).ok_or_else(malformed)?;
    let index = u32::try_from(at).map_err(|_| malformed())?;
    let path = tree.path(index).ok_or_else(malformed)?;
    Ok(Some(abi::Row {
        watcher: account,
        salt: B256::from(reveal.salt),
        root: B256::from(tree.root()),
        evidenceRoot: B256::from(own.evidence_root),
        outcomes: own.outcomes.clone().into(),
        index,
        size: tree.size(),
        path: path.into_iter().map(B256::from).collect(),
    }))
}

/// A node's id as the contracts have it.
pub fn node_word(node: &NodeId) -> FixedBytes<16> {
    FixedBytes::from(*node.as_bytes())
}

#[cfg(test)]
mod tests;
