//! The enclave's init says that it runs: one byte to the parent's port 9000, and the same byte back.

use std::time::Duration;

use nacre_protocol::vsock::HEARTBEAT;
use nacre_transport::{Address, BindError, Listener};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::backoff::pause;
use crate::launcher::init_status::is_from;

/// How long one connection may take for its byte.
const BYTE_WITHIN: Duration = Duration::from_secs(5);
/// Between tries to listen where another launch of this host still does, and after a failed `accept`.
const PAUSE: Duration = Duration::from_millis(100);
/// How long another launch of this host may keep the port.
const OTHERS: Duration = Duration::from_secs(120);

/// How long `nitro-cli` waits: a minute for each 6 GiB of image and one for each 100 GiB of memory, each begun one whole.
pub(super) fn patience(image: u64, memory: u64) -> Duration {
    let minutes = |bytes: u64, each: u64| 60 * bytes.div_ceil(each).max(1);
    Duration::from_secs(minutes(image, 6 << 30) + minutes(memory, 100 << 30))
}

/// Listens for the heartbeat. All enclaves of a host have one port for it, so that boots of two nodes take turns.
pub(super) async fn listen(address: &Address) -> Result<Listener, BindError> {
    let deadline = Instant::now() + OTHERS;
    loop {
        match Listener::bind(address).await {
            Err(BindError::InUse(_)) if Instant::now() < deadline => pause(PAUSE).await,
            other => return other,
        }
    }
}

/// Waits until this guest has said that it runs.
pub(super) async fn heard(listener: &Listener, guest: u32) {
    loop {
        let Ok(mut stream) = listener.accept().await else {
            pause(PAUSE).await;
            continue;
        };
        if !is_from(&stream, Some(guest)) {
            continue;
        }
        let exchange = async {
            let byte = stream.read_u8().await?;
            if byte != HEARTBEAT {
                return Ok(false);
            }
            stream.write_u8(byte).await?;
            std::io::Result::Ok(true)
        };
        match timeout_at(Instant::now() + BYTE_WITHIN, exchange).await {
            Ok(Ok(true)) => return,
            _ => tracing::warn!("something else than a heartbeat on its port"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_that_of_nitro_cli() {
        let minutes = |image, memory| patience(image, memory).as_secs() / 60;
        assert_eq!(minutes(90 << 20, 512 << 20), 2);
        assert_eq!(minutes(6 << 30, 100 << 30), 2);
        assert_eq!(minutes((6 << 30) + 1, (100 << 30) + 1), 4);
    }
}
