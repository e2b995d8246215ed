//! Waiting for the guest's word that it runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nacre_protocol::vsock::{HEARTBEAT, HEARTBEAT_PORT};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::socket::{BindError, Socket};

/// How long one connection may take over its one byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parent's side of the heartbeat: a socket that is there until the guest has said that it runs.
#[derive(Debug)]
pub struct Heartbeat(Socket);

impl Heartbeat {
    /// Listens where the guest of the hybrid socket `vsock` will say so.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn bind(vsock: &Path) -> Result<Self, BindError> {
        Ok(Self(Socket::bind(&listening(vsock))?))
    }

    /// Returns when the guest has sent the byte and was sent it back.
    pub async fn received(self) {
        loop {
            let Ok(mut stream) = self.0.accept().await else {
                continue;
            };
            let exchange = async {
                let heard = stream.read_u8().await? == HEARTBEAT;
                if heard {
                    stream.write_u8(HEARTBEAT).await?;
                }
                Ok::<_, std::io::Error>(heard)
            };
            if matches!(timeout(PATIENCE, exchange).await, Ok(Ok(true))) {
                return;
            }
        }
    }
}

/// Where the parent listens for the guest's connections to the heartbeat's port.
fn listening(vsock: &Path) -> PathBuf {
    let mut path = vsock.as_os_str().to_owned();
    path.push(format!("_{HEARTBEAT_PORT}"));
    path.into()
}
