//! Nonces for registrations: made here or at another control plane of the same database, at most a minute old, each used
//! once.
//!
//! A nonce is its time, 8 random bytes, and a MAC over both under a key that lives in the database. So a stranger who
//! asks for nonces writes nothing anywhere, however often he asks; only a registration that succeeds is remembered.

use aws_lc_rs::hmac;

/// How long a nonce may be used, milliseconds.
pub(crate) const LIFETIME_MS: u64 = 60_000;
const CONTEXT: &[u8] = b"nacre/challenge/v1";

/// Makes and knows nonces.
#[derive(Debug)]
pub(crate) struct Challenges {
    key: hmac::Key,
}

impl Challenges {
    /// With the database's key.
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// A nonce: Unix milliseconds, big-endian (8 bytes) ‖ random (8) ‖ the first half of the HMAC-SHA-256 (16).
    pub(crate) fn issue(&self, random: [u8; 8], now_ms: u64) -> [u8; 32] {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&now_ms.to_be_bytes());
        nonce[8..16].copy_from_slice(&random);
        let tag = self.tag(&nonce);
        nonce[16..].copy_from_slice(&tag);
        nonce
    }

    /// Whether the nonce was made under this key within the last minute. Clocks of two machines differ, so one that is
    /// ahead by less than that is no forgery.
    pub(crate) fn is_fresh(&self, nonce: &[u8; 32], now_ms: u64) -> bool {
        let ours: bool = subtle::ConstantTimeEq::ct_eq(&nonce[16..], &self.tag(nonce)[..]).into();
        let [a, b, c, d, e, f, g, h, ..] = *nonce;
        let made_ms = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        ours && now_ms.abs_diff(made_ms) <= LIFETIME_MS
    }

    fn tag(&self, nonce: &[u8; 32]) -> [u8; 16] {
        let mut over = hmac::Context::with_key(&self.key);
        over.update(CONTEXT);
        over.update(&nonce[..16]);
        let mut tag = [0; 16];
        tag.copy_from_slice(&over.sign().as_ref()[..16]);
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE_MS: u64 = 1_800_000_000_000;

    #[test]
    fn a_nonce_lives_a_minute() {
        let challenges = Challenges::new(&[1; 32]);
        let nonce = challenges.issue([2; 8], MADE_MS);
        assert!(challenges.is_fresh(&nonce, MADE_MS));
        assert!(challenges.is_fresh(&nonce, MADE_MS + LIFETIME_MS));
        assert!(!challenges.is_fresh(&nonce, MADE_MS + LIFETIME_MS + 1));
        assert!(!challenges.is_fresh(&nonce, MADE_MS - LIFETIME_MS - 1));
    }

    #[test]
    fn control_planes_of_one_key_know_each_others_nonces_and_nobody_elses() {
        let nonce = Challenges::new(&[1; 32]).issue([2; 8], MADE_MS);
        assert!(Challenges::new(&[1; 32]).is_fresh(&nonce, MADE_MS));
        assert!(!Challenges::new(&[3; 32]).is_fresh(&nonce, MADE_MS));
        assert!(!Challenges::new(&[1; 32]).is_fresh(&[0; 32], 0));
    }

    #[test]
    fn no_bit_of_a_nonce_can_be_changed() {
        let challenges = Challenges::new(&[1; 32]);
        let nonce = challenges.issue([2; 8], MADE_MS);
        for bit in 0..256 {
            let mut other = nonce;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!challenges.is_fresh(&other, MADE_MS), "bit {bit}");
        }
    }
}
