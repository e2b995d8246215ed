//! Blocks that were followed, and going back.

use nacre_protocol::eip712::Word;
use nacre_protocol::encoding::array_from_hex;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::row::RowExt as _;
use super::{Connection, StoreError, Transaction, big, entries, jobs};
use crate::job::Event;

/// A block, by what makes it that block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: Word,
    /// Its time, Unix seconds.
    pub time: u64,
}

impl BlockRef {
    /// The latest blocks that were followed, the highest first.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn tail(tx: &mut Transaction) -> Result<Vec<Self>, StoreError> {
        let rows = query("SELECT number, hash, time FROM blocks ORDER BY number DESC");
        let rows = rows.fetch_all(&mut **tx).await?;
        let read = |row: &AnyRow| -> Result<Self, StoreError> {
            let hash: String = row.try_get("hash")?;
            Ok(Self {
                number: row.number("number")?,
                hash: array_from_hex(&hash).map_err(|_| StoreError::Corrupt("hash"))?,
                time: row.number("time")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The highest block that was followed.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn head(tx: &mut Transaction) -> Result<Option<Self>, StoreError> {
        // The tail is short.
        Ok(Self::tail(tx).await?.into_iter().next())
    }

    /// Keeps it as followed.
    ///
    /// # Errors
    ///
    /// The engine refuses; also where there is a block of this number.
    pub async fn push(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        query("INSERT INTO blocks (number, hash, time) VALUES ($1, $2, $3)")
            .bind(big(self.number)?)
            .bind(hex(&self.hash))
            .bind(big(self.time)?)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Forgets blocks before this one, which nothing takes back any more.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn forget_before(tx: &mut Transaction, number: u64) -> Result<(), StoreError> {
        query("DELETE FROM blocks WHERE number < $1")
            .bind(big(number)?)
            .execute(&mut **tx)
            .await?;
        Ok(())
    }

    /// Takes back all blocks after this number, with all that happened in them.
    ///
    /// # Errors
    ///
    /// The engine refuses.
    pub async fn roll_back(tx: &mut Transaction, to: u64, now_ms: u64) -> Result<(), StoreError> {
        query("DELETE FROM blocks WHERE number > $1")
            .bind(big(to)?)
            .execute(&mut **tx)
            .await?;
        for id in jobs::after(tx, to).await? {
            jobs::apply(tx, &id, Event::RolledBack(to), now_ms).await?;
        }
        entries::reopen_after(tx, to).await
    }
}

/// What is kept under a name; `first` where nothing was.
pub(super) async fn name(
    tx: &mut Connection,
    name: &str,
    first: &str,
) -> Result<String, StoreError> {
    query("INSERT INTO relay (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
        .bind(name)
        .bind(first)
        .execute(&mut *tx)
        .await?;
    let row = query("SELECT value FROM relay WHERE name = $1").bind(name);
    Ok(row.fetch_one(tx).await?.try_get("value")?)
}

/// Hexadecimal digits without `0x`.
pub(super) fn hex(bytes: &[u8]) -> String {
    nacre_protocol::verified_enclave::hex0x(bytes).split_off(2)
}
