//! A hash chain: link number n hashes to link number n - 1, and link 0 is the tip that is committed to. Pure.

use nacre_protocol::eip712::{Word, keccak};
use zeroize::Zeroizing;

/// A chain, from its secret. What it shows of itself is its tip.
pub struct HashChain {
    tip: Word,
    length: u32,
    /// How many links apart the kept ones are.
    stride: u32,
    /// Links `length`, `length - stride`, and so on.
    kept: Zeroizing<Vec<Word>>,
}

impl HashChain {
    /// The chain whose last link is the secret. Takes `length` hashes.
    pub fn new(secret: &Word, length: u32) -> Self {
        let stride = length.isqrt().max(1);
        let mut kept = Zeroizing::new(Vec::with_capacity((length / stride + 1) as usize));
        let mut link = Zeroizing::new(*secret);
        for number in 0..length {
            if number % stride == 0 {
                kept.push(*link);
            }
            *link = keccak(&[&*link]);
        }
        Self {
            tip: *link,
            length,
            stride,
            kept,
        }
    }

    /// What is committed to.
    pub fn tip(&self) -> Word {
        self.tip
    }

    /// How many links it has, without the tip.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// A link; the tip is number 0. None beyond its end.
    pub fn link(&self, number: u32) -> Option<Word> {
        let from_end = self.length.checked_sub(number)?;
        if number == 0 {
            return Some(self.tip);
        }
        let mut link = *self.kept.get((from_end / self.stride) as usize)?;
        for _ in 0..from_end % self.stride {
            link = keccak(&[&link]);
        }
        Some(link)
    }

    /// The number of a link, or of the tip. None where it is not of this chain. What is near the tip is found soon.
    pub fn number_of(&self, link: &Word) -> Option<u32> {
        if *link == self.tip {
            return Some(0);
        }
        for (at, first) in self.kept.iter().enumerate().rev() {
            let highest = self.length - u32::try_from(at).ok()? * self.stride;
            let mut candidate = *first;
            for number in (highest.saturating_sub(self.stride) + 1..=highest).rev() {
                if candidate == *link {
                    return Some(number);
                }
                candidate = keccak(&[&candidate]);
            }
        }
        None
    }
}

impl core::fmt::Debug for HashChain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HashChain")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_link_hashes_to_the_one_before(secret: [u8; 32], length in 1_u32..200) {
            let chain = HashChain::new(&secret, length);
            prop_assert_eq!(chain.link(0), Some(chain.tip()));
            prop_assert_eq!(chain.link(length), Some(secret));
            prop_assert_eq!(chain.link(length + 1), None);
            for number in 1..=length {
                let link = chain.link(number).unwrap();
                prop_assert_eq!(Some(keccak(&[&link])), chain.link(number - 1));
                prop_assert_eq!(chain.number_of(&link), Some(number));
            }
            prop_assert_eq!(chain.number_of(&[0; 32]), None);
        }
    }

    #[test]
    fn a_chain_does_not_print_its_links() {
        let chain = HashChain::new(&[7; 32], 10);
        assert_eq!(format!("{chain:?}"), "HashChain { length: 10, .. }");
    }
}
