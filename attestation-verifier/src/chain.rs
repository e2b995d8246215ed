//! The certificate chain: from the trusted root to the key that signs the document (DESIGN §4 *Chain*;
//! AWS NSM spec §3.2.3; RFC 5280 §6.1, without policies, name constraints and revocation).

use crate::backend::Backend;
use crate::cache::Cache;
use crate::certificate::Certificate;
use crate::error::{CertificateError, CertificatePosition, ChainError};
use crate::payload::DocumentClaims;
use crate::roots::Roots;
use crate::signature::PublicKey;
use crate::time::UnixMillis;
use crate::verifier::Verifier;

/// What a chain that holds says about the signer.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) public_key: PublicKey,
    /// End of the leaf's validity, Unix seconds.
    pub(crate) not_after: u64,
    /// The earliest end of a validity in the chain, Unix seconds.
    pub(crate) chain_not_after: u64,
}

/// Checks the chain of a document at a given time.
///
/// Cheap checks on every certificate come before the first signature is verified, and are made whether or not the
/// signatures are known to hold.
pub(crate) fn verify_chain(
    claims: &DocumentClaims,
    verifier: &Verifier,
    at: UnixMillis,
) -> Result<Signer, ChainError> {
    if !is_root(&claims.cabundle, verifier.roots()) {
        return Err(ChainError::UntrustedRoot);
    }
    let bundle = parse_bundle(&claims.cabundle, verifier.backend())?;
    let leaf = parse(
        CertificatePosition::Leaf,
        &claims.certificate,
        verifier.backend(),
    )?;
    for link in links(&bundle, &leaf) {
        check_profile(&link, bundle.len())
            .and_then(|()| link.certificate.check_valid_at(at))
            .map_err(|error| link.refused(error))?;
    }
    check_distinct(&claims.cabundle)?;
    for (link, issuer) in links(&bundle, &leaf).skip(1).zip(&bundle) {
        if link.certificate.issuer != issuer.subject {
            return Err(link.refused(CertificateError::IssuerMismatch));
        }
    }
    check_signatures(&bundle, &leaf, verifier.cache())?;
    let ends = bundle.iter().map(|certificate| certificate.not_after);
    // The time asked is not after any of them, and not before 1970.
    let unsigned = |end: i64| u64::try_from(end).unwrap_or(0);
    Ok(Signer {
        not_after: unsigned(leaf.not_after),
        chain_not_after: unsigned(ends.fold(leaf.not_after, i64::min)),
        public_key: leaf.public_key,
    })
}

/// Whether the first certificate is the trusted root, byte for byte.
fn is_root(bundle: &[Vec<u8>], roots: &Roots) -> bool {
    bundle.first().map(Vec::as_slice) == Some(roots.der())
}

/// Verifies each certificate's signature under the key of the one before it. The root's own says nothing: it is trusted
/// for its bytes.
fn check_signatures(
    bundle: &[Certificate<'_>],
    leaf: &Certificate<'_>,
    cache: &Cache,
) -> Result<(), ChainError> {
    let mut verified = Vec::new();
    for (link, issuer) in links(bundle, leaf).skip(1).zip(bundle) {
        if cache.is_enabled() {
            let hash = link.certificate.link_to(issuer);
            if cache.knows(&hash) {
                continue;
            }
            verified.push(hash);
        }
        link.certificate
            .check_issued_by(issuer)
            .map_err(|error| link.refused(error))?;
    }
    // Only a chain that holds as a whole is remembered: what does not lead to the root cannot fill the memory.
    cache.learn(&verified);
    Ok(())
}

/// One certificate and where it stands.
struct Link<'a> {
    position: CertificatePosition,
    certificate: &'a Certificate<'a>,
}

impl Link<'_> {
    fn refused(&self, error: CertificateError) -> ChainError {
        ChainError::Certificate {
            position: self.position,
            error,
        }
    }
}

/// The root first, the leaf last: each link's issuer is the one before it.
fn links<'a>(
    bundle: &'a [Certificate<'a>],
    leaf: &'a Certificate<'a>,
) -> impl Iterator<Item = Link<'a>> {
    let bundle = bundle.iter().enumerate();
    bundle
        .map(|(index, certificate)| Link {
            position: CertificatePosition::Bundle(index),
            certificate,
        })
        .chain([Link {
            position: CertificatePosition::Leaf,
            certificate: leaf,
        }])
}

fn parse_bundle(bundle: &[Vec<u8>], backend: Backend) -> Result<Vec<Certificate<'_>>, ChainError> {
    bundle
        .iter()
        .enumerate()
        .map(|(index, der)| parse(CertificatePosition::Bundle(index), der, backend))
        .collect()
}

fn parse(
    position: CertificatePosition,
    der: &[u8],
    backend: Backend,
) -> Result<Certificate<'_>, ChainError> {
    Certificate::parse(der, backend).map_err(|error| ChainError::Certificate { position, error })
}

fn check_profile(link: &Link<'_>, bundle: usize) -> Result<(), CertificateError> {
    match link.position {
        CertificatePosition::Bundle(index) => check_ca(link.certificate, bundle - 1 - index),
        CertificatePosition::Leaf => check_leaf(link.certificate),
    }
}

/// No certificate may stand twice in a path (RFC 5280 §6.1): the root, which issued itself, could be repeated at will.
/// The leaf cannot: it would have to be a CA and not to be one.
fn check_distinct(bundle: &[Vec<u8>]) -> Result<(), ChainError> {
    match (1..bundle.len()).find(|index| bundle[..*index].contains(&bundle[*index])) {
        Some(index) => Err(ChainError::Certificate {
            position: CertificatePosition::Bundle(index),
            error: CertificateError::Repeated,
        }),
        None => Ok(()),
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
        Some(limit) if limit < following as u64 => {
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
