//! Kernel pipes that connections share: through one, bytes go from socket to socket without being copied (splice(2)).
//!
//! A connection takes one only for as long as it carries bulk. There are only so many; who finds none copies.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

/// Bytes that a pipe is asked to hold (pipe(7), `pipe-max-size`); where the system gives less, one holds less.
const SIZE: usize = 1024 * 1024;
/// Pipes at once, two files each; the system lets a user have 64 MiB of them (pipe(7), `pipe-user-pages-soft`).
pub(crate) const MOST: usize = 64;

/// A pool of pipes.
#[derive(Debug, Default)]
pub(crate) struct PipePool {
    idle: Mutex<Vec<[OwnedFd; 2]>>,
    exist: AtomicUsize,
}

/// A pipe from the pool.
#[derive(Debug)]
pub(crate) struct Pipe {
    /// The end to read, and the end to write; gone only while it is dropped.
    ends: Option<[OwnedFd; 2]>,
    holds: usize,
    pool: Arc<PipePool>,
}

impl PipePool {
    /// An empty pipe, if there is one to be had.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Pipe> {
        let idle = self.idle().pop();
        let ends = match idle {
            Some(ends) => ends,
            None => self.make()?,
        };
        Some(Pipe {
            ends: Some(ends),
            holds: 0,
            pool: Arc::clone(self),
        })
    }

    fn make(&self) -> Option<[OwnedFd; 2]> {
        let counted = self
            .exist
            .fetch_update(Relaxed, Relaxed, |n| (n < MOST).then_some(n + 1));
        counted.ok()?;
        match pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK) {
            Ok((read, write)) => {
                // A smaller one serves, too.
                let _ = fcntl_setpipe_size(&write, SIZE);
                Some([read, write])
            }
            Err(error) => {
                self.exist.fetch_sub(1, Relaxed);
                tracing::debug!(%error, "no pipe: bytes are copied");
                None
            }
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<[OwnedFd; 2]>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many exist, and how many of them lie idle.
    #[cfg(test)]
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.exist.load(Relaxed), self.idle().len())
    }
}

impl Pipe {
    /// Bytes that one load may have.
    pub(crate) const CAPACITY: usize = SIZE;

    /// Moves bytes into it by `fill`, which gets the end to write.
    pub(crate) fn fill(
        &mut self,
        fill: impl FnOnce(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let [_, write] = self.ends.as_ref().ok_or(Errno::BADF)?;
        let bytes = fill(write.as_fd())?;
        self.holds += bytes;
        Ok(bytes)
    }

    /// Moves bytes out of it by `drain`, which gets the end to read.
    pub(crate) fn drain(
        &mut self,
        drain: impl FnOnce(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let [read, _] = self.ends.as_ref().ok_or(Errno::BADF)?;
        let bytes = drain(read.as_fd())?;
        self.holds = self.holds.saturating_sub(bytes);
        Ok(bytes)
    }

    /// Bytes in it.
    pub(crate) fn holds(&self) -> usize {
        self.holds
    }
}

impl Drop for Pipe {
    /// Only an empty one goes back: nobody may get another's bytes.
    fn drop(&mut self) {
        match self.ends.take() {
            Some(ends) if self.holds == 0 => self.pool.idle().push(ends),
            _ => {
                self.pool.exist.fetch_sub(1, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many_and_they_come_back() {
        let pool = Arc::new(PipePool::default());
        let taken: Vec<Pipe> = (0..MOST).map(|_| pool.take().unwrap()).collect();
        assert!(pool.take().is_none());
        drop(taken);
        assert_eq!(pool.count(), (MOST, MOST));
        assert!(pool.take().is_some());
    }

    #[test]
    fn one_with_bytes_in_it_is_thrown_away() {
        let pool = Arc::new(PipePool::default());
        let mut pipe = pool.take().unwrap();
        pipe.fill(|end| rustix::io::write(end, b"somebody's"))
            .unwrap();
        drop(pipe);
        assert_eq!(pool.count(), (0, 0));
        let mut pipe = pool.take().unwrap();
        let mut bytes = [0; 16];
        let read = pipe.drain(|end| rustix::io::read(end, &mut bytes));
        assert_eq!(read, Err(Errno::AGAIN), "empty");
    }
}
