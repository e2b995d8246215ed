//! The market's log and its snapshots; what it decided is written by [`decisions`], and read back by [`seed`] when there
//! is no log.

pub(crate) mod audit;
pub(crate) mod decisions;
pub(crate) mod seed;

use nacre_protocol::encoding::{base64url, from_base64url};
use nacre_scheduler::Event;
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};
use crate::market::{Entry, FORMAT, Market, Place};

/// Entries after the last snapshot, at most, before there is another. What a control plane reads at its start.
const SNAPSHOT_EVERY: u64 = 2000;

/// The entries from `seq` on, in order.
async fn entries(on: &mut Connection, seq: u64) -> Result<Vec<Entry>, StoreError> {
    let rows = query("SELECT * FROM market_events WHERE seq >= $1 ORDER BY seq")
        .bind(big(seq)?)
        .fetch_all(on)
        .await?;
    rows.iter().map(read_entry).collect()
}

fn read_entry(row: &AnyRow) -> Result<Entry, StoreError> {
    let event: Event =
        serde_json::from_str(&row.text("event")?).map_err(|_| StoreError::Corrupt("event"))?;
    Ok(Entry {
        seq: row.number("seq")?,
        mark: row.text("mark")?,
        at_ms: row.number("at_ms")?,
        event,
        wake_ms: row.number_opt("wake_ms")?,
    })
}

/// Brings a market up to the end of the log. `None` if it stands where the log never was, or no longer is.
pub(crate) async fn catch_up(
    on: &mut Connection,
    mut market: Market,
) -> Result<Option<Market>, StoreError> {
    let mut entries = entries(on, market.place().seq).await?.into_iter();
    let first = entries.next();
    let here = first.is_some_and(|first| place(&first) == market.place());
    if !here {
        return Ok(None);
    }
    entries.for_each(|entry| market.replay(entry));
    Ok(Some(market))
}

fn place(entry: &Entry) -> Place<'_> {
    Place {
        seq: entry.seq,
        mark: &entry.mark,
    }
}

/// Makes the market of the log: from the last snapshot and the entries since. `None` if there is no log, or one of
/// earlier rules.
pub(crate) async fn load(on: &mut Connection) -> Result<Option<Market>, StoreError> {
    let row = query("SELECT * FROM market_snapshots ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *on)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let format: u32 = row.number("format")?;
    if format > FORMAT {
        return Err(StoreError::LaterRules(format));
    }
    if format < FORMAT {
        return Ok(None);
    }
    let corrupt = || StoreError::Corrupt("state");
    let state = from_base64url(&row.text("state")?).map_err(|_| corrupt())?;
    let market = Market::restore(row.number("seq")?, row.text("mark")?, &state);
    let market = market.ok_or_else(corrupt)?;
    catch_up(on, market).await?.map(Some).ok_or_else(corrupt)
}

/// Adds entries to the log, and a snapshot when it is time for one.
pub(crate) async fn append(
    on: &mut Connection,
    entries: &[Entry],
    market: &Market,
) -> Result<(), StoreError> {
    for entry in entries {
        let event = serde_json::to_string(&entry.event);
        query(
            "INSERT INTO market_events (seq, mark, at_ms, event, wake_ms) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(big(entry.seq)?)
        .bind(&entry.mark)
        .bind(big(entry.at_ms)?)
        .bind(event.map_err(|_| StoreError::Corrupt("event"))?)
        .bind(entry.wake_ms.map(big).transpose()?)
        .execute(&mut *on)
        .await?;
    }
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return Ok(());
    };
    if first.seq.next_multiple_of(SNAPSHOT_EVERY) <= last.seq {
        keep_snapshot(on, market).await?;
    }
    Ok(())
}

/// Keeps a snapshot, and nothing of what led there but the last entry.
pub(crate) async fn keep_snapshot(on: &mut Connection, market: &Market) -> Result<(), StoreError> {
    let state = market.snapshot().ok_or(StoreError::Corrupt("state"))?;
    let place = market.place();
    let seq = big(place.seq)?;
    query("INSERT INTO market_snapshots (seq, mark, format, state) VALUES ($1, $2, $3, $4)")
        .bind(seq)
        .bind(place.mark)
        .bind(i64::from(FORMAT))
        .bind(base64url(&state))
        .execute(&mut *on)
        .await?;
    query("DELETE FROM market_snapshots WHERE seq < $1")
        .bind(seq)
        .execute(&mut *on)
        .await?;
    query("DELETE FROM market_events WHERE seq < $1")
        .bind(seq)
        .execute(on)
        .await?;
    Ok(())
}

/// The number of the last entry, 0 if there is none, and when time alone changes something.
pub(crate) async fn head(on: &mut Connection) -> Result<(u64, Option<u64>), StoreError> {
    let row = query("SELECT seq, wake_ms FROM market_events ORDER BY seq DESC LIMIT 1")
        .fetch_optional(on)
        .await?;
    let Some(row) = row else { return Ok((0, None)) };
    Ok((row.number("seq")?, row.number_opt("wake_ms")?))
}
