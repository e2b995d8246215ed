//! Peers that do not come as far as HTTP. They keep the bytes of one connection.

use std::net::SocketAddr;

use nacre_client::Endpoint;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A peer for one connection.
#[derive(Debug)]
pub struct RawPeer {
    address: SocketAddr,
    received: JoinHandle<Vec<u8>>,
}

impl RawPeer {
    /// Takes whatever comes and says nothing.
    pub async fn silent() -> Self {
        Self::start(|_| Vec::new()).await
    }

    /// Speaks TLS 1.2 and nothing newer: chooses it in its answer to the client's first message (RFC 5246 §7.4.1.3).
    pub async fn tls12_only() -> Self {
        Self::start(|client_hello| {
            let session_id = &client_hello[43..][..1 + usize::from(client_hello[43])];
            let mut hello = vec![0x03, 0x03];
            hello.extend([7; 32]);
            hello.extend(session_id);
            // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, no compression, no extension.
            hello.extend([0xc0, 0x2b, 0x00, 0x00, 0x00]);
            let length = u8::try_from(hello.len()).unwrap();
            [
                &[0x16, 0x03, 0x03, 0x00, length + 4, 0x02, 0x00, 0x00, length][..],
                &hello,
            ]
            .concat()
        })
        .await
    }

    /// Closes the connection as soon as something came.
    pub async fn hanging_up() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = vec![0; 4096];
            let length = stream.read(&mut first).await.unwrap();
            first.truncate(length);
            first
        });
        Self { address, received }
    }

    async fn start(answer: impl FnOnce(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = record(&mut stream).await;
            stream.write_all(&answer(&all)).await.unwrap();
            // A peer that was reset has been told goodbye all the same.
            let _ = stream.read_to_end(&mut all).await;
            all
        });
        Self { address, received }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        self.address.to_string().parse().unwrap()
    }

    /// The content types of the TLS records that came, once the client has closed: 22 is handshake, 21 alert, 23 data.
    pub async fn record_types(self) -> Vec<u8> {
        let bytes = self.received.await.unwrap();
        let mut rest = &bytes[..];
        let mut types = Vec::new();
        while let [kind, _, _, high, low, after @ ..] = rest {
            types.push(*kind);
            rest = &after[usize::from(*high) << 8 | usize::from(*low)..];
        }
        assert!(rest.is_empty(), "whole records");
        types
    }
}

/// Reads one TLS record with its head.
async fn record(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record).await.unwrap();
    let length = usize::from(record[3]) << 8 | usize::from(record[4]);
    record.resize(5 + length, 0);
    stream.read_exact(&mut record[5..]).await.unwrap();
    record
}
