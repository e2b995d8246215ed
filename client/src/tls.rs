//! TLS 1.3 towards an enclave: the peer proves that it holds its certificate's key; who it is comes from evidence.

use std::sync::{Arc, OnceLock};

use nacre_protocol::evidence::EXPORTER_LABEL;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, PeerMisbehaved, SignatureScheme};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};

/// The configuration of attested connections: TLS 1.3 only, every connection a full handshake. Made once a process.
pub(crate) fn config() -> Result<Arc<ClientConfig>, Error> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let config = new_config()?;
    Ok(Arc::clone(CONFIG.get_or_init(|| config)))
}

fn new_config() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(PossessionOnly(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// RFC 9266 `tls-exporter`: 32 bytes that only the two ends of this connection know.
pub(crate) fn exporter(connection: &ClientConnection) -> Result<[u8; 32], Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, Some(b""))
}

/// SHA-256 of the SubjectPublicKeyInfo in the certificate that the peer showed.
pub(crate) fn spki_sha256(connection: &ClientConnection) -> Result<[u8; 32], Error> {
    let malformed = || Error::InvalidCertificate(rustls::CertificateError::BadEncoding);
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    let shown = shown.ok_or(Error::NoCertificatesPresented)?;
    let certificate = Certificate::from_der(shown).map_err(|_| malformed())?;
    let spki = certificate.tbs_certificate().subject_public_key_info();
    Ok(Sha256::digest(spki.to_der().map_err(|_| malformed())?).into())
}

/// Takes any certificate, but only with a handshake signature by its key. The certificate is self-signed: what vouches
/// for the key is the evidence that is checked next, before anything is sent.
#[derive(Debug)]
struct PossessionOnly(Arc<CryptoProvider>);

impl ServerCertVerifier for PossessionOnly {
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
        Err(PeerMisbehaved::SelectedUnofferedCipherSuite.into())
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
