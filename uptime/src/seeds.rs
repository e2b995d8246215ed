//! What a watcher does that must not be foreseen, and must be shown to be its own afterwards: salts, nonces, and the
//! moments of its tries. All follow from its key, so that nothing of it can be lost or drawn twice.

use ed25519_dalek::{Signature, Signer as _, SigningKey};
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Epoch, Schedule, Slot, WatcherId};
use sha2::{Digest as _, Sha256};

/// Tries that a node gets in a slot.
pub const TRIES: u8 = 3;

/// A watcher's Ed25519 key.
#[derive(Debug, Clone)]
pub struct WatcherKey(SigningKey);

impl WatcherKey {
    /// The key of these 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Its public half.
    pub fn id(&self) -> WatcherId {
        WatcherId::from_public_key(self.0.verifying_key().to_bytes())
    }

    /// Signs a message of `nacre_protocol::uptime`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.0.sign(message);
        signature.to_bytes()
    }

    /// The secret of one epoch; another epoch's tells nothing about it.
    pub fn epoch_secret(&self, epoch: Epoch) -> EpochSecret {
        let salt = Sha256::new_with_prefix(b"nacre/uptime-salt/v1\x00")
            .chain_update(self.0.as_bytes())
            .chain_update(epoch.0.to_be_bytes())
            .finalize();
        EpochSecret {
            watcher: self.id(),
            salt: salt.into(),
        }
    }
}

/// The salt of one epoch's commitment, and what follows from it. Secret until it is revealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochSecret {
    watcher: WatcherId,
    salt: [u8; 32],
}

impl EpochSecret {
    /// What a watcher revealed.
    pub fn revealed(watcher: WatcherId, salt: [u8; 32]) -> Self {
        Self { watcher, salt }
    }

    /// Whose it is.
    pub fn watcher(&self) -> WatcherId {
        self.watcher
    }

    /// The salt.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    /// The nonce of one try: SHA-256("nacre/uptime-nonce/v1" ‖ 0x00 ‖ salt ‖ watcher ‖ node ‖ slot ‖ try).
    ///
    /// Nobody knows it before the watcher sends it; whoever knows the revealed salt can tell that it was this watcher's,
    /// for this node in this slot.
    pub fn nonce(&self, node: &NodeId, slot: Slot, attempt: u8) -> [u8; 32] {
        Sha256::new_with_prefix(b"nacre/uptime-nonce/v1\x00")
            .chain_update(self.salt)
            .chain_update(self.watcher.as_bytes())
            .chain_update(node.as_bytes())
            .chain_update(slot.0.to_be_bytes())
            .chain_update([attempt])
            .finalize()
            .into()
    }

    /// When the tries of a slot begin, and by when each must be answered.
    pub fn tries(&self, schedule: &Schedule, node: &NodeId, slot: Slot) -> TryPlan {
        let draw: [u8; 32] = Sha256::new_with_prefix(b"nacre/uptime-tries/v1\x00")
            .chain_update(self.salt)
            .chain_update(node.as_bytes())
            .chain_update(slot.0.to_be_bytes())
            .finalize()
            .into();
        let length = u64::from(schedule.slot_ms());
        let mut begin_ms = [0; TRIES as usize];
        for ((begin, (from, to)), bytes) in begin_ms.iter_mut().zip(SPREAD).zip(draw.chunks(8)) {
            let bytes = bytes.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte));
            let width = (length * (to - from) / 100).max(1);
            *begin = length * from / 100 + bytes % width;
        }
        TryPlan {
            begin_ms,
            end_ms: length * 95 / 100,
        }
    }
}

/// Between which hundredths of the slot each try begins. The first, which all nodes get, spread widest; the last leaves time
/// for its answer.
const SPREAD: [(u64, u64); TRIES as usize] = [(0, 40), (50, 65), (75, 85)];

/// The tries of one slot, in milliseconds from its begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TryPlan {
    begin_ms: [u64; TRIES as usize],
    end_ms: u64,
}

impl TryPlan {
    /// Begin and end of each try: one ends where the next begins, the last a little before the slot does.
    pub fn spans(&self) -> impl Iterator<Item = (u8, u64, u64)> + '_ {
        let ends = self.begin_ms.iter().skip(1).chain([&self.end_ms]);
        let spans = self.begin_ms.iter().zip(ends);
        (0..TRIES)
            .zip(spans)
            .map(|(attempt, (begin, end))| (attempt, *begin, *end))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tries_lie_in_their_slot_one_after_the_other(seed: [u8; 32], slot: u32, node: [u8; 16], slot_ms in 100u32..60_000) {
            let schedule = Schedule::new(slot_ms, 1, 1, 1, 1).unwrap();
            let secret = WatcherKey::from_seed(&seed).epoch_secret(Epoch(slot.into()));
            let plan = secret.tries(&schedule, &NodeId::from_random(node), Slot(slot.into()));
            let mut last_end = 0;
            for (attempt, begin, end) in plan.spans() {
                prop_assert!(begin >= last_end || attempt == 0);
                // Each has at least a tenth of the slot to be answered in.
                prop_assert!(end - begin >= u64::from(slot_ms) / 10 - 1);
                last_end = end;
            }
            prop_assert!(last_end <= u64::from(slot_ms) * 95 / 100);
        }

        #[test]
        fn a_nonce_is_of_one_watcher_node_slot_and_try(seed: [u8; 32], other: [u8; 32]) {
            prop_assume!(seed != other);
            let of = |seed, epoch, node, slot, attempt| {
                let secret = WatcherKey::from_seed(seed).epoch_secret(Epoch(epoch));
                secret.nonce(&NodeId::from_random([node; 16]), Slot(slot), attempt)
            };
            let nonces = [
                of(&seed, 1, 1, 1, 0), of(&seed, 1, 1, 1, 1), of(&seed, 1, 1, 2, 0),
                of(&seed, 1, 2, 1, 0), of(&seed, 2, 1, 1, 0), of(&other, 1, 1, 1, 0),
            ];
            let distinct: std::collections::BTreeSet<_> = nonces.iter().collect();
            prop_assert_eq!(distinct.len(), nonces.len());
        }
    }
}
