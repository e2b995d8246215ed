//! What a tunnel needs of the socket at each of its ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nacre_transport::{Ready, Stream};
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::pipes::Pipe;

/// A connected socket. Nothing here waits; what cannot be done now is `Pending`, and the task is woken when it can.
pub(crate) trait Side {
    /// Reads; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;
    /// Writes some of the bytes.
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    /// Says that no more will be written.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Whether many bytes go into a pipe for less than a copy of them costs.
    fn lends_pages(&self) -> bool;
    /// Moves bytes into an empty pipe; 0 is the end. `InvalidInput`: this socket cannot, and nothing was moved.
    fn poll_into_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>>;
    /// Moves bytes out of a pipe. `InvalidInput`: as above.
    fn poll_out_of_pipe(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>>;
}

impl Side for Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(self).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }

    /// TCP does. A Unix socket hands over page by page what a copy takes in one run, and vsock copies into new pages.
    fn lends_pages(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    fn poll_into_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Ready::Read, |socket| {
            let moved = pipe.fill(|end| {
                splice(
                    socket,
                    None,
                    end,
                    None,
                    Pipe::CAPACITY,
                    SpliceFlags::NONBLOCK,
                )
            })?;
            Ok(moved)
        })
    }

    fn poll_out_of_pipe(
        &mut self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        // Never more than there is: the kernel would take it for a promise and hold the last bytes back.
        let bytes = pipe.holds();
        self.poll_io(cx, Ready::Write, |socket| {
            let moved =
                pipe.drain(|end| splice(end, None, socket, None, bytes, SpliceFlags::NONBLOCK))?;
            Ok(moved)
        })
    }
}
