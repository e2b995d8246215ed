//! The outbox: nonces, what each is for, and every transaction that was signed for it.

use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::eip712::{EthAddress, Word};
use nacre_protocol::encoding::{array_from_hex, base64url};
use sqlx::any::AnyRow;
use sqlx::query;

use super::chain::hex;
use super::row::RowExt as _;
use super::{StoreError, Transaction, big};
use crate::draw::duty::Duty;
use crate::outbox::{Entry, Phase};
use crate::worth::Fees;

/// What a nonce is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Bringing a job's answer.
    Submit(ChainJobId),
    /// A duty of the draw.
    Duty(Duty),
}

/// A nonce, where its transaction goes, and what it says there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Nonce, price, phase.
    pub entry: Entry,
    /// What for.
    pub purpose: Purpose,
    /// The contract.
    pub target: EthAddress,
    /// The call.
    pub data: Vec<u8>,
}

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its hash.
    pub hash: Word,
    /// As it is sent.
    pub raw: Vec<u8>,
}

impl Outgoing {
    /// Keeps a new nonce with its first transaction.
    ///
    /// # Errors
    ///
    /// The engine refuses; also where the nonce is taken.
    pub async fn keep(
        &self,
        tx: &mut Transaction,
        signed: &Signed,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let (job, purpose) = match &self.purpose {
            Purpose::Submit(job) => (Some(job.to_string()), "submit".to_owned()),
            Purpose::Duty(duty) => (None, duty.to_string()),
        };
        let entry = &self.entry;
        query(
            "INSERT INTO entries (nonce, job, purpose, target, data, phase, gas, max_fee, tip, ceiling, offered_at, is_cancel, created_ms)
             VALUES ($1, $2, $3, $4, $5, 'open', $6, $7, $8, $9, $10, $11, $12)",
        )
        .bind(big(entry.nonce)?)
        .bind(job)
        .bind(purpose)
        .bind(self.target.to_string())
        .bind(base64url(&self.data))
        .bind(big(entry.gas)?)
        .bind(entry.fees.max.to_string())
        .bind(entry.fees.tip.to_string())
        .bind(entry.ceiling.to_string())
        .bind(big(entry.offered_at)?)
        .bind(i64::from(entry.is_cancel))
        .bind(big(now_ms)?)
        .execute(&mut **tx)
        .await?;
        signed.keep(tx, entry.nonce).await
    }

    /// Keeps what replaces its latest transaction.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn replaced(
        tx: &mut Transaction,
        entry: &Entry,
        signed: &Signed,
    ) -> Result<(), StoreError> {
        query("UPDATE entries SET gas = $2, max_fee = $3, tip = $4, offered_at = $5, is_cancel = $6 WHERE nonce = $1")
            .bind(big(entry.nonce)?)
            .bind(big(entry.gas)?)
            .bind(entry.fees.max.to_string())
            .bind(entry.fees.tip.to_string())
            .bind(big(entry.offered_at)?)
            .bind(i64::from(entry.is_cancel))
            .execute(&mut **tx)
            .await?;
        signed.keep(tx, entry.nonce).await
    }

    /// All nonces that are open, the lowest first.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn open(tx: &mut Transaction) -> Result<Vec<Self>, StoreError> {
        let rows = query(
            "SELECT nonce, job, purpose, target, data, phase, mined_block, succeeded, gas, max_fee, tip, ceiling, offered_at, is_cancel FROM entries WHERE phase = 'open' ORDER BY nonce",
        );
        let rows = rows.fetch_all(&mut **tx).await?;
        rows.iter().map(read).collect()
    }

    /// Duties whose transactions are not in a block up to this one.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn duties_after(tx: &mut Transaction, block: u64) -> Result<Vec<Duty>, StoreError> {
        let rows = query(
            "SELECT purpose FROM entries WHERE job IS NULL AND is_cancel = 0 AND (phase = 'open' OR (phase = 'mined' AND mined_block > $1))",
        );
        let rows = rows.bind(big(block)?).fetch_all(&mut **tx).await?;
        rows.iter().map(|row| row.parsed("purpose")).collect()
    }

    /// The next nonce of an account that has used `used` on the chain.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn next_nonce(tx: &mut Transaction, used: u64) -> Result<u64, StoreError> {
        let row = query("SELECT MAX(nonce) AS highest FROM entries WHERE phase <> 'lost'");
        let highest: Option<u64> = row.fetch_one(&mut **tx).await?.number_opt("highest")?;
        Ok(highest.map_or(used, |highest| used.max(highest + 1)))
    }

    /// Notes what became of a nonce; `cost` in wei, where it is known.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn became(
        tx: &mut Transaction,
        nonce: u64,
        phase: Phase,
        cost: Option<u128>,
    ) -> Result<(), StoreError> {
        let (word, block, succeeded) = match phase {
            Phase::Open => (OPEN, None, None),
            Phase::Mined { block, succeeded } => {
                (MINED, Some(big(block)?), Some(i64::from(succeeded)))
            }
            Phase::Final => (FINAL, None, None),
            Phase::Lost => (LOST, None, None),
        };
        query("UPDATE entries SET phase = $2, mined_block = $3, succeeded = $4, cost = $5 WHERE nonce = $1")
            .bind(big(nonce)?)
            .bind(word)
            .bind(block)
            .bind(succeeded)
            .bind(cost.map(|wei| wei.to_string()))
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// What was mined up to this block stays mined; its transactions are forgotten.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn settle_until(tx: &mut Transaction, block: u64) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM transactions WHERE nonce IN (SELECT nonce FROM entries WHERE phase = 'mined' AND mined_block <= $1)",
            "UPDATE entries SET phase = 'final', data = '' WHERE phase = 'mined' AND mined_block <= $1",
        ] {
            query(sql).bind(big(block)?).execute(&mut **tx).await?;
        }
        Ok(())
    }

    /// Wei that were spent, or may yet be, by nonces of this time and later; beside one nonce.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn spent_since(
        tx: &mut Transaction,
        since_ms: u64,
        beside: Option<u64>,
    ) -> Result<u128, StoreError> {
        let rows = query("SELECT nonce, gas, max_fee, cost FROM entries WHERE phase <> 'lost' AND (created_ms >= $1 OR phase = 'open')")
            .bind(big(since_ms)?)
            .fetch_all(&mut **tx)
            .await?;
        let mut all = 0_u128;
        for row in rows {
            if beside == Some(row.number("nonce")?) {
                continue;
            }
            let cost = match row.parsed_opt("cost")? {
                Some(cost) => cost,
                None => row
                    .parsed::<u128>("max_fee")?
                    .saturating_mul(row.number::<u64>("gas")?.into()),
            };
            all = all.saturating_add(cost);
        }
        Ok(all)
    }
}

impl Signed {
    /// Every transaction that was signed for a nonce, the latest first.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn of(tx: &mut Transaction, nonce: u64) -> Result<Vec<Self>, StoreError> {
        let rows = query("SELECT hash, raw FROM transactions WHERE nonce = $1 ORDER BY turn DESC")
            .bind(big(nonce)?)
            .fetch_all(&mut **tx)
            .await?;
        let read = |row: &AnyRow| -> Result<_, StoreError> {
            let hash: String = row.parsed("hash")?;
            Ok(Self {
                hash: array_from_hex(&hash).map_err(|_| StoreError::Corrupt("hash"))?,
                raw: row.bytes("raw")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn keep(&self, tx: &mut Transaction, nonce: u64) -> Result<(), StoreError> {
        query(
            "INSERT INTO transactions (hash, nonce, turn, raw)
             SELECT $1, $2, COUNT(*), $3 FROM transactions WHERE nonce = $2",
        )
        .bind(hex(&self.hash))
        .bind(big(nonce)?)
        .bind(base64url(&self.raw))
        .execute(&mut **tx)
        .await?;
        Ok(())
    }
}

/// What was mined after this block is open again.
pub(super) async fn reopen_after(tx: &mut Transaction, block: u64) -> Result<(), StoreError> {
    query("UPDATE entries SET phase = 'open', mined_block = NULL, succeeded = NULL, cost = NULL WHERE phase = 'mined' AND mined_block > $1")
        .bind(big(block)?)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

const OPEN: &str = "open";
const MINED: &str = "mined";
const FINAL: &str = "final";
const LOST: &str = "lost";

fn read(row: &AnyRow) -> Result<Outgoing, StoreError> {
    Ok(Outgoing {
        entry: Entry {
            nonce: row.number("nonce")?,
            phase: phase(row)?,
            gas: row.number("gas")?,
            fees: Fees {
                max: row.parsed("max_fee")?,
                tip: row.parsed("tip")?,
            },
            ceiling: row.parsed("ceiling")?,
            offered_at: row.number("offered_at")?,
            is_cancel: row.flag("is_cancel")?,
        },
        purpose: match row.parsed_opt("job")? {
            Some(job) => Purpose::Submit(job),
            None => Purpose::Duty(row.parsed("purpose")?),
        },
        target: row.parsed("target")?,
        data: row.bytes("data")?,
    })
}

fn phase(row: &AnyRow) -> Result<Phase, StoreError> {
    Ok(match row.text_opt("phase")?.as_deref() {
        Some(OPEN) => Phase::Open,
        Some(MINED) => Phase::Mined {
            block: row.number("mined_block")?,
            succeeded: row.flag("succeeded")?,
        },
        Some(FINAL) => Phase::Final,
        Some(LOST) => Phase::Lost,
        _ => return Err(StoreError::Corrupt("phase")),
    })
}
