//! The host's end of the way out, as an enemy would have it: what it does depends on the name it is asked for.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;

const OPEN: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Where connections really go.
#[derive(Clone, Copy)]
pub(crate) struct Servers {
    /// The one that the names mean.
    pub(crate) right: SocketAddr,
    /// One with a certificate by the right authority for other names.
    pub(crate) elsewhere: SocketAddr,
    /// One of the host's, with the right names by its own authority.
    pub(crate) own: SocketAddr,
    /// One with the right names in a certificate that has ended.
    pub(crate) expired: SocketAddr,
}

/// A host that lies; ends with this value.
pub(crate) struct Host {
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    asked: Arc<Mutex<Vec<String>>>,
    /// What a server once sent, encrypted.
    recorded: Mutex<Vec<u8>>,
}

impl Host {
    pub(crate) fn start(socket: &Path, servers: Servers) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let shared = Arc::new(Shared::default());
        let asked = Arc::clone(&shared.asked);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&shared);
                tokio::spawn(async move { shared.serve(stream, servers).await });
            }
        });
        Self { asked, serving }
    }

    /// The names that the enclave asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    /// One connection. Where the enclave goes away, there is nothing left to lie about.
    async fn serve(&self, mut enclave: UnixStream, servers: Servers) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(enclave.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let target = head
            .strip_prefix("CONNECT ")
            .and_then(|rest| rest.split_once(' '));
        let target = target.unwrap_or_else(|| panic!("{head:?}")).0;
        assert_eq!(
            head,
            format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n")
        );
        self.asked.lock().unwrap().push(target.to_owned());
        match target.split('.').next().unwrap() {
            "elsewhere" => self.carry(enclave, servers.elsewhere, Lie::None).await,
            "own-certificate" => self.carry(enclave, servers.own, Lie::None).await,
            "expired" => self.carry(enclave, servers.expired, Lie::None).await,
            "cut" => self.carry(enclave, servers.right, Lie::Cut).await,
            "flipped" => self.carry(enclave, servers.right, Lie::Flip).await,
            "dripping" => self.carry(enclave, servers.right, Lie::Drip).await,
            "recorded" => self.carry(enclave, servers.right, Lie::Record).await,
            "replayed" => {
                let recorded = self.recorded.lock().unwrap().clone();
                assert!(recorded.len() > 1000, "nothing was recorded");
                say(&mut enclave, OPEN).await?;
                // As the server did: after the enclave has begun to speak.
                enclave.read_u8().await.ok()?;
                say(&mut enclave, &recorded).await?;
                wait_for_end(enclave).await
            }
            "refused" => {
                let no = b"HTTP/1.1 403 Forbidden\r\nnacre-error: egress-name-not-allowed\r\ncontent-length: 0\r\n\r\n";
                say(&mut enclave, no).await
            }
            "silent" => wait_for_end(enclave).await,
            "closed" => None,
            "early" => {
                say(&mut enclave, &[OPEN, b"\x16\x03\x03"].concat()).await?;
                wait_for_end(enclave).await
            }
            "endless" => {
                say(&mut enclave, b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    say(&mut enclave, b"x-filler: and so on and so on\r\n").await?;
                }
            }
            "garbage" => say(&mut enclave, b"\x00\x01HTTP/1.1 200 OK\r\n\r\n").await,
            _ => self.carry(enclave, servers.right, Lie::None).await,
        }
    }

    /// Carries to a server, and changes what comes back.
    async fn carry(&self, mut enclave: UnixStream, server: SocketAddr, lie: Lie) -> Option<()> {
        let mut server = TcpStream::connect(server).await.ok()?;
        say(&mut enclave, OPEN).await?;
        let (mut from_enclave, mut to_enclave) = enclave.split();
        let (mut from_server, mut to_server) = server.split();
        let outward = async {
            // Whatever ends it ends only this direction.
            let _ = tokio::io::copy(&mut from_enclave, &mut to_server).await;
            let _ = to_server.shutdown().await;
        };
        let inward = async {
            let mut drip = tokio::time::interval(Duration::from_millis(200));
            let mut carried = 0;
            let mut buffer = [0; 1024];
            loop {
                let most = if lie == Lie::Drip && carried > HANDSHAKE {
                    1
                } else {
                    buffer.len()
                };
                let count = from_server.read(&mut buffer[..most]).await.ok()?;
                if count == 0 {
                    return to_enclave.shutdown().await.ok();
                }
                let bytes = &mut buffer[..count];
                match lie {
                    Lie::Cut if carried > HANDSHAKE => return to_enclave.shutdown().await.ok(),
                    Lie::Flip if carried > HANDSHAKE => bytes[count / 2] ^= 1,
                    Lie::Drip if carried > HANDSHAKE => drop(drip.tick().await),
                    Lie::Record => self.recorded.lock().unwrap().extend_from_slice(bytes),
                    _ => {}
                }
                carried += count;
                to_enclave.write_all(bytes).await.ok()?;
            }
        };
        tokio::join!(outward, inward).1
    }
}

/// Beyond so many bytes of a server the handshake is over; an answer with a model is longer.
const HANDSHAKE: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lie {
    None,
    Cut,
    Flip,
    Drip,
    Record,
}

async fn say(enclave: &mut UnixStream, bytes: &[u8]) -> Option<()> {
    enclave.write_all(bytes).await.ok()
}

async fn wait_for_end(mut enclave: UnixStream) -> Option<()> {
    tokio::io::copy(&mut enclave, &mut tokio::io::sink())
        .await
        .ok()
        .map(drop)
}
