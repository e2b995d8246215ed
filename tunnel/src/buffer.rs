//! Buffers that connections share: one is taken only while there are bytes to carry, so that an idle connection holds
//! none.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of one buffer.
const SIZE: usize = 64 * 1024;
/// Idle buffers that are kept for the next taker.
const KEPT: usize = 256;
/// Bytes of one for bulk: fewer calls and fewer turns for as many bytes.
const LARGE: usize = 256 * 1024;
/// Of which there are only so many at once.
const MOST_LARGE: usize = 64;

/// A pool of buffers of two sizes.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    idle: Mutex<Vec<Box<[u8]>>>,
    large: Mutex<Large>,
}

#[derive(Debug, Default)]
struct Large {
    idle: Vec<Box<[u8]>>,
    exist: usize,
}

impl BufferPool {
    /// An idle buffer, or a new one.
    pub(crate) fn take(&self) -> Box<[u8]> {
        let idle = lock(&self.idle).pop();
        idle.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice())
    }

    /// A large one, if there is one to be had.
    pub(crate) fn take_large(&self) -> Option<Box<[u8]>> {
        let mut large = lock(&self.large);
        if let Some(idle) = large.idle.pop() {
            return Some(idle);
        }
        if large.exist == MOST_LARGE {
            return None;
        }
        large.exist += 1;
        drop(large);
        Some(vec![0; LARGE].into_boxed_slice())
    }

    /// Whether a buffer of so many bytes is one of a pool.
    pub(crate) fn pools(bytes: usize) -> bool {
        matches!(bytes, SIZE | LARGE)
    }

    /// Gives a buffer back; one of another size is let go.
    pub(crate) fn give(&self, buffer: Box<[u8]>) {
        let (mut small, mut large);
        let (idle, keep) = match buffer.len() {
            SIZE => {
                small = lock(&self.idle);
                (&mut *small, KEPT)
            }
            LARGE => {
                large = lock(&self.large);
                let keep = large.exist;
                (&mut large.idle, keep)
            }
            _ => return,
        };
        if idle.len() < keep {
            idle.push(buffer);
        }
    }

    /// How many lie idle.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        lock(&self.idle).len()
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_large_ones_and_they_come_back() {
        let pool = BufferPool::default();
        let taken: Vec<_> = (0..MOST_LARGE)
            .map(|_| pool.take_large().unwrap())
            .collect();
        assert!(pool.take_large().is_none());
        taken.into_iter().for_each(|buffer| pool.give(buffer));
        let again: Vec<_> = std::iter::from_fn(|| pool.take_large()).collect();
        assert_eq!(again.len(), MOST_LARGE);
        assert_eq!(pool.idle(), 0, "none was taken for a small one");
    }
}
