//! One connection: bytes both ways, each direction by itself.
//!
//! - The end of one direction is passed on as a shutdown of the other side's writing half, and the other direction goes
//!   on for as long as it likes (half-close).
//! - At most one buffer a direction is in flight, and nothing is read before it is written: a slow reader slows its
//!   writer down.
//! - When one side breaks, both are aborted, but not before the survivor could read what had been delivered to it: an
//!   enclave that answers 413 and closes while the caller still sends would otherwise have its answer destroyed by the
//!   reset. So what the survivor sends is discarded until it closes, for a short while.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::buffer::BufferPool;

/// How long a silent connection is kept.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// No byte in either direction.
    pub idle: Duration,
    /// No byte in the direction that is left, after the other ended. Above the longest time a call may take.
    pub half_closed: Duration,
    /// No byte carried after one side broke.
    pub linger: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            half_closed: nacre_protocol::manifest::MAX_TIMEOUT + Duration::from_secs(30),
            linger: Duration::from_millis(500),
        }
    }
}

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// Both sides closed in order.
    Closed,
    /// One side broke: both are to be aborted.
    Broken(io::Error),
    /// Silence: both are to be aborted.
    Idle,
}

/// Carries bytes until the connection has ended. `carried` is told how many went in and out, whenever some did.
pub(crate) async fn carry<A, B>(
    caller: &mut A,
    enclave: &mut B,
    buffers: &BufferPool,
    patience: &Patience,
    mut carried: impl FnMut(u64, u64),
) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let mut tunnel = Tunnel {
        inward: Direction::new(buffers),
        outward: Direction::new(buffers),
        fault: None,
        last_progress: Instant::now(),
        patience,
    };
    let mut timer = std::pin::pin!(sleep_until(tunnel.deadline()));
    poll_fn(|cx| {
        let before = (tunnel.inward.moved, tunnel.outward.moved);
        let ended = tunnel.poll(cx, caller, enclave, timer.as_mut());
        let moved = (
            tunnel.inward.moved - before.0,
            tunnel.outward.moved - before.1,
        );
        if moved != (0, 0) {
            carried(moved.0, moved.1);
        }
        ended
    })
    .await
}

struct Tunnel<'a> {
    /// Caller to enclave.
    inward: Direction<'a>,
    /// Enclave to caller.
    outward: Direction<'a>,
    fault: Option<io::Error>,
    last_progress: Instant,
    patience: &'a Patience,
}

impl Tunnel<'_> {
    fn poll<A, B>(
        &mut self,
        cx: &mut Context<'_>,
        caller: &mut A,
        enclave: &mut B,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<End>
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            self.advance(cx, caller, enclave);
            if self.inward.phase == Phase::Done && self.outward.phase == Phase::Done {
                return Poll::Ready(self.fault.take().map_or(End::Closed, End::Broken));
            }
            let deadline = self.deadline();
            if Instant::now() >= deadline {
                return Poll::Ready(self.fault.take().map_or(End::Idle, End::Broken));
            }
            // Progress only moves the deadline away: the timer is set again when it fires, not on every byte.
            if timer.is_elapsed() || timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }

    fn advance<A, B>(&mut self, cx: &mut Context<'_>, caller: &mut A, enclave: &mut B)
    where
        A: AsyncRead + AsyncWrite + Unpin,
        B: AsyncRead + AsyncWrite + Unpin,
    {
        let before = (self.inward.state(), self.outward.state());
        let inward = self.inward.poll(cx, caller, enclave);
        let outward = self.outward.poll(cx, enclave, caller);
        // A side that cannot be read cannot be written either; the reverse does not hold.
        if matches!(inward, Some(Fault::Read(_))) && self.outward.give_up() {
            self.outward.poll(cx, enclave, caller);
        }
        if matches!(outward, Some(Fault::Read(_))) && self.inward.give_up() {
            self.inward.poll(cx, caller, enclave);
        }
        for fault in [inward, outward].into_iter().flatten() {
            let (Fault::Read(error) | Fault::Write(error)) = fault;
            self.fault.get_or_insert(error);
        }
        if before != (self.inward.state(), self.outward.state()) {
            self.last_progress = Instant::now();
        }
    }

    fn deadline(&self) -> Instant {
        let phases = [self.inward.phase, self.outward.phase];
        let carries = |phase: &Phase| matches!(phase, Phase::Copying | Phase::Closing);
        let patience = if self.fault.is_some() || !phases.iter().any(carries) {
            self.patience.linger
        } else if phases.iter().all(carries) {
            self.patience.idle
        } else {
            self.patience.half_closed
        };
        self.last_progress + patience
    }
}

/// What a direction does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Carries bytes.
    Copying,
    /// The source ended; the sink is being told.
    Closing,
    /// The sink is broken; what the source still sends is dropped.
    Discarding,
    /// Nothing more will come.
    Done,
}

/// Which half of a direction broke.
enum Fault {
    Read(io::Error),
    Write(io::Error),
}

struct Direction<'a> {
    phase: Phase,
    buffers: &'a BufferPool,
    buffer: Option<Box<[u8]>>,
    /// What of the buffer is still to be written.
    start: usize,
    end: usize,
    /// Bytes written to the sink.
    moved: u64,
}

impl<'a> Direction<'a> {
    fn new(buffers: &'a BufferPool) -> Self {
        Self {
            phase: Phase::Copying,
            buffers,
            buffer: None,
            start: 0,
            end: 0,
            moved: 0,
        }
    }

    /// Changes whenever there is progress; discarding is none.
    fn state(&self) -> (Phase, u64) {
        (self.phase, self.moved)
    }

    /// Stops writing; whether anything changed.
    fn give_up(&mut self) -> bool {
        let carries = matches!(self.phase, Phase::Copying | Phase::Closing);
        if carries {
            self.phase = if self.phase == Phase::Copying {
                Phase::Discarding
            } else {
                Phase::Done
            };
            self.release();
        }
        carries
    }

    /// Goes on until it must wait, is done or breaks. A fault is told once.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Option<Fault>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            match self.phase {
                Phase::Copying => match self.poll_drain(cx, to) {
                    Poll::Pending => return None,
                    Poll::Ready(Err(error)) => {
                        self.give_up();
                        return self.then_discard(cx, from, error);
                    }
                    Poll::Ready(Ok(())) => match self.poll_fill(cx, from) {
                        Poll::Pending => return None,
                        Poll::Ready(Ok(0)) => self.phase = Phase::Closing,
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(error)) => {
                            self.phase = Phase::Done;
                            return Some(Fault::Read(error));
                        }
                    },
                },
                Phase::Closing => match Pin::new(&mut *to).poll_shutdown(cx) {
                    Poll::Pending => return None,
                    Poll::Ready(result) => {
                        self.phase = Phase::Done;
                        // The sink left before it could be told that there is no more: nothing was lost.
                        return result
                            .err()
                            .filter(|e| e.kind() != io::ErrorKind::NotConnected)
                            .map(Fault::Write);
                    }
                },
                Phase::Discarding => match self.poll_fill(cx, from) {
                    Poll::Pending => return None,
                    Poll::Ready(Ok(n)) if n > 0 => {}
                    Poll::Ready(_) => {
                        self.phase = Phase::Done;
                        self.release();
                    }
                },
                Phase::Done => return None,
            }
        }
    }

    /// Registers interest in the source before the write fault is told.
    fn then_discard<R>(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut R,
        error: io::Error,
    ) -> Option<Fault>
    where
        R: AsyncRead + Unpin,
    {
        // `Discarding` writes nothing, so any sink serves.
        self.poll(cx, from, &mut tokio::io::sink());
        Some(Fault::Write(error))
    }

    fn poll_drain<W>(&mut self, cx: &mut Context<'_>, to: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        let Some(buffer) = &self.buffer else {
            return Poll::Ready(Ok(()));
        };
        while self.start < self.end {
            let left = &buffer[self.start..self.end];
            let written = ready!(Pin::new(&mut *to).poll_write(cx, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += written;
            self.moved += written as u64;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads into the empty buffer; gives it back if there is nothing to read now.
    fn poll_fill<R>(&mut self, cx: &mut Context<'_>, from: &mut R) -> Poll<io::Result<usize>>
    where
        R: AsyncRead + Unpin,
    {
        let buffer = self.buffer.get_or_insert_with(|| self.buffers.take());
        let mut read = ReadBuf::new(buffer);
        let polled = Pin::new(from).poll_read(cx, &mut read);
        let filled = read.filled().len();
        if polled.is_pending() || filled == 0 {
            self.release();
        }
        (self.start, self.end) = (0, filled);
        ready!(polled)?;
        Poll::Ready(Ok(filled))
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(buffer) = self.buffer.take() {
            self.buffers.give(buffer);
        }
    }
}

impl Drop for Direction<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
