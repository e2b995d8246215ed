//! Loads for a gateway: callers who say a real ClientHello first, and the far end that they reach by it.
//!
//! Plain blocking sockets and threads, so that the same load meets every gateway. The far end takes a PROXY protocol
//! header and the hello, answers with one byte, and then does what the next byte says, if one comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use nacre_transport::proxy_header::{Parsed, parse};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::samples::Samples;

/// Connections that a far end serves at once.
const FAR_END_THREADS: usize = 64;
/// Bytes of one read or write of bulk.
const CHUNK: usize = 256 * 1024;
/// A load that stands still this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the far end does with a connection, by the byte that follows its answer.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Ask {
    Swallow = b's',
    Pour = b'p',
}

/// The first message of a client that wants this name: as its TLS library sends it.
pub fn hello(name: &str) -> anyhow::Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned())?;
    let mut client = ClientConnection::new(Arc::new(config), name)?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes)?;
    Ok(bytes)
}

/// A far end on TCP, for as long as the process lives; where it listens. `hello` is what every caller says.
pub fn serve(hello: usize) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("the far end's socket")?;
    let address = listener.local_addr()?;
    let listener = Arc::new(listener);
    for _ in 0..FAR_END_THREADS {
        let listener = Arc::clone(&listener);
        std::thread::spawn(move || {
            let mut chunk = vec![0; CHUNK];
            loop {
                // What goes wrong with one connection is seen by the load at its other end.
                if let Ok((mut stream, _)) = listener.accept() {
                    let _ = answer(&mut stream, hello, &mut chunk);
                }
            }
        });
    }
    Ok(address)
}

fn answer(stream: &mut TcpStream, hello: usize, chunk: &mut [u8]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut header = Vec::new();
    while let Parsed::Needs(needs) = parse(&header)? {
        let known = header.len();
        header.resize(needs, 0);
        stream.read_exact(&mut header[known..])?;
    }
    let mut said = vec![0; hello];
    stream.read_exact(&mut said)?;
    stream.write_all(b"!")?;
    let mut ask = [0];
    stream.read_exact(&mut ask)?;
    if ask[0] == Ask::Pour as u8 {
        loop {
            stream.write_all(chunk)?;
        }
    }
    while stream.read(chunk)? > 0 {}
    Ok(stream.write_all(b"!")?)
}

/// A caller's side of a gateway: where it is, and what is said first.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where callers connect.
    pub address: SocketAddr,
    /// The first message.
    pub hello: Arc<Vec<u8>>,
}

impl Door {
    /// Opens a connection, and waits until it has been answered.
    fn open(&self) -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&self.hello)?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        ensure!(answer == *b"!", "an alert instead of an answer");
        Ok(stream)
    }

    fn open_and_ask(&self, ask: Ask) -> anyhow::Result<TcpStream> {
        let mut stream = self.open()?;
        stream.write_all(&[ask as u8])?;
        Ok(stream)
    }

    /// Whether callers are brought to the far end.
    pub fn answers(&self) -> bool {
        self.open().is_ok()
    }

    /// Bytes a second from caller to far end.
    pub fn pour_in(&self, window: Duration) -> anyhow::Result<f64> {
        let mut stream = self.open_and_ask(Ask::Swallow)?;
        let chunk = vec![0; CHUNK];
        let (begun, mut sent) = (Instant::now(), 0);
        while begun.elapsed() < window {
            stream.write_all(&chunk)?;
            sent += CHUNK as u64;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_exact(&mut [0])?;
        Ok(sent as f64 / begun.elapsed().as_secs_f64())
    }

    /// Bytes a second from far end to caller.
    pub fn pour_out(&self, window: Duration) -> anyhow::Result<f64> {
        let mut stream = self.open_and_ask(Ask::Pour)?;
        let mut chunk = vec![0; CHUNK];
        let (begun, mut got) = (Instant::now(), 0);
        while begun.elapsed() < window {
            match stream.read(&mut chunk)? {
                0 => return Err(anyhow!("the stream ended early")),
                read => got += read as u64,
            }
        }
        Ok(got as f64 / begun.elapsed().as_secs_f64())
    }

    /// Connections one after the other by so many callers at once, each from `connect` to the first byte back; how many
    /// a second, and how long each took.
    pub fn new_connections(
        &self,
        callers: usize,
        window: Duration,
    ) -> anyhow::Result<(f64, Samples)> {
        let begun = Instant::now();
        let threads: Vec<_> = (0..callers)
            .map(|_| {
                let door = self.clone();
                std::thread::spawn(move || -> anyhow::Result<Samples> {
                    let mut samples = Samples::default();
                    while begun.elapsed() < window {
                        let opened = Instant::now();
                        door.open()?;
                        samples.push(opened.elapsed());
                    }
                    Ok(samples)
                })
            })
            .collect();
        let mut all = Samples::default();
        for thread in threads {
            let samples = thread.join();
            all.extend(samples.map_err(|_| anyhow!("a load thread panicked"))??);
        }
        let rate = all.len() as f64 / begun.elapsed().as_secs_f64();
        Ok((rate, all))
    }
}
