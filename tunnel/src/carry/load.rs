//! The bytes that are on one way now, and how they are carried: small messages through a buffer, bulk through a pipe.
//!
//! A read and a write are two calls for a message of any size that fits, and cost a copy each; two splices cost no copy,
//! but more for every call. So a way begins with a small buffer. When that was full several times running, it takes a
//! pipe, or, where a pipe would not be worth it or none is left, a large buffer; and it goes back when what comes is
//! small again. It changes only while nothing is loaded.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::buffer::BufferPool;
use crate::pipes::{Pipe, PipePool};
use crate::side::Side;

/// Full buffers running that make bulk.
const FULL: u32 = 2;
/// A load of a pipe or a large buffer below this is small…
const SMALL: usize = 16 * 1024;
/// …and so many of them running are no bulk.
const FEW: u32 = 4;

/// Where connections get what they carry bytes in.
#[derive(Debug, Default)]
pub struct Pools {
    pub(crate) buffers: BufferPool,
    pub(crate) pipes: Arc<PipePool>,
}

/// What is loaded on one way, and in what.
#[derive(Debug)]
pub(super) struct Load<'a> {
    pools: &'a Pools,
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
    pipe: Option<Pipe>,
    /// The buffer is a large one, or the next is to be.
    large: bool,
    /// Loads running that speak for the other way of carrying.
    streak: u32,
    /// The source is worth a pipe.
    lends_pages: bool,
    /// One of the sockets cannot be spliced.
    only_copies: bool,
}

impl<'a> Load<'a> {
    pub(super) fn new(pools: &'a Pools) -> Self {
        Self {
            pools,
            buffer: None,
            start: 0,
            end: 0,
            pipe: None,
            large: false,
            streak: 0,
            lends_pages: false,
            only_copies: false,
        }
    }

    /// Where it gets what it carries bytes in.
    pub(super) fn pools(&self) -> &'a Pools {
        self.pools
    }

    /// Loads what the source has, after all that was loaded has been written; 0 is its end.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
    ) -> Poll<io::Result<usize>> {
        if let Some(pipe) = &mut self.pipe {
            match from.poll_into_pipe(cx, pipe) {
                Poll::Ready(Err(error)) if cannot_splice(&error) => {
                    self.only_copies = true;
                    self.pipe = None;
                }
                Poll::Ready(Ok(bytes)) => {
                    let running = if bytes < SMALL { self.streak + 1 } else { 0 };
                    self.streak = running;
                    return Poll::Ready(Ok(bytes));
                }
                other => return other,
            }
        }
        self.poll_fill_buffer(cx, from)
    }

    fn poll_fill_buffer(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut impl Side,
    ) -> Poll<io::Result<usize>> {
        let (pools, large) = (self.pools, &mut self.large);
        let buffer = self.buffer.get_or_insert_with(|| {
            let taken = large.then(|| pools.buffers.take_large()).flatten();
            *large = taken.is_some();
            taken.unwrap_or_else(|| pools.buffers.take())
        });
        let polled = from.poll_read(cx, buffer);
        let filled = match &polled {
            Poll::Ready(Ok(bytes)) => *bytes,
            _ => 0,
        };
        let speaks_for_change = match self.large {
            true => filled < SMALL,
            false => filled == buffer.len(),
        };
        (self.start, self.end) = (0, filled);
        if filled == 0 {
            self.release_buffer();
        } else {
            self.streak = if speaks_for_change {
                self.streak + 1
            } else {
                0
            };
            self.lends_pages = from.lends_pages();
        }
        polled
    }

    /// What comes is carried as bulk, or about to be.
    pub(super) fn is_bulk(&self) -> bool {
        self.large || self.pipe.is_some() || self.streak > 0
    }

    /// Writes some of what is loaded.
    pub(super) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut impl Side,
    ) -> Poll<io::Result<usize>> {
        if self.start == self.end
            && let Some(pipe) = &mut self.pipe
        {
            match to.poll_out_of_pipe(cx, pipe) {
                Poll::Ready(Err(error)) if cannot_splice(&error) => self.unload_pipe()?,
                Poll::Ready(Ok(bytes)) => {
                    if pipe.holds() == 0 && self.streak >= FEW {
                        (self.pipe, self.streak) = (None, 0);
                    }
                    return some(bytes);
                }
                other => return other,
            }
        }
        let written = ready!(to.poll_write(cx, self.loaded()))?;
        self.unload(written);
        if self.start == self.end && self.pipe.is_none() {
            self.choose();
        }
        some(written)
    }

    /// What is loaded in a buffer.
    pub(super) fn loaded(&self) -> &[u8] {
        let buffer = self.buffer.as_deref().unwrap_or_default();
        buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// So many of these bytes were written.
    pub(super) fn unload(&mut self, written: usize) {
        self.start += written;
        let made_to_measure = |buffer: &[u8]| !BufferPool::pools(buffer.len());
        if self.start == self.end && self.buffer.as_deref().is_some_and(made_to_measure) {
            self.release_buffer();
        }
    }

    /// Loads at most so many bytes that are there already; how many those are.
    pub(super) fn fill_now(&mut self, from: impl AsFd, most: usize) -> io::Result<usize> {
        let mut buffer = self.pools.buffers.take();
        let into = &mut buffer[..most];
        let read = recv(from, into, RecvFlags::DONTWAIT).map(|(read, _)| read);
        self.buffer = Some(buffer);
        match read {
            Ok(1..) => {}
            // An end is found again.
            Ok(_) | Err(Errno::AGAIN) => self.release_buffer(),
            Err(error) => return Err(error.into()),
        }
        self.end = read.unwrap_or(0);
        Ok(self.end)
    }

    /// Keeps what is loaded in no more memory than it needs.
    pub(super) fn shrink(&mut self) {
        let bytes: Box<[u8]> = self.loaded().into();
        self.release_buffer();
        if !bytes.is_empty() {
            self.end = bytes.len();
            self.buffer = Some(bytes);
        }
    }

    /// Nothing is loaded: the moment to change over to what suits the loads that came.
    fn choose(&mut self) {
        let enough = if self.large { FEW } else { FULL };
        if self.streak < enough {
            return;
        }
        self.streak = 0;
        if !self.large && self.lends_pages && !self.only_copies {
            self.pipe = self.pools.pipes.take();
        }
        self.large = !self.large && self.pipe.is_none();
        self.release_buffer();
    }

    /// The sink cannot be spliced to: what is in the pipe goes on through a buffer, which holds as much.
    fn unload_pipe(&mut self) -> io::Result<()> {
        self.only_copies = true;
        let Some(mut pipe) = self.pipe.take() else {
            return Ok(());
        };
        let mut bytes = vec![0; pipe.holds()];
        let mut end = 0;
        while end < bytes.len() {
            end += pipe.drain(|from| rustix::io::read(from, &mut bytes[end..]))?;
        }
        self.release_buffer();
        self.buffer = Some(bytes.into_boxed_slice());
        (self.start, self.end) = (0, end);
        Ok(())
    }

    /// Forgets what is loaded, and gives everything back.
    pub(super) fn release(&mut self) {
        self.release_buffer();
        self.pipe = None;
    }

    fn release_buffer(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(buffer) = self.buffer.take() {
            self.pools.buffers.give(buffer);
        }
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

fn cannot_splice(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn some(written: usize) -> Poll<io::Result<usize>> {
    if written == 0 {
        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
    }
    Poll::Ready(Ok(written))
}
