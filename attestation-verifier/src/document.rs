//! The first two stages: a document's shape, and its proof.

use crate::chain::verify_chain;
use crate::envelope::{Envelope, SIGNATURE_BYTES};
use crate::error::VerifyError;
use crate::evidence::VerifiedEvidence;
use crate::payload::DocumentClaims;
use crate::roots::Roots;
use crate::signature::verify_document;
use crate::time::VerificationTime;
use crate::verifier::Verifier;

/// Verifies a document: shape, then chain, then signature (DESIGN §4).
///
/// The evidence's age is a matter of policy, and is judged in [`VerifiedEvidence::appraise`]. A caller with many
/// documents keeps a [`Verifier`], which does not verify the same certificates again.
///
/// # Errors
///
/// [`VerifyError::Malformed`], [`VerifyError::Chain`] or [`VerifyError::Signature`], the first that applies.
pub fn verify(
    bytes: &[u8],
    roots: &Roots,
    at: VerificationTime,
) -> Result<VerifiedEvidence, VerifyError> {
    UnverifiedDocument::parse(bytes)?.verify(roots, at)
}

/// Bytes that have a document's shape. Nobody has vouched for what they say.
#[derive(Debug, Clone)]
pub struct UnverifiedDocument {
    payload: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
    claims: DocumentClaims,
}

impl UnverifiedDocument {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Malformed`], the rule that it breaks.
    pub fn parse(bytes: &[u8]) -> Result<Self, VerifyError> {
        let envelope = Envelope::parse(bytes)?;
        let claims = DocumentClaims::parse(envelope.payload)?;
        Ok(Self {
            payload: envelope.payload.to_vec(),
            signature: envelope.signature,
            claims,
        })
    }

    /// What the document says **without any proof**: to look at, never to decide by.
    pub fn claims(&self) -> &DocumentClaims {
        &self.claims
    }

    /// Verifies the certificate chain up to a trusted root, then the document's signature.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Chain`] or [`VerifyError::Signature`], the first that applies.
    pub fn verify(
        self,
        roots: &Roots,
        at: VerificationTime,
    ) -> Result<VerifiedEvidence, VerifyError> {
        self.verify_by(&Verifier::forgetful(roots.clone()), at)
    }

    pub(crate) fn verify_by(
        self,
        verifier: &Verifier,
        at: VerificationTime,
    ) -> Result<VerifiedEvidence, VerifyError> {
        let signer = verify_chain(&self.claims, verifier, at.at())?;
        verify_document(verifier, &signer.public_key, &self.payload, &self.signature)?;
        let root_kind = verifier.roots().kind();
        Ok(VerifiedEvidence::new(self.claims, root_kind, at, &signer))
    }
}
