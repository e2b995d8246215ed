//! Saying no before there is TLS: an alert in a plain record, which every client shows as a reason.

use std::time::Duration;

use nacre_transport::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// For telling it, and for what the caller still sends.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes that are read after it, so that closing does not reset the connection before the alert was read.
const LEFT: usize = 64 * 1024;

/// A fatal alert (RFC 8446, §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Alert {
    /// The first message is none, or too long.
    DecodeError = 50,
    /// Nothing is wrong with the caller.
    InternalError = 80,
    /// Nobody here has that name.
    UnrecognizedName = 112,
}

impl Alert {
    /// Content type, TLS 1.2's version as every plain record has it, length; level fatal, description.
    fn record(self) -> [u8; 7] {
        [21, 3, 3, 0, 2, 2, self as u8]
    }

    /// Sends it and ends the connection.
    pub(crate) async fn send(self, caller: &mut Stream) {
        // A caller who is not there to hear it needs no other one.
        let _ = timeout(PATIENCE, self.send_and_end(caller)).await;
    }

    async fn send_and_end(self, caller: &mut Stream) -> std::io::Result<()> {
        caller.write_all(&self.record()).await?;
        caller.shutdown().await?;
        let (mut bytes, mut left) = ([0; 2048], LEFT);
        while left > 0 {
            match caller.read(&mut bytes).await? {
                0 => return Ok(()),
                read => left = left.saturating_sub(read),
            }
        }
        Ok(())
    }
}
