//! What a watcher keeps of an answered try, and anyone can check again: off line, years later.

use nacre_attestation_verifier::{
    ResultCode, TrustedEnclave, UnixMillis, UnverifiedDocument, VerificationTime,
};
use nacre_client::{ClientError, ReceiptFileError, Trust, verify_receipt_file};
use nacre_protocol::digest::Digest;
use nacre_protocol::encoding::{base64url_array, base64url_bytes};
use nacre_protocol::evidence::{Evidence, channel_leaf};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{BootId, NodeId};
use nacre_protocol::merkle::Hash;
use nacre_protocol::receipt_file::ReceiptFile;
use nacre_protocol::uptime::{Slot, WatcherId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::seeds::EpochSecret;

/// Longest record that is read, bytes: a receipt file and two bodies of 64 KiB.
pub const MAX_RECORD: usize = 384 * 1024;

/// One answered try. Its bytes are one line of JSON; the watcher commits to their hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRecord {
    /// 1.
    pub version: u8,
    /// Who asked.
    pub watcher: WatcherId,
    /// Which node.
    pub node: NodeId,
    /// In which slot.
    pub slot: Slot,
    /// Length of the slot, milliseconds.
    pub slot_ms: u32,
    /// Which try, from 0.
    pub attempt: u8,
    /// What answered.
    pub proof: Proof,
}

/// What an enclave answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Proof {
    /// The canary function's answer with its receipt. The watcher's nonce is the receipt's salt, which the enclave signed.
    Canary {
        /// Receipt and evidence.
        receipt: Box<ReceiptFile>,
        /// The canary, base64url.
        #[serde(with = "base64url_bytes")]
        request: Vec<u8>,
        /// The answer, base64url.
        #[serde(with = "base64url_bytes")]
        response: Vec<u8>,
    },
    /// The node runs no canary: evidence that was made for the watcher's connection, with the watcher's nonce. Who knows the
    /// epoch's salt can tell whose question it answers; to others it shows that the enclave lived.
    Health {
        /// The evidence.
        evidence: Evidence,
        /// RFC 9266 `tls-exporter` of the watcher's connection, base64url: nonce and exporter make the leaf that the
        /// document vouches for.
        #[serde(with = "base64url_array")]
        exporter: [u8; 32],
    },
}

/// A record that shows nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// Not the JSON of a record.
    #[error("not an evidence record: {0}")]
    Malformed(String),
    /// Receipt or evidence.
    #[error(transparent)]
    Receipt(#[from] ReceiptFileError),
    /// The nonce is not the one of this watcher, node, slot and try.
    #[error("the nonce that was answered is not this watcher's for this node, slot and try")]
    Nonce,
    /// The enclave answered at another time.
    #[error("answered at {at_ms} ms, which is not in slot {slot} of {slot_ms} ms")]
    Slot {
        /// The enclave's time.
        at_ms: u64,
        /// The slot claimed.
        slot: u64,
        /// Its length.
        slot_ms: u32,
    },
}

impl EvidenceError {
    /// DESIGN §4's result code.
    pub fn result_code(&self) -> ResultCode {
        match self {
            Self::Malformed(_) => ResultCode::Malformed,
            Self::Receipt(error) => error.result_code(),
            Self::Nonce => ResultCode::Binding,
            Self::Slot { .. } => ResultCode::Time,
        }
    }

    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "evidence-record-malformed",
            Self::Receipt(error) => error.code(),
            Self::Nonce => "evidence-nonce-differs",
            Self::Slot { .. } => "evidence-outside-slot",
        }
    }
}

impl From<ClientError> for EvidenceError {
    fn from(error: ClientError) -> Self {
        Self::Receipt(error.into())
    }
}

/// A record that was checked.
#[derive(Debug, Clone)]
pub struct VerifiedRecord {
    /// Which enclave answered.
    pub enclave: TrustedEnclave,
    /// Which run of it.
    pub boot_id: BootId,
    /// When, by the enclave's attested clock, Unix milliseconds.
    pub at_ms: u64,
    /// Which function answered; absent for [`Proof::Health`].
    pub function: Option<Digest>,
    /// The answered nonce was found to be the watcher's own. Needs the epoch's salt.
    pub own_nonce: bool,
}

impl EvidenceRecord {
    /// Reads a record.
    pub fn from_json(json: &[u8]) -> Result<Self, EvidenceError> {
        if json.len() > MAX_RECORD {
            let what = format!("longer than {MAX_RECORD} bytes");
            return Err(EvidenceError::Malformed(what));
        }
        let record: Self =
            serde_json::from_slice(json).map_err(|e| EvidenceError::Malformed(e.to_string()))?;
        if record.version != 1 {
            let what = format!("version {} is unknown", record.version);
            return Err(EvidenceError::Malformed(what));
        }
        Ok(record)
    }

    /// The bytes that are kept and committed to, without a line's end.
    pub fn to_json(&self) -> Result<Vec<u8>, EvidenceError> {
        serde_json::to_vec(self).map_err(|e| EvidenceError::Malformed(e.to_string()))
    }

    /// What a watcher commits to of a record's bytes.
    pub fn hash(json: &[u8]) -> Hash {
        Sha256::digest(json).into()
    }

    /// Checks everything that the record shows. With the epoch's secret also that the nonce was the watcher's own.
    ///
    /// The time is the enclave's, the slot the watcher's: they may be one slot apart. Nobody knows a nonce's salt that soon
    /// after the slot, as reveals begin later.
    pub fn verify(
        &self,
        trust: &Trust,
        secret: Option<&EpochSecret>,
    ) -> Result<VerifiedRecord, EvidenceError> {
        let verified = match &self.proof {
            Proof::Canary {
                receipt,
                request,
                response,
            } => self.verify_canary(trust, secret, receipt, request, response)?,
            Proof::Health { evidence, exporter } => {
                self.verify_health(trust, secret, evidence, exporter)?
            }
        };
        let slot_ms = u64::from(self.slot_ms);
        let begin = self.slot.0.saturating_mul(slot_ms);
        let near = begin.saturating_sub(slot_ms)..begin.saturating_add(2 * slot_ms);
        if !near.contains(&verified.at_ms) {
            return Err(EvidenceError::Slot {
                at_ms: verified.at_ms,
                slot: self.slot.0,
                slot_ms: self.slot_ms,
            });
        }
        Ok(verified)
    }

    fn verify_canary(
        &self,
        trust: &Trust,
        secret: Option<&EpochSecret>,
        receipt: &ReceiptFile,
        request: &[u8],
        response: &[u8],
    ) -> Result<VerifiedRecord, EvidenceError> {
        let statement = &receipt.evidence.statement;
        let file = serde_json::to_vec(receipt);
        let file = file.map_err(|e| EvidenceError::Malformed(e.to_string()))?;
        let proven = verify_receipt_file(&file, request, response, trust, None)?;
        let own_nonce = self.answers(secret, |nonce| proven.receipt.salt == *nonce)?;
        Ok(VerifiedRecord {
            boot_id: decode(statement)?.boot_id,
            at_ms: proven.receipt.receipt.started_ms,
            function: Some(proven.receipt.receipt.function_digest),
            own_nonce,
            enclave: proven.enclave,
        })
    }

    /// The document vouches for the statement, at the document's own time, and for the watcher's nonce.
    fn verify_health(
        &self,
        trust: &Trust,
        secret: Option<&EpochSecret>,
        evidence: &Evidence,
        exporter: &[u8; 32],
    ) -> Result<VerifiedRecord, EvidenceError> {
        let refused = |error| EvidenceError::from(ClientError::Evidence(error));
        let claims = UnverifiedDocument::parse(&evidence.document);
        let at_ms = claims.map_err(refused)?.claims().timestamp_ms;
        let at = VerificationTime::Archive(UnixMillis(at_ms));
        let verified = trust.verifier().verify(&evidence.document, at);
        let verified = verified.map_err(refused)?;
        let statement = decode(&evidence.statement)?;
        verified
            .require_user_data(&IdentityStatement::user_data_of(&evidence.statement))
            .map_err(refused)?;
        let root = verified.nonce().unwrap_or_default().to_vec();
        let enclave = verified.appraise(&trust.policy()).map_err(refused)?;
        let own_nonce = self.answers(secret, |nonce| {
            let leaf = channel_leaf(nonce, exporter);
            evidence.verify_leaf(&leaf, &root).is_ok()
        })?;
        Ok(VerifiedRecord {
            enclave,
            boot_id: statement.boot_id,
            at_ms,
            function: None,
            own_nonce,
        })
    }

    /// Whether the nonce that was answered is this record's, where the epoch's secret is known.
    fn answers(
        &self,
        secret: Option<&EpochSecret>,
        is_answered: impl FnOnce(&[u8; 32]) -> bool,
    ) -> Result<bool, EvidenceError> {
        let Some(secret) = secret else {
            return Ok(false);
        };
        let nonce = secret.nonce(&self.node, self.slot, self.attempt);
        let own = secret.watcher() == self.watcher && is_answered(&nonce);
        own.then_some(true).ok_or(EvidenceError::Nonce)
    }
}

fn decode(statement: &[u8]) -> Result<IdentityStatement, EvidenceError> {
    Ok(IdentityStatement::decode(statement).map_err(ClientError::from)?)
}
