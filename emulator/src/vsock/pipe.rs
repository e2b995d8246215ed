//! Bytes on their way in one direction of a connection.

use std::collections::VecDeque;

use crate::vsock::Micros;

/// A queue of bytes, first in, first out.
#[derive(Debug, Default)]
pub struct Pipe {
    ready: VecDeque<u8>,
}

impl Pipe {
    /// Bytes go in.
    pub fn push(&mut self, _now: Micros, bytes: &[u8]) {
        self.ready.extend(bytes);
    }

    /// The first bytes that may come out.
    pub fn ready(&mut self, _now: Micros) -> &[u8] {
        self.ready.as_slices().0
    }

    /// Bytes have come out.
    pub fn consume(&mut self, bytes: usize) {
        self.ready.drain(..bytes.min(self.ready.len()));
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
    }

    /// Nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Bytes come out as they went in, at once.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        true
    }

    /// How many more bytes may go in.
    #[must_use]
    pub fn room(&self) -> usize {
        0
    }

    /// It ended before its writer did.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        false
    }

    /// Throws everything away.
    pub fn clear(&mut self) {
        self.ready = VecDeque::new();
    }
}
