//! Callers who take what they can get, all from one address of their own, 127.0.0.2, and on a thread of their own, so
//! that they are in nobody's way but where everybody's connections meet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::takes_anyone;

/// Where they come from.
const FROM: &str = "127.0.0.2:0";
/// A question for evidence; the nonce's value is of no importance to who does not check the answer.
const ASK: &[u8] = b"GET /.well-known/nacre/attestation?nonce=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nhost: e\r\n\r\n";

/// What they do, with so many connections at once. Who loses one makes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Ask for evidence on the same connections, again and again.
    AskInALoop(usize),
    /// Connect, ask once, close, and begin again.
    ConnectInALoop(usize),
    /// Connect and say nothing.
    SayNothing(usize),
    /// Ask and ask, and never read an answer.
    NeverRead(usize),
}

/// Attackers at work, until dropped, which must not happen within a runtime.
#[derive(Debug)]
pub struct Attackers {
    seen: Arc<Seen>,
    _runtime: Runtime,
}

/// What happened to them.
#[derive(Debug, Default)]
struct Seen {
    connected: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Attackers {
    /// Lets them loose on `endpoint`.
    pub fn start(endpoint: SocketAddr, attack: Attack) -> anyhow::Result<Self> {
        let (Attack::AskInALoop(count)
        | Attack::ConnectInALoop(count)
        | Attack::SayNothing(count)
        | Attack::NeverRead(count)) = attack;
        let seen = Arc::new(Seen::default());
        let config = Arc::new(takes_anyone(&[&TLS13])?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        for _ in 0..count {
            let one = One {
                endpoint,
                config: Arc::clone(&config),
                seen: Arc::clone(&seen),
            };
            runtime.spawn(async move {
                loop {
                    // However it ended, it begins again: but not without letting others run.
                    let _ = one.attack(attack).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        Ok(Self {
            seen,
            _runtime: runtime,
        })
    }

    /// TCP connections that were made.
    pub fn connected(&self) -> u64 {
        self.seen.connected.load(Ordering::Relaxed)
    }

    /// Questions that were answered with evidence.
    pub fn answered(&self) -> u64 {
        self.seen.answered.load(Ordering::Relaxed)
    }

    /// Questions that were answered with a refusal.
    pub fn refused(&self) -> u64 {
        self.seen.refused.load(Ordering::Relaxed)
    }
}

struct One {
    endpoint: SocketAddr,
    config: Arc<ClientConfig>,
    seen: Arc<Seen>,
}

impl One {
    async fn attack(&self, attack: Attack) -> anyhow::Result<()> {
        match attack {
            Attack::AskInALoop(_) => {
                let mut stream = self.tls().await?;
                loop {
                    self.ask(&mut stream).await?;
                }
            }
            Attack::ConnectInALoop(_) => self.ask(&mut self.tls().await?).await,
            Attack::SayNothing(_) => {
                let mut stream = self.tcp().await?;
                // Ends when the other side does.
                stream.read_u8().await?;
                Ok(())
            }
            Attack::NeverRead(_) => {
                let mut stream = self.tls().await?;
                loop {
                    stream.write_all(ASK).await?;
                }
            }
        }
    }

    async fn tcp(&self) -> anyhow::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(FROM.parse()?)?;
        let stream = socket.connect(self.endpoint).await?;
        self.seen.connected.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn tls(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost")?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(connector.connect(name, self.tcp().await?).await?)
    }

    async fn ask(&self, stream: &mut TlsStream<TcpStream>) -> anyhow::Result<()> {
        stream.write_all(ASK).await?;
        let counter = match read_answer(stream).await? {
            true => &self.seen.answered,
            false => &self.seen.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Reads one answer past; whether its status is 200.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<bool> {
    let mut answer = Vec::with_capacity(16 * 1024);
    loop {
        anyhow::ensure!(stream.read_buf(&mut answer).await? > 0, "it closed");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_length = name.eq_ignore_ascii_case("content-length");
            is_length.then(|| value.trim().parse::<usize>().ok())?
        });
        if answer.len() >= head.len() + 4 + length.unwrap_or(0) {
            return Ok(head.starts_with("HTTP/1.1 200"));
        }
    }
}
