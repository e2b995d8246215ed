//! Asking a node whether it would answer, without a handshake.

use std::time::Duration;

use nacre_transport::proxy_header::LOCAL_HEADER;
use nacre_transport::{Address, Stream, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prober {
    /// Until the answer is there.
    pub(crate) within: Duration,
    /// Whether the node expects a PROXY protocol header; a probe's says that it comes for nobody.
    pub(crate) proxy_protocol: bool,
}

impl Prober {
    /// Connects, ends its direction, and waits for the node to end the other one in order. A host whose enclave is away
    /// accepts as well, but then resets: so this is an answer of the enclave, at the cost of an `accept`.
    pub(crate) async fn probe(&self, address: &Address) -> bool {
        let deadline = Instant::now() + self.within;
        let Ok(stream) = connect(address, deadline).await else {
            return false;
        };
        let asked = timeout_at(deadline, self.ask(stream)).await;
        asked.is_ok_and(|done| done.is_ok())
    }

    async fn ask(&self, mut stream: Stream) -> std::io::Result<()> {
        if self.proxy_protocol {
            stream.write_all(&LOCAL_HEADER).await?;
        }
        stream.shutdown().await?;
        // Whether it sends an alert before it closes is its own affair.
        stream.read(&mut [0; 64]).await.map(drop)
    }
}
