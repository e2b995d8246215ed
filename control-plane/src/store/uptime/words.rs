//! What watchers said: commitments, reveals, and what disputes overturned of them.

use std::collections::BTreeSet;

use nacre_protocol::encoding::array_from_hex;
use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{Epoch, PostCommit, PostReveal, Slot, WatcherId};
use sqlx::query;

use crate::store::{Connection, RowExt as _, StoreError, big};

/// A word of one watcher in one slot.
pub(crate) type Overturned = BTreeSet<(WatcherId, NodeId, Slot)>;

/// The commitment that stands.
pub(crate) async fn commitment(
    on: &mut Connection,
    epoch: Epoch,
    watcher: &WatcherId,
) -> Result<Option<Hash>, StoreError> {
    let row = query("SELECT commitment FROM uptime_commits WHERE epoch = $1 AND watcher = $2")
        .bind(big(epoch.0)?)
        .bind(watcher.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| hash(&row.text("commitment")?)).transpose()
}

/// Keeps a first commitment; false where there is one.
pub(crate) async fn commit(
    on: &mut Connection,
    commit: &PostCommit,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO uptime_commits (epoch, watcher, commitment, signature, taken_ms)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (epoch, watcher) DO NOTHING",
    )
    .bind(big(commit.epoch.0)?)
    .bind(commit.watcher.to_string())
    .bind(hex::encode(commit.commitment))
    .bind(hex::encode(commit.signature))
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Keeps the proof that a watcher committed to two things.
pub(crate) async fn said_twice(on: &mut Connection, commit: &PostCommit) -> Result<(), StoreError> {
    query(
        "UPDATE uptime_commits SET other_commitment = $3, other_signature = $4
         WHERE epoch = $1 AND watcher = $2 AND commitment <> $3 AND other_commitment IS NULL",
    )
    .bind(big(commit.epoch.0)?)
    .bind(commit.watcher.to_string())
    .bind(hex::encode(commit.commitment))
    .bind(hex::encode(commit.signature))
    .execute(on)
    .await?;
    Ok(())
}

/// Keeps a reveal; one that counts stands, one with a fault gives way to it.
pub(crate) async fn reveal(
    on: &mut Connection,
    reveal: &PostReveal,
    body: &str,
    fault: Option<&str>,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO uptime_reveals (epoch, watcher, body, fault, taken_ms)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (epoch, watcher) DO UPDATE SET
             body = excluded.body, fault = excluded.fault, taken_ms = excluded.taken_ms
         WHERE uptime_reveals.fault IS NOT NULL AND excluded.fault IS NULL",
    )
    .bind(big(reveal.epoch.0)?)
    .bind(reveal.watcher.to_string())
    .bind(body)
    .bind(fault)
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// What one watcher said of an epoch.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub watcher: WatcherId,
    pub stake: u64,
    pub commitment: Option<Hash>,
    /// As it came.
    pub reveal: Option<PostReveal>,
}

/// What the watchers of an epoch, with the stakes given, said of it.
pub(crate) async fn words(
    on: &mut Connection,
    epoch: Epoch,
    weights: Vec<(WatcherId, u64)>,
) -> Result<Vec<Word>, StoreError> {
    let mut words = Vec::with_capacity(weights.len());
    for (watcher, stake) in weights {
        let commitment = commitment(&mut *on, epoch, &watcher).await?;
        let row = query("SELECT body FROM uptime_reveals WHERE epoch = $1 AND watcher = $2")
            .bind(big(epoch.0)?)
            .bind(watcher.to_string())
            .fetch_optional(&mut *on)
            .await?;
        let reveal = row.map(|row| {
            let body = row.text("body")?;
            serde_json::from_str(&body).map_err(|_| StoreError::Corrupt("body"))
        });
        words.push(Word {
            watcher,
            stake,
            commitment,
            reveal: reveal.transpose()?,
        });
    }
    Ok(words)
}

/// When anything was last said of an epoch, and how often: whoever judged by what it read finds the same, or judges anew.
pub(crate) async fn state(on: &mut Connection, epoch: Epoch) -> Result<[u64; 4], StoreError> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM uptime_commits WHERE epoch = $1) AS commits,
                (SELECT COUNT(*) FROM uptime_reveals WHERE epoch = $1) AS reveals,
                (SELECT COUNT(*) FROM uptime_reveals WHERE epoch = $1 AND fault IS NULL) AS good,
                (SELECT COUNT(*) FROM uptime_overturned WHERE epoch = $1) AS overturned",
    )
    .bind(big(epoch.0)?)
    .fetch_one(on)
    .await?;
    Ok([
        row.number("commits")?,
        row.number("reveals")?,
        row.number("good")?,
        row.number("overturned")?,
    ])
}

/// Words of an epoch that disputes overturned.
pub(crate) async fn overturned(
    on: &mut Connection,
    epoch: Epoch,
) -> Result<Overturned, StoreError> {
    let rows = query("SELECT watcher, node, slot FROM uptime_overturned WHERE epoch = $1")
        .bind(big(epoch.0)?)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            let slot = Slot(row.number("slot")?);
            Ok((row.parsed("watcher")?, row.parsed("node")?, slot))
        })
        .collect()
}

/// Overturns one word. False where it was before.
pub(crate) async fn overturn(
    on: &mut Connection,
    epoch: Epoch,
    word: &(WatcherId, NodeId, Slot),
    evidence: &Hash,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "INSERT INTO uptime_overturned (epoch, node, watcher, slot, evidence, taken_ms)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (epoch, node, watcher, slot) DO NOTHING",
    )
    .bind(big(epoch.0)?)
    .bind(word.1.to_string())
    .bind(word.0.to_string())
    .bind(big(word.2.0)?)
    .bind(hex::encode(evidence))
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn hash(text: &str) -> Result<Hash, StoreError> {
    array_from_hex(text).map_err(|_| StoreError::Corrupt("commitment"))
}
