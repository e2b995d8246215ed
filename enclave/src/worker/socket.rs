//! The worker's end of the socket: blocking, one frame at a time.

use std::io::{self, BufReader, IoSlice, Read};

use super::wire::{HEADER_LEN, Header, Message, WireError};

/// Why no frame came or went.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The socket failed, or ended within a frame.
    #[error("the supervisor's socket failed: {0}")]
    Io(#[from] io::Error),
    /// The bytes are no frame.
    #[error("the supervisor broke the protocol: {0}")]
    Wire(#[from] WireError),
}

/// Frames over standard input.
#[derive(Debug)]
pub struct Socket {
    reader: BufReader<Stdin>,
}

impl Default for Socket {
    fn default() -> Self {
        Socket::new()
    }
}

impl Socket {
    /// The socket that the supervisor gave.
    pub fn new() -> Self {
        Socket {
            reader: BufReader::with_capacity(64 << 10, Stdin),
        }
    }

    /// The next message and the length of its body; `None` where the peer has closed between frames.
    pub fn receive(&mut self) -> Result<Option<(Message, u64)>, SocketError> {
        let mut header = [0; HEADER_LEN];
        // One byte by itself tells a closed socket from a frame that is cut short.
        if self.reader.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        self.reader.read_exact(&mut header[1..])?;
        let header = Header::decode(&header, u64::MAX)?;
        let mut meta = vec![0; header.meta_len];
        self.reader.read_exact(&mut meta)?;
        Ok(Some((Message::decode(&header, &meta)?, header.body_len)))
    }

    /// The body of the message just received; all of it has to be read.
    pub fn body(&mut self, length: u64) -> io::Take<&mut BufReader<Stdin>> {
        self.reader.by_ref().take(length)
    }

    /// Sends a message and the parts of its body.
    pub fn send(&mut self, message: &Message, body: &[&[u8]]) -> Result<(), SocketError> {
        let head = message.encode()?;
        let mut parts: Vec<IoSlice<'_>> = std::iter::once(head.as_slice())
            .chain(body.iter().copied())
            .map(IoSlice::new)
            .collect();
        let mut rest = parts.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            // The kernel takes 1024 parts at a time.
            let some = rest.len().min(1024);
            match rustix::io::writev(io::stdin(), &rest[..some]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(())
    }
}

/// Standard input without the standard library's own buffer and lock.
#[derive(Debug)]
pub struct Stdin;

impl Read for Stdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(io::stdin(), buffer)?)
    }
}
