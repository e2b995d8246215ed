//! The log itself: one unbroken row of events, each possible when it was taken in, and each leading to what was noted with it.

use nacre_protocol::encoding::from_base64url;
use sqlx::query;

use crate::market::{FORMAT, Market};
use crate::store::{Connection, RowExt as _, StoreError, big};

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    pub entries: u64,
    pub found: Vec<String>,
    /// As far as the log could be followed to its end.
    pub market: Option<Market>,
}

/// Follows the log from its last snapshot. `None` where there is none, or one of earlier rules.
pub(super) async fn replay(on: &mut Connection) -> Result<Option<Replayed>, StoreError> {
    let row = query("SELECT * FROM market_snapshots ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *on)
        .await?;
    let mut replayed = Replayed::default();
    let Some(row) = row else {
        let any = query("SELECT 1 FROM market_events LIMIT 1")
            .fetch_optional(on)
            .await?;
        return Ok(any.map(|_| {
            replayed
                .found
                .push("events without a snapshot that they follow".to_owned());
            replayed
        }));
    };
    let format: u32 = row.number("format")?;
    if format > FORMAT {
        return Err(StoreError::LaterRules(format));
    }
    if format < FORMAT {
        return Ok(None);
    }
    let seq: u64 = row.number("seq")?;
    let state = from_base64url(&row.text("state")?).ok();
    let market = state.and_then(|state| Market::restore(seq, row.text("mark").ok()?, &state));
    let Some(mut market) = market else {
        replayed
            .found
            .push(format!("the snapshot at {seq} cannot be read"));
        return Ok(Some(replayed));
    };
    if follow(on, &mut market, &mut replayed).await? {
        replayed.market = Some(market);
    }
    Ok(Some(replayed))
}

/// Whether it came to the end.
async fn follow(
    on: &mut Connection,
    market: &mut Market,
    replayed: &mut Replayed,
) -> Result<bool, StoreError> {
    let begin = market.place().seq;
    let rows = query("SELECT * FROM market_events WHERE seq >= $1 ORDER BY seq")
        .bind(big(begin)?)
        .fetch_all(on)
        .await?;
    let found = &mut replayed.found;
    let mut due = begin;
    for row in &rows {
        let seq: u64 = row.number("seq")?;
        let Ok(entry) = super::super::read_entry(row) else {
            found.push(format!("entry {seq} cannot be read"));
            return Ok(false);
        };
        if seq != due {
            found.push(format!("entries {due} to {} are gone", seq - 1));
            return Ok(false);
        }
        due = seq + 1;
        replayed.entries += 1;
        let wake_ms = entry.wake_ms;
        if seq == begin {
            if super::super::place(&entry) != market.place() {
                found.push(format!("the snapshot at {seq} is of another entry"));
            }
        } else {
            if entry.at_ms < market.scheduler().now().0 {
                found.push(format!("entry {seq} is earlier than the one before it"));
            }
            if let Err(why) = market.scheduler().check(&entry.event) {
                found.push(format!("entry {seq} cannot have been: {why}"));
            }
            market.replay(entry);
        }
        let wake = market.scheduler().next_wake().map(|at| at.0);
        if wake != wake_ms {
            found.push(format!(
                "after entry {seq} something is due at {wake:?}, where the log says {wake_ms:?}"
            ));
        }
    }
    if due == begin {
        found.push(format!("the snapshot at {begin} is of no entry"));
    }
    Ok(due != begin)
}
