//! Which root certificate is trusted (DESIGN §3).

use std::borrow::Cow;
use std::fmt;

use sha2::{Digest, Sha256};

use crate::backend::Backend;
use crate::certificate::Certificate;
use crate::chain::check_ca;
use crate::error::{CertificateError, ResultCode};
use crate::payload::MAX_CERTIFICATE_BYTES;

/// SHA-256 of the AWS Nitro Enclaves root certificate G1, as DER.
pub const AWS_ROOT_SHA256: &str =
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";

/// The trusted root certificate. A document's `cabundle` must begin with it, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    der: Cow<'static, [u8]>,
}

impl Roots {
    /// The root of the Nitro hardware in AWS's commercial partition, compiled in.
    pub fn aws() -> Self {
        Self {
            der: Cow::Borrowed(AWS_ROOT),
        }
    }

    /// A root of the caller's choice: whoever holds its key can make any evidence. It is checked to be a CA certificate
    /// in the profile of the Nitro PKI.
    ///
    /// # Errors
    ///
    /// [`RootsError`] where it is not.
    pub fn development(der: Vec<u8>) -> Result<Self, RootsError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(RootsError::TooLong {
                length: der.len(),
                limit: MAX_CERTIFICATE_BYTES,
            });
        }
        let certificate = Certificate::parse(&der, Backend::default())?;
        check_ca(&certificate, 0)?;
        Ok(Self {
            der: Cow::Owned(der),
        })
    }

    /// As [`Roots::development`], from a file's content: DER, or PEM with one `CERTIFICATE`.
    ///
    /// # Errors
    ///
    /// [`RootsError`] where it is neither, or not a root.
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, RootsError> {
        if !bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Self::development(bytes.to_vec());
        }
        let text = std::str::from_utf8(bytes).map_err(|_| RootsError::Pem)?;
        match der::Document::from_pem(text.trim()) {
            Ok(("CERTIFICATE", document)) => Self::development(document.into_vec()),
            _ => Err(RootsError::Pem),
        }
    }

    /// Whose root it is: AWS's only if it is AWS's byte for byte, however it was made.
    pub fn kind(&self) -> RootKind {
        if *self.der == *AWS_ROOT {
            RootKind::Aws
        } else {
            RootKind::Development
        }
    }

    /// The certificate as DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate, in lower-case hexadecimal.
    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }
}

/// Whose root a document was verified against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootKind {
    /// AWS's: the evidence comes from Nitro hardware.
    Aws,
    /// Any other: the evidence is worth what the holder of that root's key is worth. Whatever prints a verdict says so.
    Development,
}

impl fmt::Display for RootKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Aws => "AWS Nitro root",
            Self::Development => "DEVELOPMENT ROOT",
        })
    }
}

/// Why bytes are not a root certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// Longer than any certificate in a document may be, so that it could never match (AWS NSM spec §3.2.2.2).
    #[error("the root certificate has {length} bytes; it may have {limit}")]
    TooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// Not PEM with exactly one `CERTIFICATE` (RFC 7468 §5).
    #[error("not PEM with exactly one CERTIFICATE")]
    Pem,
    /// Not a CA certificate in the Nitro PKI's profile (DESIGN §4 *Chain*).
    #[error("not a root certificate: {0}")]
    Certificate(#[from] CertificateError),
}

impl RootsError {
    /// Always [`ResultCode::Usage`]: nothing was verified yet.
    pub fn code(&self) -> ResultCode {
        ResultCode::Usage
    }

    /// The rule that was broken, as a stable kebab-case name.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "root-too-long",
            Self::Pem => "root-pem",
            Self::Certificate(_) => "root-certificate",
        }
    }
}

const AWS_ROOT: &[u8] = include_bytes!("../roots/aws-nitro-enclaves-g1.der");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_root_is_the_published_one() {
        assert_eq!(Roots::aws().fingerprint(), AWS_ROOT_SHA256);
        assert_eq!(Roots::aws().kind(), RootKind::Aws);
    }

    #[test]
    fn the_aws_root_meets_the_profile_and_stays_aws_however_it_is_read() {
        let again = Roots::development(AWS_ROOT.to_vec());
        assert_eq!(again.as_ref().map(Roots::kind), Ok(RootKind::Aws));
        let pem = der::Document::try_from(AWS_ROOT)
            .and_then(|document| document.to_pem("CERTIFICATE", der::pem::LineEnding::CRLF));
        let pem = pem.map(|pem| format!("\n{pem}\n")).unwrap_or_default();
        assert_eq!(Roots::from_pem_or_der(pem.as_bytes()), again);
        assert_eq!(Roots::from_pem_or_der(AWS_ROOT), again);
    }

    #[test]
    fn what_is_no_root_is_refused() {
        assert_eq!(
            Roots::from_pem_or_der(b"").map_err(|error| error.code()),
            Err(ResultCode::Usage)
        );
        assert_eq!(
            Roots::from_pem_or_der(b"-----BEGIN nonsense"),
            Err(RootsError::Pem)
        );
        let long = vec![0x30; MAX_CERTIFICATE_BYTES + 1];
        assert!(matches!(
            Roots::development(long),
            Err(RootsError::TooLong { .. })
        ));
        let mut trailing = AWS_ROOT.to_vec();
        trailing.push(0);
        let error = CertificateError::TrailingBytes("certificate");
        assert_eq!(
            Roots::development(trailing),
            Err(RootsError::Certificate(error))
        );
    }
}
