//! From evidence as it came over a connection to an enclave that the caller trusts. Pure: the time is given.

use std::sync::Arc;

use nacre_attestation_verifier::{
    Policy, ResultCode, TrustedEnclave, UnixMillis, VerificationTime, VerifiedEvidence,
};
use nacre_protocol::evidence::{Evidence, channel_leaf};
use nacre_protocol::identity::IdentityStatement;

use crate::error::ClientError;
use crate::trust::Trust;

/// What ties evidence to one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelBinding {
    /// The client's random nonce.
    pub nonce: [u8; 32],
    /// RFC 9266 `tls-exporter` of the connection.
    pub exporter: [u8; 32],
    /// SHA-256 of the SubjectPublicKeyInfo in the peer's certificate.
    pub spki_sha256: [u8; 32],
}

/// An enclave whose evidence passed: there is no other way to make one than [`appraise`].
#[derive(Debug, Clone)]
pub struct AttestedEnclave {
    trusted: TrustedEnclave,
    statement: IdentityStatement,
    evidence: Evidence,
    policy: Arc<Policy>,
}

/// Checks evidence against a connection and the caller's trust, in the order of DESIGN §3.2.
pub fn appraise(
    evidence: Evidence,
    binding: &ChannelBinding,
    trust: &Trust,
    now: UnixMillis,
) -> Result<AttestedEnclave, ClientError> {
    let (verified, statement) = vouched_statement(&evidence, trust, VerificationTime::Live(now))?;
    if statement.tls_spki_sha256 != binding.spki_sha256 {
        return Err(ClientError::TlsKey);
    }
    let leaf = channel_leaf(&binding.nonce, &binding.exporter);
    evidence.verify_leaf(&leaf, verified.nonce().unwrap_or_default())?;
    let policy = trust.policy();
    let trusted = verified.appraise(&policy)?;
    Ok(AttestedEnclave {
        trusted,
        statement,
        evidence,
        policy,
    })
}

/// Verifies the document and takes out of the evidence the identity statement that it vouches for.
pub(crate) fn vouched_statement(
    evidence: &Evidence,
    trust: &Trust,
    at: VerificationTime,
) -> Result<(VerifiedEvidence, IdentityStatement), ClientError> {
    let verified = trust.verifier().verify(&evidence.document, at)?;
    let statement = IdentityStatement::decode(&evidence.statement)?;
    verified.require_user_data(&IdentityStatement::user_data_of(&evidence.statement))?;
    if verified.public_key() != Some(&statement.receipt_key) {
        return Err(ClientError::ReceiptKey);
    }
    Ok((verified, statement))
}

impl AttestedEnclave {
    /// The appraised document.
    pub fn trusted(&self) -> &TrustedEnclave {
        &self.trusted
    }

    /// The keys that the document vouches for.
    pub fn statement(&self) -> &IdentityStatement {
        &self.statement
    }

    /// The evidence as it came.
    pub fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Whether the evidence may still stand in for a new one: it was judged by the policy of this moment, and the time
    /// is before [`Self::fresh_until`].
    pub fn is_fresh(&self, trust: &Trust, now: UnixMillis) -> bool {
        Arc::ptr_eq(&self.policy, &trust.policy()) && now < self.fresh_until()
    }

    /// Until when the evidence may stand in for a new one: until it is as old as the policy allows, a certificate of
    /// its chain expires, or the policy stops trusting the enclave's measurements, whichever is first.
    pub fn fresh_until(&self) -> UnixMillis {
        let document = self.trusted.evidence();
        let max_age = u64::try_from(self.policy.max_age().as_millis()).unwrap_or(u64::MAX);
        let by_age = document.timestamp_ms().saturating_add(max_age);
        let ends = [
            Some(document.chain_not_after()),
            self.trusted.trusted_until().map(|until| until.0),
        ];
        // That second still counts.
        let by_end = |second: u64| second.saturating_add(1).saturating_mul(1000);
        let until = ends
            .into_iter()
            .flatten()
            .map(by_end)
            .fold(by_age, u64::min);
        UnixMillis(until)
    }

    /// Always [`ResultCode::Trusted`]: for output that prints codes.
    pub fn result_code(&self) -> ResultCode {
        ResultCode::Trusted
    }
}
