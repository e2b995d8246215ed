//! Nonces for registrations: random, each taken once, within a minute.
//!
//! In memory only. A restart forgets those that were given out, which refuses them: a node asks for another.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long a nonce may be used, milliseconds.
pub(crate) const LIFETIME_MS: u64 = 60_000;
/// The most nonces that are outstanding at a time.
pub(crate) const MAX_OUTSTANDING: usize = 16_384;

/// The nonces that were given out and not yet used.
#[derive(Debug, Default)]
pub(crate) struct Challenges {
    issued: Mutex<HashMap<[u8; 32], u64>>,
}

/// Too many nonces are outstanding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl Challenges {
    /// Remembers a random nonce as given out at `now_ms`.
    pub(crate) fn issue(&self, nonce: [u8; 32], now_ms: u64) -> Result<(), Full> {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if issued.len() >= MAX_OUTSTANDING {
            issued.retain(|_, at| is_fresh(*at, now_ms));
        }
        if issued.len() >= MAX_OUTSTANDING {
            return Err(Full);
        }
        issued.insert(nonce, now_ms);
        Ok(())
    }

    /// Takes a nonce: true for one that was given out within the last minute and not taken before.
    pub(crate) fn take(&self, nonce: &[u8; 32], now_ms: u64) -> bool {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.remove(nonce).is_some_and(|at| is_fresh(at, now_ms))
    }
}

fn is_fresh(issued_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(issued_ms) <= LIFETIME_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_taken_once_and_while_fresh() {
        let challenges = Challenges::default();
        assert!(!challenges.take(&[1; 32], 0));
        challenges.issue([1; 32], 0).unwrap();
        challenges.issue([2; 32], 0).unwrap();
        assert!(challenges.take(&[1; 32], LIFETIME_MS));
        assert!(!challenges.take(&[1; 32], LIFETIME_MS));
        assert!(!challenges.take(&[2; 32], LIFETIME_MS + 1));
    }

    #[test]
    fn outstanding_nonces_are_bounded_and_old_ones_make_room() {
        let challenges = Challenges::default();
        for n in 0..MAX_OUTSTANDING as u64 {
            let mut nonce = [0; 32];
            nonce[..8].copy_from_slice(&n.to_le_bytes());
            challenges.issue(nonce, 0).unwrap();
        }
        assert_eq!(challenges.issue([0xff; 32], LIFETIME_MS), Err(Full));
        assert_eq!(challenges.issue([0xff; 32], LIFETIME_MS + 1), Ok(()));
    }
}
