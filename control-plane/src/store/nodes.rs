//! Nodes, their boots, and what they shall run.

use nacre_protocol::api::{DesiredFunction, DesiredState, Node, Offer, RegisterNode};
use nacre_protocol::identity::IdentityStatement;
use nacre_protocol::ids::{BootId, NodeId, OperatorId, OrganisationName};
use nacre_protocol::sealed::key_id;
use nacre_protocol::uptime::NodeUptime;
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};
use crate::token::SecretHash;
use crate::traces;

/// What a registration is held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// Who registered the node first.
    pub operator: OperatorId,
    /// The boot that is registered.
    pub boot_id: BootId,
}

/// A node that registered before.
pub(crate) async fn known(on: &mut Connection, id: &NodeId) -> Result<Option<Known>, StoreError> {
    let row = query("SELECT operator, boot_id FROM nodes WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| {
        Ok(Known {
            operator: row.parsed("operator")?,
            boot_id: row.parsed("boot_id")?,
        })
    })
    .transpose()
}

/// The node that a boot belongs to.
pub(crate) async fn node_of_boot(
    on: &mut Connection,
    boot: &BootId,
) -> Result<Option<NodeId>, StoreError> {
    let row = query("SELECT node FROM boots WHERE boot_id = $1")
        .bind(boot.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.parsed("node")).transpose()
}

/// Writes a registration: the node is online, its former token is void, its desired state has a new revision.
pub(crate) async fn register(
    on: &mut Connection,
    request: &RegisterNode,
    statement: &IdentityStatement,
    token: SecretHash,
    organisation: Option<&OrganisationName>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let boot = statement.boot_id;
    // Revisions start at the time, so that a node which outlived a lost database meets none that it saw.
    query(
        "INSERT INTO nodes (id, operator, endpoint, memory_bytes, price, boot_id, token_sha256,
                            revision, online, seen_ms, registered_ms, region, organisation, cpu_price,
                            cpu_milli, trace)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, TRUE, $8, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (id) DO UPDATE SET region = excluded.region,
             endpoint = excluded.endpoint, memory_bytes = excluded.memory_bytes,
             cpu_milli = excluded.cpu_milli, price = excluded.price, cpu_price = excluded.cpu_price, boot_id = excluded.boot_id,
             token_sha256 = excluded.token_sha256, revision = nodes.revision + 1,
             trace = excluded.trace, online = TRUE, seen_ms = excluded.seen_ms,
             organisation = COALESCE(excluded.organisation, nodes.organisation)",
    )
    .bind(request.id.to_string())
    .bind(request.operator.to_string())
    .bind(&request.endpoint)
    .bind(big(request.offer.memory_bytes)?)
    .bind(big(request.offer.price)?)
    .bind(boot.to_string())
    .bind(token.to_hex())
    .bind(big(now_ms)?)
    .bind(&request.region)
    .bind(organisation.map(OrganisationName::as_str))
    .bind(big(request.offer.cpu_price)?)
    .bind(i64::from(request.offer.cpu_milli))
    .bind(traces::current())
    .execute(&mut *on)
    .await?;
    query(
        "INSERT INTO boots (boot_id, node, receipt_key, seal_key_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (boot_id) DO UPDATE SET
             receipt_key = excluded.receipt_key, seal_key_id = excluded.seal_key_id",
    )
    .bind(boot.to_string())
    .bind(request.id.to_string())
    .bind(hex::encode(statement.receipt_key))
    .bind(hex::encode(key_id(&statement.hpke_key)))
    .execute(on)
    .await?;
    Ok(())
}

/// Makes a registered node this organisation's.
pub(crate) async fn claim(
    on: &mut Connection,
    id: &NodeId,
    organisation: &OrganisationName,
) -> Result<(), StoreError> {
    query("UPDATE nodes SET organisation = $1 WHERE id = $2")
        .bind(organisation.as_str())
        .bind(id.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// The hash of the node's token.
pub(crate) async fn token(
    on: &mut Connection,
    id: &NodeId,
) -> Result<Option<SecretHash>, StoreError> {
    let row = query("SELECT token_sha256 FROM nodes WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| {
        let text = row.text("token_sha256")?;
        SecretHash::from_hex(&text).ok_or(StoreError::Corrupt("token_sha256"))
    })
    .transpose()
}

/// Records a report. Says whether the node was offline before and is online now: one that nobody reaches stays offline.
pub(crate) async fn saw(on: &mut Connection, id: &NodeId, now_ms: u64) -> Result<bool, StoreError> {
    query("UPDATE nodes SET seen_ms = $1 WHERE id = $2")
        .bind(big(now_ms)?)
        .bind(id.to_string())
        .execute(&mut *on)
        .await?;
    let back = query(
        "UPDATE nodes SET online = TRUE WHERE id = $1 AND online = FALSE AND NOT EXISTS (
             SELECT 1 FROM node_uptime WHERE node = $1 AND unreachable_ms IS NOT NULL)",
    )
    .bind(id.to_string())
    .execute(on)
    .await?;
    Ok(back.rows_affected() > 0)
}

/// Records a report that says nothing new, of a node that is online with this boot. False if it is not.
pub(crate) async fn still_there(
    on: &mut Connection,
    id: &NodeId,
    boot: &BootId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done =
        query("UPDATE nodes SET seen_ms = $1 WHERE id = $2 AND boot_id = $3 AND online = TRUE")
            .bind(big(now_ms)?)
            .bind(id.to_string())
            .bind(boot.to_string())
            .execute(on)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Whether any online node was last seen before `before_ms`.
pub(crate) async fn any_silent(on: &mut Connection, before_ms: u64) -> Result<bool, StoreError> {
    let row = query("SELECT id FROM nodes WHERE online = TRUE AND seen_ms < $1 LIMIT 1")
        .bind(big(before_ms)?)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Takes nodes that were last seen before `before_ms` offline. Says which.
pub(crate) async fn take_offline(
    on: &mut Connection,
    before_ms: u64,
) -> Result<Vec<NodeId>, StoreError> {
    let rows =
        query("UPDATE nodes SET online = FALSE WHERE online = TRUE AND seen_ms < $1 RETURNING id")
            .bind(big(before_ms)?)
            .fetch_all(on)
            .await?;
    rows.iter().map(|row| row.parsed("id")).collect()
}

/// Gives the node's desired state its next revision, which came about in this trace.
pub(crate) async fn bump_revision(
    on: &mut Connection,
    id: &NodeId,
    trace: Option<&str>,
) -> Result<(), StoreError> {
    query("UPDATE nodes SET revision = revision + 1, trace = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(trace)
        .execute(on)
        .await?;
    Ok(())
}

/// What the node shall run, and the trace in which that came about.
pub(crate) async fn desired(
    on: &mut Connection,
    id: &NodeId,
) -> Result<Option<(DesiredState, Option<String>)>, StoreError> {
    let row = query("SELECT revision, trace FROM nodes WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(&mut *on)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let leases = query(
        "SELECT l.id, l.function, d.digest FROM leases l JOIN deployments d ON d.id = l.deployment
         WHERE l.node = $1 AND l.ended_ms IS NULL ORDER BY l.function",
    )
    .bind(id.to_string())
    .fetch_all(on)
    .await?;
    let functions = leases.iter().map(|row| {
        Ok(DesiredFunction {
            lease: row.parsed("id")?,
            name: row.parsed("function")?,
            digest: row.parsed("digest")?,
        })
    });
    let desired = DesiredState {
        revision: row.number("revision")?,
        functions: functions.collect::<Result<_, StoreError>>()?,
    };
    Ok(Some((desired, row.text_opt("trace")?)))
}

/// The boot that the node registered last.
pub(crate) async fn boot(on: &mut Connection, id: &NodeId) -> Result<Option<BootId>, StoreError> {
    let row = query("SELECT boot_id FROM nodes WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.parsed("boot_id")).transpose()
}

/// Nodes after `after`, in order of their ids: all, or an organisation's own.
pub(crate) async fn list(
    on: &mut Connection,
    organisation: &OrganisationName,
    own: bool,
    after: &str,
    limit: u32,
) -> Result<Vec<Node>, StoreError> {
    let rows = query(
        "SELECT n.id, n.operator, n.endpoint, n.region, n.memory_bytes, n.cpu_milli, n.price,
             n.cpu_price, n.leaves_ms, n.boot_id, n.seen_ms,
             CASE WHEN n.online THEN 1 ELSE 0 END AS online,
             CASE WHEN n.organisation = $3 THEN 1 ELSE 0 END AS own,
             CAST(COALESCE((
                 SELECT SUM(l.memory_bytes) FROM leases l WHERE l.node = n.id AND l.ended_ms IS NULL
             ), 0) AS BIGINT) AS reserved_bytes,
             CAST(COALESCE((
                 SELECT SUM(l.kept_cpu_milli) FROM leases l WHERE l.node = n.id AND l.ended_ms IS NULL
             ), 0) AS BIGINT) AS reserved_cpu,
             u.score, u.unreachable_ms,
             COALESCE((SELECT s.stake FROM node_stakes s WHERE s.node = n.id
                       ORDER BY s.from_ms DESC LIMIT 1), 0) AS stake
         FROM nodes n LEFT JOIN node_uptime u ON u.node = n.id
         WHERE n.id > $1 AND (CAST($4 AS BIGINT) = 0 OR n.organisation = $3) ORDER BY n.id LIMIT $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .bind(organisation.as_str())
    .bind(i64::from(own))
    .fetch_all(on)
    .await?;
    rows.iter().map(read_node).collect()
}

fn read_node(row: &AnyRow) -> Result<Node, StoreError> {
    Ok(Node {
        id: row.parsed("id")?,
        operator: row.parsed("operator")?,
        endpoint: row.text("endpoint")?,
        region: row.text("region")?,
        leaves_ms: row.number_opt("leaves_ms")?,
        offer: Offer {
            memory_bytes: row.number("memory_bytes")?,
            cpu_milli: row.number("cpu_milli")?,
            price: row.number("price")?,
            cpu_price: row.number("cpu_price")?,
        },
        reserved_bytes: row.number("reserved_bytes")?,
        reserved_cpu_milli: row.number("reserved_cpu")?,
        online: row.flag("online")?,
        own: row.flag("own")?,
        boot_id: row.parsed("boot_id")?,
        seen_ms: row.number("seen_ms")?,
        uptime: NodeUptime {
            score: row.number_opt("score")?,
            unreachable_ms: row.number_opt("unreachable_ms")?,
            stake: row.number("stake")?,
        },
    })
}
