//! What nodes did that honest ones do not.

use nacre_protocol::ids::{BootId, JobId, NodeId, OrganisationName};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// Something that an honest node does not do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewIncident<'a> {
    pub node: NodeId,
    pub boot: BootId,
    pub code: &'a str,
    pub job: Option<JobId>,
}

/// One that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IncidentRow {
    pub id: String,
    pub node: NodeId,
    pub boot: BootId,
    pub code: String,
    pub job: Option<JobId>,
    pub at_ms: u64,
}

/// Notes an incident; the same id again is the same incident.
pub(crate) async fn insert(
    on: &mut Connection,
    id: [u8; 16],
    incident: NewIncident<'_>,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO incidents (id, node, boot_id, code, job, at_ms) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(hex::encode(id))
    .bind(incident.node.to_string())
    .bind(incident.boot.to_string())
    .bind(incident.code)
    .bind(incident.job.map(|job| job.to_string()))
    .bind(big(now_ms)?)
    .execute(&mut *on)
    .await?;
    touch(on, &incident.node).await
}

/// Incidents of all nodes or of one, the latest first, after the one that `after` names by its time and id. Jobs of other
/// organisations are left out of them.
pub(crate) async fn page(
    on: &mut Connection,
    organisation: &OrganisationName,
    node: Option<&NodeId>,
    after: Option<(u64, String)>,
    limit: u32,
) -> Result<Vec<IncidentRow>, StoreError> {
    let (time, id) = match after {
        Some((time, id)) => (big(time)?, id),
        None => (i64::MAX, String::new()),
    };
    let rows = query(
        "SELECT i.id, i.node, i.boot_id, i.code, i.at_ms, j.id AS job
         FROM incidents i LEFT JOIN jobs j ON j.id = i.job AND j.organisation = $1
         WHERE (i.at_ms < $2 OR (i.at_ms = $2 AND i.id < $3)) AND ($4 = '' OR i.node = $4)
         ORDER BY i.at_ms DESC, i.id DESC LIMIT $5",
    )
    .bind(organisation.as_str())
    .bind(time)
    .bind(id)
    .bind(node.map(ToString::to_string).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(IncidentRow {
                id: row.text("id")?,
                node: row.parsed("node")?,
                boot: row.parsed("boot_id")?,
                code: row.text("code")?,
                job: row.parsed_opt("job")?,
                at_ms: row.number("at_ms")?,
            })
        })
        .collect()
}

/// A day, milliseconds.
pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;

/// Incidents of one code and age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tally {
    pub code: String,
    /// Whole days since.
    pub days: u64,
    pub times: u64,
}

/// How a node has behaved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub node: NodeId,
    /// Hundredths of a percent, if any watcher has seen it.
    pub uptime: Option<u32>,
    pub tallies: Vec<Tally>,
}

/// Whole days since, of an incident `i` at the time $1; one that is dated later is of today.
macro_rules! days {
    () => {
        "CASE WHEN i.at_ms > $1 THEN 0 ELSE ($1 - i.at_ms) / 86400000 END"
    };
}

/// The incidents since `since_ms` of at most `limit` nodes after `after`, by their ids.
pub(crate) async fn records(
    on: &mut Connection,
    (now_ms, since_ms): (u64, u64),
    after: &str,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    let rows = query(concat!(
        "SELECT n.id AS node, u.score, i.code, ",
        days!(),
        " AS days, COUNT(i.id) AS times
         FROM (SELECT id FROM nodes WHERE id > $2 ORDER BY id LIMIT $3) n
         LEFT JOIN node_uptime u ON u.node = n.id
         LEFT JOIN incidents i ON i.node = n.id AND i.at_ms > $4
         GROUP BY n.id, u.score, i.code, days ORDER BY n.id, i.code, days"
    ))
    .bind(big(now_ms)?)
    .bind(after)
    .bind(i64::from(limit))
    .bind(big(since_ms)?)
    .fetch_all(on)
    .await?;
    let mut records: Vec<Record> = Vec::new();
    for row in &rows {
        let node: NodeId = row.parsed("node")?;
        if records.last().is_none_or(|last| last.node != node) {
            let uptime = row.number_opt("score")?;
            let tallies = Vec::new();
            records.push(Record {
                node,
                uptime,
                tallies,
            });
        }
        if let (Some(code), Some(record)) = (row.text_opt("code")?, records.last_mut()) {
            record.tallies.push(Tally {
                code,
                days: row.number("days")?,
                times: row.number("times")?,
            });
        }
    }
    Ok(records)
}

/// The node's incidents since `since_ms`, and when the first of them is a day older.
pub(crate) async fn of_node(
    on: &mut Connection,
    node: &NodeId,
    (now_ms, since_ms): (u64, u64),
) -> Result<(Vec<Tally>, Option<u64>), StoreError> {
    let rows = query(concat!(
        "SELECT i.code, ",
        days!(),
        " AS days, COUNT(*) AS times, MIN(i.at_ms) AS oldest_ms
         FROM incidents i WHERE i.node = $2 AND i.at_ms > $3
         GROUP BY i.code, days ORDER BY i.code, days"
    ))
    .bind(big(now_ms)?)
    .bind(node.to_string())
    .bind(big(since_ms)?)
    .fetch_all(on)
    .await?;
    let mut tallies = Vec::with_capacity(rows.len());
    let mut older_ms: Option<u64> = None;
    for row in &rows {
        let days: u64 = row.number("days")?;
        let oldest: u64 = row.number("oldest_ms")?;
        let at = oldest.saturating_add((days + 1).saturating_mul(DAY_MS));
        older_ms = Some(older_ms.map_or(at, |before| before.min(at)));
        tallies.push(Tally {
            code: row.text("code")?,
            days,
            times: row.number("times")?,
        });
    }
    Ok((tallies, older_ms))
}

/// A node has one more incident.
pub(crate) async fn touch(on: &mut Connection, node: &NodeId) -> Result<(), StoreError> {
    query("UPDATE nodes SET conduct_look_ms = 0 WHERE id = $1")
        .bind(node.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Nodes whose incidents are to be counted again, at most `limit`.
pub(crate) async fn due(
    on: &mut Connection,
    now_ms: u64,
    limit: u32,
) -> Result<Vec<NodeId>, StoreError> {
    let rows = query(
        "SELECT id FROM nodes WHERE conduct_look_ms <= $1 ORDER BY conduct_look_ms, id LIMIT $2",
    )
    .bind(big(now_ms)?)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// What a node's incidents left of its score when they were last counted.
pub(crate) async fn conduct(on: &mut Connection, node: &NodeId) -> Result<u32, StoreError> {
    let row = query("SELECT conduct FROM nodes WHERE id = $1")
        .bind(node.to_string())
        .fetch_optional(on)
        .await?;
    row.map_or(Ok(crate::score::FULL), |row| row.number("conduct"))
}

/// Writes what is left, and when it changes. Says the node's uptime score if it is not what it was.
pub(crate) async fn set_conduct(
    on: &mut Connection,
    node: &NodeId,
    conduct: u32,
    look_ms: Option<u64>,
) -> Result<Option<Option<u32>>, StoreError> {
    let row = query(
        "SELECT n.conduct, u.score FROM nodes n LEFT JOIN node_uptime u ON u.node = n.id WHERE n.id = $1",
    )
    .bind(node.to_string())
    .fetch_one(&mut *on)
    .await?;
    query("UPDATE nodes SET conduct = $1, conduct_look_ms = $2 WHERE id = $3")
        .bind(i64::from(conduct))
        .bind(look_ms.map(big).transpose()?)
        .bind(node.to_string())
        .execute(on)
        .await?;
    let before: u32 = row.number("conduct")?;
    let uptime = row.number_opt("score")?;
    Ok((before != conduct).then_some(uptime))
}

/// Forgets those before `before_ms`.
pub(crate) async fn forget(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM incidents WHERE at_ms < $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
