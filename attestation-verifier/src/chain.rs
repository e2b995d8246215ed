//! The certificate chain: from the trusted root to the key that signs the document (DESIGN §4 *Chain*;
//! AWS NSM spec §3.2.3; RFC 5280 §6.1, without policies, name constraints and revocation).

use p384::ecdsa::VerifyingKey;

use crate::certificate::Certificate;
use crate::error::{CertificateError, CertificatePosition, ChainError};
use crate::payload::DocumentClaims;
use crate::roots::Roots;
use crate::time::UnixMillis;

/// What a chain that holds says about the signer.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) public_key: VerifyingKey,
    /// End of the leaf's validity, Unix seconds.
    pub(crate) not_after: u64,
}

/// Checks the chain of a document at a given time.
///
/// Cheap checks on every certificate come before the first signature is verified.
pub(crate) fn verify_chain(
    claims: &DocumentClaims,
    roots: &Roots,
    at: UnixMillis,
) -> Result<Signer, ChainError> {
    if claims.cabundle.first().map(Vec::as_slice) != Some(roots.der()) {
        return Err(ChainError::UntrustedRoot);
    }
    let chain = parse_chain(claims)?;
    let last_ca = claims.cabundle.len() - 1;
    for (index, link) in chain.iter().enumerate() {
        let profile = match link.position {
            CertificatePosition::Bundle(index) => check_ca(&link.certificate, last_ca - index),
            CertificatePosition::Leaf => check_leaf(&link.certificate),
        };
        profile
            .and_then(|()| link.certificate.check_valid_at(at))
            .and_then(
                |()| match index.checked_sub(1).map(|issuer| &chain[issuer]) {
                    Some(issuer) if issuer.certificate.subject != link.certificate.issuer => {
                        Err(CertificateError::IssuerMismatch)
                    }
                    _ => Ok(()),
                },
            )
            .map_err(|error| link.refused(error))?;
    }
    // The root's own signature says nothing: it is trusted for its bytes.
    for pair in chain.windows(2) {
        let [issuer, link] = pair else { continue };
        link.certificate
            .check_issued_by(&issuer.certificate)
            .map_err(|error| link.refused(error))?;
    }
    match chain.last() {
        Some(leaf) => Ok(Signer {
            public_key: leaf.certificate.public_key,
            not_after: leaf.certificate.not_after,
        }),
        None => Err(ChainError::UntrustedRoot),
    }
}

/// What a root or intermediate certificate must be, with `following` CA certificates between it and the leaf.
pub(crate) fn check_ca(
    certificate: &Certificate<'_>,
    following: usize,
) -> Result<(), CertificateError> {
    let extensions = &certificate.extensions;
    if !extensions.is_ca {
        return Err(CertificateError::NotCa);
    }
    if !extensions.basic_constraints_critical {
        return Err(CertificateError::BasicConstraintsNotCritical);
    }
    if !extensions.key_cert_sign {
        return Err(CertificateError::KeyCertSign);
    }
    // Self-issued certificates count too, unlike in RFC 5280 §6.1.4 (l): the Nitro PKI has none.
    match extensions.path_length {
        Some(limit) if usize::from(limit) < following => {
            Err(CertificateError::PathLength { following, limit })
        }
        _ => Ok(()),
    }
}

/// What the certificate whose key signs the document must be.
fn check_leaf(certificate: &Certificate<'_>) -> Result<(), CertificateError> {
    let extensions = &certificate.extensions;
    if extensions.is_ca || extensions.key_cert_sign {
        return Err(CertificateError::LeafIsCa);
    }
    if extensions.path_length.is_some() {
        return Err(CertificateError::LeafPathLength);
    }
    if !extensions.digital_signature {
        return Err(CertificateError::DigitalSignature);
    }
    Ok(())
}

/// One certificate and where it stands.
struct Link<'a> {
    position: CertificatePosition,
    certificate: Certificate<'a>,
}

impl Link<'_> {
    fn refused(&self, error: CertificateError) -> ChainError {
        ChainError::Certificate {
            position: self.position,
            error,
        }
    }
}

/// All certificates, the root first and the leaf last.
fn parse_chain(claims: &DocumentClaims) -> Result<Vec<Link<'_>>, ChainError> {
    let bundle = claims
        .cabundle
        .iter()
        .enumerate()
        .map(|(index, der)| (CertificatePosition::Bundle(index), der));
    bundle
        .chain([(CertificatePosition::Leaf, &claims.certificate)])
        .map(|(position, der)| match Certificate::parse(der) {
            Ok(certificate) => Ok(Link {
                position,
                certificate,
            }),
            Err(error) => Err(ChainError::Certificate { position, error }),
        })
        .collect()
}
