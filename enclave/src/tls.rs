//! TLS 1.3 and nothing else, with a certificate that carries evidence (DESIGN §3.2, step 1).
//!
//! No tickets, no stored sessions, no early data: every connection is a full handshake, so that every connection has
//! an exporter of its own. The certificate is replaced while connections go on; the key stays for the boot.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use nacre_protocol::dice::{CertificateEvidence, EVIDENCE_OID};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::pkcs8::EncodePrivateKey as _;
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::clock::AttestedClock;
use crate::freshness::attest;
use crate::identity::Identity;
use crate::nsm::document::DocumentTimes;
use crate::nsm::{NsmError, NsmHandle};

/// The certificate is made anew this often, and before the document's leaf ends.
const REISSUE: Duration = Duration::from_secs(3600);
/// How long before the leaf's end.
const MARGIN: Duration = Duration::from_secs(300);
/// How soon it is tried again when the module gave no document.
const RETRY: Duration = Duration::from_secs(30);
/// Clients' clocks may be behind by this much.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// No certificate, or no TLS with it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The module gave no document to put into the certificate.
    #[error("no document for the certificate: {0}")]
    Nsm(#[from] NsmError),
    /// The certificate cannot be written.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The key cannot be handed to the TLS library.
    #[error("the TLS key cannot be used: {0}")]
    Key(#[from] p256::pkcs8::Error),
    /// The TLS library refuses.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The enclave's certificate, current and to come.
pub struct Certificates {
    nsm: NsmHandle,
    identity: Arc<Identity>,
    clock: Arc<AttestedClock>,
    key: CertificateKey,
    tls_key: Arc<dyn rustls::sign::SigningKey>,
    current: Arc<CurrentCertificate>,
}

impl Certificates {
    /// Takes the key and makes the first certificate. Returns when it wants to be made anew.
    pub async fn issue_first(
        key: SigningKey,
        nsm: NsmHandle,
        identity: Arc<Identity>,
        clock: Arc<AttestedClock>,
    ) -> Result<(Self, Duration), TlsError> {
        let pkcs8 = key.to_pkcs8_der()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pkcs8.as_bytes()));
        let tls_key = aws_lc_rs::sign::any_ecdsa_type(&der)?;
        let certificates = Self {
            nsm,
            identity,
            clock,
            key: CertificateKey::new(key),
            tls_key,
            current: Arc::default(),
        };
        let next = certificates.reissue().await?;
        Ok((certificates, next))
    }

    /// The configuration of the public listener, with whatever certificate is current.
    pub fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_no_client_auth()
                .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Makes the certificate anew for as long as the enclave runs.
    pub async fn keep_current(self, mut next: Duration) {
        loop {
            tokio::time::sleep_until(tokio::time::Instant::now() + next).await;
            next = self.reissue().await.unwrap_or_else(|error| {
                tracing::error!(%error, "the certificate was not renewed");
                RETRY
            });
        }
    }

    async fn reissue(&self) -> Result<Duration, TlsError> {
        let (document, times) = attest(&self.nsm, &self.identity, &self.clock, None).await?;
        let certificate = self.certificate(document, times)?;
        let certified =
            CertifiedKey::new(vec![certificate.der().clone()], Arc::clone(&self.tls_key));
        *self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(next_issue(times))
    }

    fn certificate(
        &self,
        document: Vec<u8>,
        times: DocumentTimes,
    ) -> Result<rcgen::Certificate, rcgen::Error> {
        let evidence = CertificateEvidence {
            document,
            statement: self.identity.encoded().to_vec(),
        };
        let boot = self.identity.boot_id();
        // Nobody resolves the name: clients know the enclave by its evidence. `.invalid` is RFC 6761's.
        let name = format!("{}.enclave.invalid", hex::encode(boot.as_bytes()));
        let mut params = CertificateParams::new(vec![name])?;
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, boot.to_string());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before =
            epoch + Duration::from_millis(times.signed_ms).saturating_sub(CLOCK_SKEW);
        params.not_after = epoch + Duration::from_millis(times.leaf_ends_ms);
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            &EVIDENCE_OID,
            evidence.encode(),
        )];
        params.self_signed(&self.key)
    }
}

/// An hour from the document, or some minutes before its leaf ends, but never in a hurry.
fn next_issue(times: DocumentTimes) -> Duration {
    let left = Duration::from_millis(times.leaf_ends_ms.saturating_sub(times.signed_ms));
    REISSUE.min(left.saturating_sub(MARGIN)).max(RETRY)
}

/// What handshakes take their certificate from.
#[derive(Default)]
struct CurrentCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CurrentCertificate")
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The TLS key as the certificate writer wants it.
struct CertificateKey {
    key: SigningKey,
    point: Vec<u8>,
}

impl CertificateKey {
    fn new(key: SigningKey) -> Self {
        let point = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        Self { key, point }
    }
}

impl rcgen::PublicKeyData for CertificateKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for CertificateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: DerSignature = self
            .key
            .try_sign(message)
            .map_err(|_| rcgen::Error::RemoteKeyError)?;
        Ok(signature.as_bytes().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificate_is_renewed_hourly_and_before_its_leaf_ends() {
        let minutes = |signed: u64, ends: u64| {
            let times = DocumentTimes {
                signed_ms: signed * 60_000,
                leaf_ends_ms: ends * 60_000,
            };
            next_issue(times).as_secs()
        };
        assert_eq!(minutes(1000, 1180), 3600);
        assert_eq!(minutes(1000, 1020), 900);
        assert_eq!(minutes(1000, 1001), 30);
        assert_eq!(minutes(1000, 900), 30);
    }
}
