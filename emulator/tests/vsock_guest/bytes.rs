//! Bytes that both ends can make, and a digest that sees every one of them and their order. Both are cheap: an emulated
//! processor computes them.

use std::fmt;

/// Bytes without end, the same at both ends.
#[derive(Default)]
pub(crate) struct Stream {
    position: u64,
}

impl Stream {
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            let number = (self.position / 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let number = (number ^ (number >> 29)).to_le_bytes();
            let start = (self.position % 8) as usize;
            assert!(
                start == 0,
                "only the last part of a stream is not a multiple of eight"
            );
            part.copy_from_slice(&number[..part.len()]);
            self.position += part.len() as u64;
        }
    }
}

/// What came, in a number; pieces may be of any length.
#[derive(Clone, Default)]
pub(crate) struct Digest {
    count: u64,
    sum: u64,
    word: [u8; 8],
}

impl Digest {
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = (self.count % 8) as usize;
            let length = bytes.len().min(8 - at);
            self.word[at..at + length].copy_from_slice(&bytes[..length]);
            self.count += length as u64;
            bytes = &bytes[length..];
            if at + length == 8 {
                self.absorb();
            }
        }
    }

    fn absorb(&mut self) {
        let word = u64::from_le_bytes(self.word);
        self.sum = (self.sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.word = [0; 8];
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.clone();
        last.absorb();
        write!(f, "{} {:016x}", self.count, last.sum ^ self.count)
    }
}
