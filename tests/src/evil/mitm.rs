//! A host that does not carry bytes but reads them: it ends TLS with a key that it has, opens TLS to the enclave, and
//! copies what it decrypts both ways, evidence and all.

use std::net::SocketAddr;
use std::sync::Arc;

use nacre_client::Endpoint;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::enclave::TlsIdentity;
use super::log::Log;
use super::server::server_config;

/// A man in the middle. It ends with this value.
#[derive(Debug)]
pub struct Mitm {
    /// What it read of clients' bytes.
    pub log: Arc<Log>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Mitm {
    /// Stands before the enclave at `target` with this key.
    pub async fn start(identity: &TlsIdentity, target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log::default());
        let acceptor = TlsAcceptor::from(server_config(identity));
        let serving = tokio::spawn(serve(listener, acceptor, target, Arc::clone(&log)));
        Self {
            log,
            address,
            serving,
        }
    }

    /// Where clients are lured.
    pub fn endpoint(&self) -> Endpoint {
        self.address.to_string().parse().unwrap()
    }
}

impl Drop for Mitm {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, target: SocketAddr, log: Arc<Log>) {
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        connections.spawn(connection(tcp, acceptor.clone(), target, Arc::clone(&log)));
    }
}

async fn connection(tcp: TcpStream, acceptor: TlsAcceptor, target: SocketAddr, log: Arc<Log>) {
    let _open = log.opened();
    let Ok(tls) = acceptor.accept(tcp).await else {
        return;
    };
    let mut client = log.record(tls);
    let connector = TlsConnector::from(gullible());
    let upstream = TcpStream::connect(target).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut enclave = connector.connect(name, upstream).await.unwrap();
    // However it ends: the test looks at what came.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut enclave).await;
}

/// Trusts every peer.
fn gullible() -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
        .with_no_client_auth();
    Arc::new(config)
}

#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
