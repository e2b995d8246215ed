//! Idempotency: one effect for one question, however often it is asked.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Key;
use crate::error::Error;
use crate::store::Transaction;
use crate::store::idempotency::{self, Kept};

/// How long an answer is kept, milliseconds.
pub(super) const KEPT_MS: u64 = 24 * 3600 * 1000;

/// A success as it is sent, and sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

impl Answer {
    /// 201 with a body.
    pub(crate) fn created(body: &impl Serialize) -> Result<Self, Error> {
        Self::new(201, body)
    }

    /// This status with a body.
    pub(crate) fn new(status: u16, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_string(body);
        Ok(Self {
            status,
            body: body.map_err(|_| Error::Internal("an answer does not become JSON"))?,
        })
    }
}

/// The caller's `Idempotency-Key` for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Idempotency {
    principal: String,
    key: String,
    fingerprint: String,
}

impl Idempotency {
    /// What the holder of `of` calls this method, path and body.
    pub(crate) fn new(of: &Key, key: String, method: &str, path: &str, body: &[u8]) -> Self {
        let principal = format!("key:{}", of.id);
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), path.as_bytes(), body] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self {
            principal,
            key,
            fingerprint: hex::encode(hash.finalize()),
        }
    }

    /// The answer that was given before, if this is a repetition. Transactions that write run one after the other, so
    /// that of two concurrent requests the second finds the first one's answer here.
    pub(crate) async fn repeated(
        this: Option<&Self>,
        tx: &mut Transaction,
        now_ms: u64,
    ) -> Result<Option<Answer>, Error> {
        let Some(this) = this else { return Ok(None) };
        let after = now_ms.saturating_sub(KEPT_MS);
        match idempotency::get(tx, &this.principal, &this.key, after).await? {
            None => Ok(None),
            Some(kept) if kept.fingerprint == this.fingerprint => Ok(Some(Answer {
                status: kept.status,
                body: kept.body,
            })),
            Some(_) => Err(Error::IdempotencyKeyReused),
        }
    }

    /// Keeps the answer, in the transaction of its effect.
    pub(crate) async fn keep(
        this: Option<&Self>,
        tx: &mut Transaction,
        answer: &Answer,
        now_ms: u64,
    ) -> Result<(), Error> {
        let Some(this) = this else { return Ok(()) };
        let kept = Kept {
            fingerprint: this.fingerprint.clone(),
            status: answer.status,
            body: answer.body.clone(),
        };
        Ok(idempotency::put(tx, &this.principal, &this.key, &kept, now_ms).await?)
    }
}
