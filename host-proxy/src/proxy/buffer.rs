//! Buffers that connections share: one is taken only while there are bytes to carry, so that an idle connection holds
//! none.

use std::sync::{Mutex, PoisonError};

/// Bytes of one buffer.
const SIZE: usize = 64 * 1024;
/// Idle buffers that are kept for the next taker.
const KEPT: usize = 256;

/// A pool of equal buffers.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    idle: Mutex<Vec<Box<[u8]>>>,
}

impl BufferPool {
    /// An idle buffer, or a new one.
    pub(crate) fn take(&self) -> Box<[u8]> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        idle.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
    }

    /// Gives a buffer back; one of another size is let go.
    pub(crate) fn give(&self, buffer: Box<[u8]>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && buffer.len() == SIZE {
            idle.push(buffer);
        }
    }

    /// How many lie idle.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}
