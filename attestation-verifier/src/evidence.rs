//! The last two stages: evidence that the PKI vouches for, and an enclave that a policy trusts.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chain::Signer;
use crate::error::{BindingError, TimeError, VerifyError};
use crate::payload::DocumentClaims;
use crate::pcr::{ImageMeasurements, Pcr};
use crate::policy::Policy;
use crate::roots::RootKind;
use crate::time::{FUTURE_TOLERANCE, UnixMillis, UnixSeconds, VerificationTime};

/// A document that the trusted root's PKI signed. Which enclave it speaks for is still to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedEvidence {
    claims: DocumentClaims,
    root_kind: RootKind,
    time: VerificationTime,
    leaf_not_after: u64,
    chain_not_after: u64,
}

impl VerifiedEvidence {
    /// Only [`verify`](crate::verify) may say so.
    pub(crate) fn new(
        claims: DocumentClaims,
        root_kind: RootKind,
        time: VerificationTime,
        signer: &Signer,
    ) -> Self {
        Self {
            claims,
            root_kind,
            time,
            leaf_not_after: signer.not_after,
            chain_not_after: signer.chain_not_after,
        }
    }

    /// Judges the evidence by a policy: first its age, then its measurements (DESIGN §4 *Time*, *Policy*).
    ///
    /// # Errors
    ///
    /// [`VerifyError::Time`] or [`VerifyError::Measurements`], the first that applies.
    pub fn appraise(self, policy: &Policy) -> Result<TrustedEnclave, VerifyError> {
        self.require_age(policy.max_age())?;
        let matched = policy.match_pcrs(&self.claims.pcrs, self.verified_at())?;
        let trusted_until = policy.measurements()[matched].not_after;
        Ok(TrustedEnclave {
            evidence: self,
            matched,
            trusted_until,
        })
    }

    /// The measurements of the image, for whoever passes them on instead of judging them by a policy: a service that
    /// re-signs evidence. An enclave in debug mode has none.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Measurements`] where one of PCR0, PCR1 and PCR2 is absent or zero.
    pub fn image(&self) -> Result<ImageMeasurements, VerifyError> {
        Ok(ImageMeasurements::of(&self.claims.pcrs)?)
    }

    /// Checks that the document is at most so old, and not from a future further away than clocks may differ
    /// (DESIGN §4 *Time*). [`Self::appraise`] does so with the policy's limit.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Time`]
    pub fn require_age(&self, max_age: Duration) -> Result<(), VerifyError> {
        let (at, timestamp) = (self.verified_at().0, self.timestamp_ms());
        let ahead_ms = timestamp.saturating_sub(at);
        let tolerance_ms = millis(FUTURE_TOLERANCE);
        if ahead_ms > tolerance_ms {
            let error = TimeError::Future {
                ahead_ms,
                tolerance_ms,
            };
            return Err(error.into());
        }
        let (age_ms, max_age_ms) = (self.age_ms(), millis(max_age));
        if age_ms > max_age_ms {
            return Err(TimeError::TooOld { age_ms, max_age_ms }.into());
        }
        Ok(())
    }

    /// Checks that the document's `nonce` is this one.
    ///
    /// # Errors
    ///
    /// [`BindingError::Nonce`]
    pub fn require_nonce(&self, expected: &[u8]) -> Result<(), VerifyError> {
        require(self.nonce(), expected, BindingError::Nonce)
    }

    /// Checks that the document's `user_data` is this one.
    ///
    /// # Errors
    ///
    /// [`BindingError::UserData`]
    pub fn require_user_data(&self, expected: &[u8]) -> Result<(), VerifyError> {
        require(self.user_data(), expected, BindingError::UserData)
    }

    /// Checks that the document's `public_key` is this one.
    ///
    /// # Errors
    ///
    /// [`BindingError::PublicKey`]
    pub fn require_public_key(&self, expected: &[u8]) -> Result<(), VerifyError> {
        require(self.public_key(), expected, BindingError::PublicKey)
    }

    /// The Nitro module that issued the document: instance id and enclave id.
    pub fn module_id(&self) -> &str {
        &self.claims.module_id
    }

    /// When the document was made, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> u64 {
        self.claims.timestamp_ms
    }

    /// How old the document was at the time of verification, in milliseconds; 0 if it is from the future.
    pub fn age_ms(&self) -> u64 {
        self.verified_at().0.saturating_sub(self.timestamp_ms())
    }

    /// The PCRs by index.
    pub fn pcrs(&self) -> &BTreeMap<u8, Pcr> {
        &self.claims.pcrs
    }

    /// What the enclave passed as `public_key`.
    pub fn public_key(&self) -> Option<&[u8]> {
        self.claims.public_key.as_deref()
    }

    /// What the enclave passed as `user_data`.
    pub fn user_data(&self) -> Option<&[u8]> {
        self.claims.user_data.as_deref()
    }

    /// What the enclave passed as `nonce`.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.claims.nonce.as_deref()
    }

    /// Keys of the document that this verifier does not know; their values were not used.
    pub fn unknown_keys(&self) -> &[String] {
        &self.claims.unknown_keys
    }

    /// Whose root vouches for the evidence.
    pub fn root_kind(&self) -> RootKind {
        self.root_kind
    }

    /// The time at which the evidence was verified.
    pub fn verified_at(&self) -> UnixMillis {
        self.time.at()
    }

    /// Whether that was a time that the caller named, so that the evidence speaks of the past.
    pub fn is_archive(&self) -> bool {
        self.time.is_archive()
    }

    /// When the certificate that signed the document expires, in seconds since the Unix epoch.
    pub fn leaf_not_after(&self) -> u64 {
        self.leaf_not_after
    }

    /// The earliest end of a validity in the chain, in seconds since the Unix epoch: that second still counts, after it
    /// the evidence cannot be verified any more.
    pub fn chain_not_after(&self) -> u64 {
        self.chain_not_after
    }
}

/// An enclave that the relying party's policy names, running at the time of verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedEnclave {
    evidence: VerifiedEvidence,
    matched: usize,
    trusted_until: Option<UnixSeconds>,
}

impl TrustedEnclave {
    /// The evidence for it.
    pub fn evidence(&self) -> &VerifiedEvidence {
        &self.evidence
    }

    /// The evidence for it, alone.
    pub fn into_evidence(self) -> VerifiedEvidence {
        self.evidence
    }

    /// Which of the policy's measurement sets it equals: an index into [`Policy::measurements`].
    pub fn matched_measurement(&self) -> usize {
        self.matched
    }

    /// The last second for which that set of measurements is trusted, where the policy says so.
    pub fn trusted_until(&self) -> Option<UnixSeconds> {
        self.trusted_until
    }

    /// Whether it runs in debug mode, where its host reads its console and its measurements are zero. True only where
    /// the policy allows it.
    pub fn is_debug(&self) -> bool {
        (0..=2).all(|index| self.evidence.pcrs().get(&index).is_some_and(Pcr::is_zero))
    }
}

fn require(found: Option<&[u8]>, expected: &[u8], error: BindingError) -> Result<(), VerifyError> {
    if found == Some(expected) {
        Ok(())
    } else {
        Err(error.into())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
