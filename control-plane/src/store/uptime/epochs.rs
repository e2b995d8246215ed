//! Judged epochs: who counted, and each node's slots.

use core::ops::RangeInclusive;

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Epoch, Outcome, Verdict, WatcherStanding};
use nacre_uptime::WindowTally;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};

use super::runs;
use crate::store::{Connection, RowExt as _, StoreError, big};

/// Rows that one statement writes.
const ROWS: usize = 64;
const COLUMNS: usize = 9;

/// One node's slots of an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeEpoch {
    pub epoch: Epoch,
    pub node: NodeId,
    /// One a slot.
    pub verdicts: Vec<Verdict>,
    /// One a slot.
    pub excused: Vec<bool>,
    /// What each watcher of the epoch saw, in the epoch's order: one a slot, [`Outcome::Unseen`] where it does not count.
    pub saw: Vec<Vec<Outcome>>,
    /// The same, counted.
    pub tally: WindowTally,
}

/// The first and last epoch that is kept as judged.
pub(crate) async fn judged(on: &mut Connection) -> Result<Option<(Epoch, Epoch)>, StoreError> {
    let row = query("SELECT MIN(epoch) AS first, MAX(epoch) AS last FROM uptime_epochs")
        .fetch_one(on)
        .await?;
    let first: Option<u64> = row.number_opt("first")?;
    let last: Option<u64> = row.number_opt("last")?;
    Ok(first
        .zip(last)
        .map(|(first, last)| (Epoch(first), Epoch(last))))
}

/// Writes that an epoch is judged; false where it was before.
pub(crate) async fn insert(
    on: &mut Connection,
    epoch: Epoch,
    watchers: &[WatcherStanding],
    now_ms: u64,
) -> Result<bool, StoreError> {
    let list = serde_json::to_string(watchers).map_err(|_| StoreError::Corrupt("watchers"))?;
    let done = query(
        "INSERT INTO uptime_epochs (epoch, judged_ms, watchers) VALUES ($1, $2, $3)
         ON CONFLICT (epoch) DO NOTHING",
    )
    .bind(big(epoch.0)?)
    .bind(big(now_ms)?)
    .bind(list)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// The watchers of a judged epoch, in its order.
pub(crate) async fn standings(
    on: &mut Connection,
    epoch: Epoch,
) -> Result<Option<Vec<WatcherStanding>>, StoreError> {
    let row = query("SELECT watchers FROM uptime_epochs WHERE epoch = $1")
        .bind(big(epoch.0)?)
        .fetch_optional(on)
        .await?;
    let read = |row: AnyRow| {
        serde_json::from_str(&row.text("watchers")?).map_err(|_| StoreError::Corrupt("watchers"))
    };
    row.map(read).transpose()
}

/// Writes nodes' slots, many at a time; what was there of the same gives way.
pub(crate) async fn put(on: &mut Connection, nodes: &[NodeEpoch]) -> Result<(), StoreError> {
    for some in nodes.chunks(ROWS) {
        let mut statement = query(AssertSqlSafe(insert_rows(some.len())));
        for node in some {
            statement = statement
                .bind(big(node.epoch.0)?)
                .bind(node.node.to_string())
                .bind(runs::encode(node.verdicts.iter().map(verdict_char)))
                .bind(runs::encode(node.excused.iter().map(excused_char)))
                .bind(runs::encode(node.saw.iter().flatten().map(outcome_char)))
                .bind(i64::from(node.tally.up))
                .bind(i64::from(node.tally.missing))
                .bind(i64::from(node.tally.excused))
                .bind(i64::from(node.tally.unjudged));
        }
        statement.execute(&mut *on).await?;
    }
    Ok(())
}

/// `INSERT` of so many rows: nothing of a caller's is in its text.
fn insert_rows(rows: usize) -> String {
    let row = |at: usize| {
        let places: Vec<_> = (1..=COLUMNS)
            .map(|column| format!("${}", at * COLUMNS + column))
            .collect();
        format!("({})", places.join(", "))
    };
    let values: Vec<_> = (0..rows).map(row).collect();
    format!(
        "INSERT INTO uptime_slots
             (epoch, node, verdicts, excused_slots, saw, up, missing, excused, unjudged)
         VALUES {}
         ON CONFLICT (epoch, node) DO UPDATE SET
             verdicts = excluded.verdicts, excused_slots = excluded.excused_slots,
             saw = excluded.saw, up = excluded.up, missing = excluded.missing,
             excused = excluded.excused, unjudged = excluded.unjudged",
        values.join(", ")
    )
}

/// One node's slots of some epochs, in their order.
pub(crate) async fn of_node(
    on: &mut Connection,
    node: &NodeId,
    epochs: RangeInclusive<u64>,
    slots: usize,
) -> Result<Vec<NodeEpoch>, StoreError> {
    let rows = query(
        "SELECT epoch, node, verdicts, excused_slots, saw, up, missing, excused, unjudged
         FROM uptime_slots WHERE node = $1 AND epoch >= $2 AND epoch <= $3 ORDER BY epoch",
    )
    .bind(node.to_string())
    .bind(big(*epochs.start())?)
    .bind(big(*epochs.end())?)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| read(row, slots)).collect()
}

/// What each node's slots of some epochs come to.
pub(crate) async fn sums(
    on: &mut Connection,
    epochs: RangeInclusive<u64>,
) -> Result<Vec<(NodeId, WindowTally)>, StoreError> {
    let rows = query(
        "SELECT node, CAST(SUM(up) AS BIGINT) AS up, CAST(SUM(missing) AS BIGINT) AS missing,
                CAST(SUM(excused) AS BIGINT) AS excused, CAST(SUM(unjudged) AS BIGINT) AS unjudged
         FROM uptime_slots WHERE epoch >= $1 AND epoch <= $2 GROUP BY node ORDER BY node",
    )
    .bind(big(*epochs.start())?)
    .bind(big(*epochs.end())?)
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| Ok((row.parsed("node")?, tally(row)?)))
        .collect()
}

fn read(row: &AnyRow, slots: usize) -> Result<NodeEpoch, StoreError> {
    let saw: Vec<Outcome> = characters(row, "saw", outcome_of)?;
    Ok(NodeEpoch {
        epoch: Epoch(row.number("epoch")?),
        node: row.parsed("node")?,
        verdicts: characters(row, "verdicts", verdict_of)?,
        excused: characters(row, "excused_slots", excused_of)?,
        saw: saw.chunks(slots.max(1)).map(<[_]>::to_vec).collect(),
        tally: tally(row)?,
    })
}

fn characters<T>(
    row: &AnyRow,
    column: &'static str,
    meaning: impl Fn(char) -> Option<T>,
) -> Result<Vec<T>, StoreError> {
    let characters = runs::decode(&row.text(column)?);
    let all = characters.and_then(|all| all.into_iter().map(meaning).collect());
    all.ok_or(StoreError::Corrupt(column))
}

fn tally(row: &AnyRow) -> Result<WindowTally, StoreError> {
    Ok(WindowTally {
        up: row.number("up")?,
        missing: row.number("missing")?,
        excused: row.number("excused")?,
        unjudged: row.number("unjudged")?,
    })
}

fn verdict_char(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Up => 'u',
        Verdict::Down => 'd',
        Verdict::Tied => 't',
        Verdict::Unseen => '-',
    }
}

fn verdict_of(c: char) -> Option<Verdict> {
    [Verdict::Up, Verdict::Down, Verdict::Tied, Verdict::Unseen]
        .into_iter()
        .find(|verdict| verdict_char(verdict) == c)
}

fn excused_char(excused: &bool) -> char {
    if *excused { 'x' } else { '.' }
}

fn excused_of(c: char) -> Option<bool> {
    match c {
        'x' => Some(true),
        '.' => Some(false),
        _ => None,
    }
}

/// A letter: `a` unseen, `b` up, then the reasons for down.
fn outcome_char(outcome: &Outcome) -> char {
    char::from(b'a' + outcome.to_byte())
}

fn outcome_of(c: char) -> Option<Outcome> {
    let byte = u8::try_from(c).ok()?.checked_sub(b'a')?;
    Outcome::from_byte(byte)
}

/// Forgets what was said and judged of epochs before `old`, and reveals, which are large, before `settled` already: nothing
/// is disputed there any more, and what each watcher saw stands beside the verdicts.
pub(crate) async fn forget(
    on: &mut Connection,
    old: Epoch,
    settled: Epoch,
) -> Result<(), StoreError> {
    query("DELETE FROM uptime_reveals WHERE epoch < $1")
        .bind(big(settled.0)?)
        .execute(&mut *on)
        .await?;
    for statement in [
        "DELETE FROM uptime_commits WHERE epoch < $1",
        "DELETE FROM uptime_overturned WHERE epoch < $1",
        "DELETE FROM uptime_slots WHERE epoch < $1",
        // The last one says where to go on.
        "DELETE FROM uptime_epochs WHERE epoch < $1
         AND epoch < (SELECT MAX(epoch) FROM uptime_epochs)",
    ] {
        query(statement).bind(big(old.0)?).execute(&mut *on).await?;
    }
    Ok(())
}
