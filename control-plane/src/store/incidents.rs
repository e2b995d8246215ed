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
    .execute(on)
    .await?;
    Ok(())
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

/// How often each node has had incidents of each code since `since_ms`: of at most `limit` nodes after `after`, by their ids.
pub(crate) async fn counts(
    on: &mut Connection,
    since_ms: u64,
    after: &str,
    limit: u32,
) -> Result<Vec<(NodeId, Vec<(String, u64)>)>, StoreError> {
    let rows = query(
        "SELECT n.id AS node, i.code, COUNT(i.id) AS times
         FROM (SELECT id FROM nodes WHERE id > $1 ORDER BY id LIMIT $2) n
         LEFT JOIN incidents i ON i.node = n.id AND i.at_ms >= $3
         GROUP BY n.id, i.code ORDER BY n.id, i.code",
    )
    .bind(after)
    .bind(i64::from(limit))
    .bind(big(since_ms)?)
    .fetch_all(on)
    .await?;
    let mut counts: Vec<(NodeId, Vec<(String, u64)>)> = Vec::new();
    for row in &rows {
        let node: NodeId = row.parsed("node")?;
        if counts.last().is_none_or(|(last, _)| *last != node) {
            counts.push((node, Vec::new()));
        }
        if let (Some(code), Some((_, of_node))) = (row.text_opt("code")?, counts.last_mut()) {
            of_node.push((code, row.number("times")?));
        }
    }
    Ok(counts)
}

/// Forgets those before `before_ms`.
pub(crate) async fn forget(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query("DELETE FROM incidents WHERE at_ms < $1")
        .bind(big(before_ms)?)
        .execute(on)
        .await?;
    Ok(())
}
