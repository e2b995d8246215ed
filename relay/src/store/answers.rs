//! Answers that were checked, until they count.

use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::encoding::base64url;
use sqlx::any::AnyRow;
use sqlx::query;

use super::row::RowExt as _;
use super::{StoreError, Transaction, big};

/// What an enclave signed, and was checked: ready to be brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The contract's number for how it ended.
    pub status: u8,
    /// When, Unix milliseconds.
    pub executed_ms: u64,
    /// Who is paid.
    pub payee: EthAddress,
    /// Whose signature it is.
    pub signer: EthAddress,
    /// The answer's bytes.
    pub output: Vec<u8>,
    /// r‖s‖v.
    pub signature: Vec<u8>,
}

impl Answer {
    /// Keeps a job's answer in the place of any that was there.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn keep(&self, tx: &mut Transaction, id: &ChainJobId) -> Result<(), StoreError> {
        query("DELETE FROM answers WHERE job = $1")
            .bind(id.to_string())
            .execute(&mut **tx)
            .await?;
        query(
            "INSERT INTO answers (job, status, executed_ms, payee, signer, output, signature) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id.to_string())
        .bind(i64::from(self.status))
        .bind(big(self.executed_ms)?)
        .bind(self.payee.to_string())
        .bind(self.signer.to_string())
        .bind(base64url(&self.output))
        .bind(base64url(&self.signature))
        .execute(&mut **tx)
        .await?;
        Ok(())
    }

    /// A job's answer.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn of(tx: &mut Transaction, id: &ChainJobId) -> Result<Option<Self>, StoreError> {
        let row = query("SELECT status, executed_ms, payee, signer, output, signature FROM answers WHERE job = $1")
            .bind(id.to_string())
            .fetch_optional(&mut **tx)
            .await?;
        let read = |row: AnyRow| -> Result<_, StoreError> {
            Ok(Self {
                status: row.number("status")?,
                executed_ms: row.number("executed_ms")?,
                payee: row.parsed("payee")?,
                signer: row.parsed("signer")?,
                output: row.bytes("output")?,
                signature: row.bytes("signature")?,
            })
        };
        row.map(read).transpose()
    }
}
