//! Callers: a real client's first message, and then bytes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::world::DEADLINE;

/// What a client says first who wants to speak with this name; an IP address is none.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    hello_with(name, &[])
}

pub(crate) fn hello_with(name: &str, protocols: &[Vec<u8>]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.to_vec();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

pub(crate) fn iris() -> Vec<u8> {
    hello("iris.fn.example.org")
}

/// Connects from one of this machine's many addresses.
pub(crate) async fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    try_connect_from(source, to).await.unwrap()
}

/// The same for one of a crowd: a reset may come before it knows that it is connected.
pub(crate) async fn try_connect_from(source: [u8; 4], to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::from(source), 0))?;
    socket.connect(to).await
}

/// Connects and says this.
pub(crate) async fn say(to: SocketAddr, first: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(first).await.unwrap();
    stream
}

/// The next byte; `None` is an end in order or a reset.
pub(crate) async fn next_byte(stream: &mut TcpStream) -> Option<u8> {
    let read = timeout(DEADLINE, stream.read_u8()).await;
    read.unwrap().ok()
}

/// Everything until the end, which must be in order.
pub(crate) async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    read.unwrap().unwrap();
    bytes
}

/// Which node answers a new caller of `iris`.
pub(crate) async fn who_answers(gateway: SocketAddr) -> Option<u8> {
    let mut caller = say(gateway, &iris()).await;
    next_byte(&mut caller).await
}
