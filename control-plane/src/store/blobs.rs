//! Which blobs the object store holds, and what needs them.

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{NodeId, OrganisationName};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// A stored blob's size.
pub(crate) async fn size(on: &mut Connection, digest: &Digest) -> Result<Option<u64>, StoreError> {
    let row = query("SELECT size FROM blobs WHERE digest = $1")
        .bind(digest.to_string())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.number("size")).transpose()
}

/// The size of a stored blob whose bytes the organisation sent.
pub(crate) async fn held_size(
    on: &mut Connection,
    digest: &Digest,
    organisation: &OrganisationName,
) -> Result<Option<u64>, StoreError> {
    let row = query(
        "SELECT b.size FROM blobs b JOIN blob_holders h ON h.blob = b.digest
         WHERE b.digest = $1 AND h.organisation = $2",
    )
    .bind(digest.to_string())
    .bind(organisation.as_str())
    .fetch_optional(on)
    .await?;
    row.map(|row| row.number("size")).transpose()
}

/// Records a blob that the object store holds whole, and that the organisation has it.
pub(crate) async fn insert(
    on: &mut Connection,
    digest: &Digest,
    organisation: &OrganisationName,
    size: u64,
    now_ms: u64,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO blobs (digest, size, touched_ms) VALUES ($1, $2, $3)
         ON CONFLICT (digest) DO UPDATE SET touched_ms = excluded.touched_ms",
    )
    .bind(digest.to_string())
    .bind(big(size)?)
    .bind(big(now_ms)?)
    .execute(&mut *on)
    .await?;
    query(
        "INSERT INTO blob_holders (organisation, blob, touched_ms) VALUES ($1, $2, $3)
         ON CONFLICT (organisation, blob) DO UPDATE SET touched_ms = excluded.touched_ms",
    )
    .bind(organisation.as_str())
    .bind(digest.to_string())
    .bind(big(now_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Whether an organisation that means to use the blob has to say so with [`touch`]: it did not since `since_ms`.
pub(crate) async fn is_stale(
    on: &mut Connection,
    digest: &Digest,
    organisation: &OrganisationName,
    since_ms: u64,
) -> Result<bool, StoreError> {
    let row = query(
        "SELECT blob FROM blob_holders WHERE blob = $1 AND organisation = $2 AND touched_ms < $3",
    )
    .bind(digest.to_string())
    .bind(organisation.as_str())
    .bind(big(since_ms)?)
    .fetch_optional(on)
    .await?;
    Ok(row.is_some())
}

/// Says that an organisation which has the blob means to use it soon.
pub(crate) async fn touch(
    on: &mut Connection,
    digest: &Digest,
    organisation: &OrganisationName,
    now_ms: u64,
) -> Result<(), StoreError> {
    query("UPDATE blob_holders SET touched_ms = $1 WHERE blob = $2 AND organisation = $3")
        .bind(big(now_ms)?)
        .bind(digest.to_string())
        .bind(organisation.as_str())
        .execute(&mut *on)
        .await?;
    query("UPDATE blobs SET touched_ms = $1 WHERE digest = $2")
        .bind(big(now_ms)?)
        .bind(digest.to_string())
        .execute(on)
        .await?;
    Ok(())
}

/// Forgets that organisations have blobs which no version of theirs has and which they did not ask for since `before_ms`:
/// what keeps the bytes is then somebody else's need of them, which is none of theirs.
pub(crate) async fn forget_holders(on: &mut Connection, before_ms: u64) -> Result<(), StoreError> {
    query(
        "DELETE FROM blob_holders WHERE touched_ms < $1 AND NOT EXISTS (
             SELECT 1 FROM version_blobs b
             JOIN versions v ON v.digest = b.version
             JOIN functions f ON f.name = v.function
             WHERE b.blob = blob_holders.blob AND f.organisation = blob_holders.organisation)",
    )
    .bind(big(before_ms)?)
    .execute(on)
    .await?;
    Ok(())
}

/// Whether a function leased to the node has the blob.
pub(crate) async fn is_leased_to(
    on: &mut Connection,
    digest: &Digest,
    node: &NodeId,
) -> Result<bool, StoreError> {
    let row = query(
        "SELECT l.id FROM leases l
         JOIN deployments d ON d.id = l.deployment
         JOIN version_blobs v ON v.version = d.digest
         WHERE l.node = $1 AND l.ended_ms IS NULL AND v.blob = $2
         LIMIT 1",
    )
    .bind(node.to_string())
    .bind(digest.to_string())
    .fetch_optional(on)
    .await?;
    Ok(row.is_some())
}

/// Blobs that no version has and nobody touched since `before_ms`; at most 256 a call.
pub(crate) async fn unused(on: &mut Connection, before_ms: u64) -> Result<Vec<Digest>, StoreError> {
    let rows = query(
        "SELECT b.digest FROM blobs b
         WHERE b.touched_ms < $1
           AND NOT EXISTS (SELECT 1 FROM version_blobs v WHERE v.blob = b.digest)
         LIMIT 256",
    )
    .bind(big(before_ms)?)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("digest")).collect()
}

/// Forgets a blob that is still unused. Its object may then be deleted.
pub(crate) async fn forget_unused(
    on: &mut Connection,
    digest: &Digest,
    before_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "DELETE FROM blobs WHERE digest = $1 AND touched_ms < $2
           AND NOT EXISTS (SELECT 1 FROM version_blobs v WHERE v.blob = blobs.digest)",
    )
    .bind(digest.to_string())
    .bind(big(before_ms)?)
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}
