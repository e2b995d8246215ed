//! Two time limits that hyper does not have: for a request's head once its first byte came, and for a peer that does
//! not take its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::ConnectionLimits;

/// Whether a request is being answered; the service says so.
#[derive(Debug, Default)]
pub(super) struct Phase {
    answering: AtomicBool,
}

impl Phase {
    pub(super) fn request_begins(&self) {
        self.answering.store(true, Ordering::Relaxed);
    }

    pub(super) fn request_ends(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }
}

/// A stream that fails when its peer takes too long.
#[derive(Debug)]
pub(super) struct Guard<S> {
    stream: S,
    phase: Arc<Phase>,
    limits: ConnectionLimits,
    /// Bytes of a head have come, and its request has not begun.
    in_head: bool,
    head: Deadline,
    write: Deadline,
}

/// Runs from the first poll that found nothing until it is reset.
#[derive(Debug, Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    fn reset(&mut self) {
        self.0 = None;
    }

    fn poll<T>(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        sleep
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S> Guard<S> {
    pub(super) fn new(stream: S, phase: Arc<Phase>, limits: ConnectionLimits) -> Self {
        Self {
            stream,
            phase,
            limits,
            in_head: false,
            head: Deadline::default(),
            write: Deadline::default(),
        }
    }

    fn after_write<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            return self.write.poll(self.limits.write_stall, cx);
        }
        self.write.reset();
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if this.phase.answering.load(Ordering::Relaxed) {
            this.in_head = false;
            this.head.reset();
            return polled;
        }
        this.in_head |= buffer.filled().len() > before;
        match polled {
            Poll::Pending if this.in_head => this.head.poll(this.limits.head, cx),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.after_write(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.after_write(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.after_write(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.after_write(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn guarded() -> (
        Guard<tokio::io::DuplexStream>,
        Arc<Phase>,
        tokio::io::DuplexStream,
    ) {
        let (ours, theirs) = tokio::io::duplex(16);
        let phase = Arc::new(Phase::default());
        let limits = ConnectionLimits {
            head: Duration::from_millis(30),
            idle: Duration::from_secs(300),
            write_stall: Duration::from_millis(30),
        };
        (Guard::new(ours, Arc::clone(&phase), limits), phase, theirs)
    }

    #[tokio::test]
    async fn a_head_must_end_once_it_began() {
        let (mut guard, _phase, mut peer) = guarded();
        peer.write_all(b"GET").await.unwrap();
        let mut head = [0; 16];
        assert_eq!(guard.read(&mut head).await.unwrap(), 3);
        assert_eq!(
            guard.read(&mut head).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }

    #[tokio::test]
    async fn an_idle_or_answering_connection_may_be_silent() {
        let (mut guard, phase, mut peer) = guarded();
        let wait = Duration::from_millis(120);
        let mut byte = [0; 1];
        assert!(
            tokio::time::timeout(wait, guard.read(&mut byte))
                .await
                .is_err(),
            "idle"
        );
        peer.write_all(b"G").await.unwrap();
        guard.read_exact(&mut byte).await.unwrap();
        phase.request_begins();
        assert!(
            tokio::time::timeout(wait, guard.read(&mut byte))
                .await
                .is_err(),
            "answering"
        );
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut guard, _phase, _peer) = guarded();
        let error = guard.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
