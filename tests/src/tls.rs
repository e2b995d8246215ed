//! A TLS connection to an enclave whose certificate nobody checks, for bytes that no client sends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};

use crate::http::Answer;

/// Longest wait for bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Debug)]
pub struct RawTls {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl RawTls {
    /// Connects to `host:port`.
    pub fn connect(endpoint: &str) -> anyhow::Result<Self> {
        let config = takes_anyone(&[&rustls::version::TLS13])?;
        let tcp = TcpStream::connect(endpoint)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from("localhost")?;
        let tls = ClientConnection::new(Arc::new(config), name)?;
        Ok(Self {
            stream: StreamOwned::new(tls, tcp),
        })
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(bytes)?;
        Ok(self.stream.flush()?)
    }

    /// Reads one answer.
    pub fn answer(&mut self) -> anyhow::Result<Answer> {
        Answer::read(&mut self.stream)
    }

    /// Says that nothing more comes from here, as TLS does, and leaves the other direction open.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        Ok(self.stream.sock.shutdown(std::net::Shutdown::Write)?)
    }

    /// Whether the peer has closed, once it does or [`PATIENCE`] is over.
    pub fn peer_closes(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => !matches!(
                error.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ),
        }
    }
}

/// Sends a POST with a JSON body on a connection of its own.
pub fn post(endpoint: &str, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
    let mut connection = RawTls::connect(endpoint)?;
    connection.send(&post_head(path, body.len() as u64))?;
    connection.send(body)?;
    connection.answer()
}

/// The head of a POST whose body has, or claims to have, this length.
pub fn post_head(path: &str, length: u64) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// A configuration with these versions that takes every certificate whose key signed the handshake.
pub fn takes_anyone(versions: &[&'static SupportedProtocolVersion]) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// Takes every certificate whose key signed the handshake.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
