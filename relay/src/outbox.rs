//! Transactions that must count once. Pure.
//!
//! Each nonce of the relay's account is one [`Entry`], made and kept together with what it is for. A transaction is signed
//! and kept before it is sent, so that whoever starts again knows everything that may be on its way. An entry can be
//! replaced, by the same at a higher price or by a transfer of nothing to oneself where it has no use any more; whichever is
//! mined, the nonce is used, and no two entries can pay for the same thing twice.
//!
//! ```text
//!           mined                deep enough
//!   Open ──────────▶ Mined ────────────────────▶ Final
//!    ▲ │               │
//!    │ └─ replace ─▶ (Open)      the nonce was used by somebody else with the same key
//!    └── reorganised ──┘      Open ──────────────────────────────────────────────────▶ Lost
//! ```

use crate::worth::Fees;

/// Nodes take a replacement that offers at least 10 % more of both; a bit more, against rounding.
const RAISE_PER_MILLE: u128 = 1_125;

/// Where a transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Signed and kept; sent or about to be.
    Open,
    /// In this block.
    Mined {
        /// Which.
        block: u64,
        /// Whether it did what it was for; a failed one was paid for all the same.
        succeeded: bool,
    },
    /// Mined so deep that nothing changes any more.
    Final,
    /// Another transaction, not of this outbox, used the nonce.
    Lost,
}

/// A nonce and what was offered for it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The account's nonce.
    pub nonce: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Its latest transaction's gas limit.
    pub gas: u64,
    /// What its latest transaction offers.
    pub fees: Fees,
    /// Most a gas that it is worth.
    pub ceiling: u128,
    /// At which head it was offered so.
    pub offered_at: u64,
    /// Whether its latest transaction only uses up the nonce.
    pub is_cancel: bool,
}

/// What is known of an open entry's nonce now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Number of the latest block.
    pub head: u64,
    /// Nonces used in blocks that are final: all below this.
    pub final_nonces: u64,
    /// Nonces used up to the latest block.
    pub used_nonces: u64,
    /// One of the entry's transactions, where one is in a block: which block, and whether it succeeded.
    pub mined: Option<(u64, bool)>,
    /// Whether what it is for is still wanted.
    pub wanted: bool,
    /// What a transaction should offer now.
    pub offer: Fees,
    /// After how many blocks without it a transaction is replaced.
    pub patience: u64,
}

/// What to do about an open entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Send the latest transaction, again.
    Send,
    /// Sign, keep and send the same with this offer.
    Raise(Fees),
    /// Sign, keep and send a transfer of nothing with this offer.
    Cancel(Fees),
    /// Note that it was mined.
    Mined {
        /// In which block.
        block: u64,
        /// Whether it did what it was for.
        succeeded: bool,
    },
    /// Note that somebody else used the nonce.
    Lose,
}

impl Entry {
    /// What to do about it.
    pub fn step(&self, look: &Look) -> Step {
        if self.phase != Phase::Open {
            return Step::Wait;
        }
        if let Some((block, succeeded)) = look.mined {
            return Step::Mined { block, succeeded };
        }
        if look.used_nonces > self.nonce {
            // The receipt may come late; what is final without one of ours is somebody else's.
            return match look.final_nonces > self.nonce {
                true => Step::Lose,
                false => Step::Wait,
            };
        }
        if !look.wanted && !self.is_cancel {
            return Step::Cancel(self.raised(look.offer, u128::MAX).unwrap_or(look.offer));
        }
        // What waits behind other nonces is not late.
        let is_next = look.used_nonces == self.nonce;
        let late = look.head.saturating_sub(self.offered_at) >= look.patience;
        match self.raised(look.offer, self.most()) {
            Some(fees) if late && is_next && self.is_cancel => Step::Cancel(fees),
            Some(fees) if late && is_next => Step::Raise(fees),
            _ => Step::Send,
        }
    }

    /// Its phase after all blocks after `to` are no longer the chain's.
    #[must_use]
    pub fn rolled_back(mut self, to: u64) -> Self {
        if let Phase::Mined { block, .. } = self.phase
            && block > to
        {
            self.phase = Phase::Open;
        }
        self
    }

    /// Most that it can cost, in wei.
    pub fn reserve(&self) -> u128 {
        reserve(self.gas, self.fees)
    }

    /// A nonce that is in the way is freed at any price that the market asks: it is 21,000 gas.
    fn most(&self) -> u128 {
        match self.is_cancel {
            true => u128::MAX,
            false => self.ceiling,
        }
    }

    /// The offer of a replacement: as much more as nodes demand, and what the market asks; none where that is too much.
    fn raised(&self, offer: Fees, most: u128) -> Option<Fees> {
        let more = |fee: u128| (fee.saturating_mul(RAISE_PER_MILLE) / 1000).saturating_add(1);
        let least = more(self.fees.max);
        if least > most {
            return None;
        }
        let max = least.max(offer.max.min(most));
        let tip = more(self.fees.tip).max(offer.tip).min(max);
        Some(Fees { max, tip })
    }
}

/// Most that a transaction can cost, in wei.
pub fn reserve(gas: u64, fees: Fees) -> u128 {
    fees.max.saturating_mul(gas.into())
}

#[cfg(test)]
mod tests;
