//! Nodes that are played: they take a connection as a host does, and then do as they are told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nacre_gateway::hello;
use nacre_transport::proxy_header::{Parsed, parse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What a node does with a caller's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends its letter, then everything back that comes.
    Answers(u8),
    /// The same after more time than nodes have while there are others.
    AnswersLate(u8),
    /// Sends its letter, and resets.
    AnswersAndResets(u8),
    /// Reads the hello, and ends in order.
    Ends,
    /// Reads the hello, and resets.
    Resets,
    /// Reads the hello, and says nothing.
    Hangs,
}

/// A connection as the node saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The caller, by the PROXY protocol.
    pub(crate) caller: Option<SocketAddr>,
    pub(crate) hello: Vec<u8>,
}

pub(crate) struct PlayedNode {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    serving: JoinHandle<()>,
}

impl PlayedNode {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), manner).await
    }

    pub(crate) async fn start_on(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let of_all = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, manner, Arc::clone(&of_all)));
            }
        });
        Self {
            address,
            seen,
            serving,
        }
    }

    /// Callers' connections so far; probes are none.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Stops listening; gives where it was.
    pub(crate) async fn kill(self) -> SocketAddr {
        self.serving.abort();
        let _ = self.serving.await;
        self.address
    }
}

/// Where nobody listens.
pub(crate) async fn nowhere() -> SocketAddr {
    let node = PlayedNode::start(Manner::Ends).await;
    node.kill().await
}

async fn serve(mut stream: TcpStream, manner: Manner, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut header = Vec::new();
    let caller = loop {
        match parse(&header).unwrap() {
            Parsed::Header(header) => break header.source,
            Parsed::Needs(needs) => {
                let known = header.len();
                header.resize(needs, 0);
                if stream.read_exact(&mut header[known..]).await.is_err() {
                    return;
                }
            }
        }
    };
    let mut bytes = Vec::new();
    while hello::parse(&bytes).is_err() {
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            // A probe.
            return;
        }
    }
    let hello = bytes;
    seen.lock().unwrap().push(Seen { caller, hello });
    if let Manner::AnswersLate(_) = manner {
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
    }
    match manner {
        Manner::Answers(letter) | Manner::AnswersLate(letter) => {
            if stream.write_all(&[letter]).await.is_ok() {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            }
        }
        Manner::AnswersAndResets(letter) => {
            let _ = stream.write_all(&[letter]).await;
            // The letter is on its way before the reset, which would overtake it.
            let _ = stream.read(&mut [0]).await;
            let _ = stream.set_zero_linger();
        }
        Manner::Ends => {}
        Manner::Resets => drop(stream.set_zero_linger()),
        Manner::Hangs => drop(stream.read(&mut [0]).await),
    }
}
