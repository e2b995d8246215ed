//! Functions and their versions.

use nacre_protocol::api::Version;
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, OrganisationName};
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};

/// The version of a digest.
pub(crate) async fn version(
    on: &mut Connection,
    digest: &Digest,
) -> Result<Option<Version>, StoreError> {
    let row = query("SELECT * FROM versions WHERE digest = $1")
        .bind(digest.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read_version).transpose()
}

/// A function's versions, newest first.
pub(crate) async fn versions(
    on: &mut Connection,
    function: &FunctionName,
) -> Result<Vec<Version>, StoreError> {
    let rows = query("SELECT * FROM versions WHERE function = $1 ORDER BY version DESC")
        .bind(function.as_str())
        .fetch_all(on)
        .await?;
    rows.iter().map(read_version).collect()
}

fn read_version(row: &AnyRow) -> Result<Version, StoreError> {
    Ok(Version {
        function: row.parsed("function")?,
        version: row.number("version")?,
        digest: row.parsed("digest")?,
        memory_bytes: row.number("memory_bytes")?,
        created_ms: row.number("created_ms")?,
    })
}

/// A version to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewVersion {
    /// Whose function it is, if it is new; otherwise it is this organisation's already.
    pub organisation: OrganisationName,
    /// Whose version.
    pub function: FunctionName,
    /// The manifest's digest.
    pub digest: Digest,
    /// Memory of a replica.
    pub memory_bytes: u64,
    /// The manifest and the layers, each once.
    pub blobs: Vec<Digest>,
}

/// Makes the function if it is new, and the version with the next number. All blobs must be stored.
pub(crate) async fn insert_version(
    on: &mut Connection,
    new: &NewVersion,
    now_ms: u64,
) -> Result<Version, StoreError> {
    let row = query(
        "INSERT INTO functions (name, organisation, last_version, last_log) VALUES ($1, $2, 1, 0)
         ON CONFLICT (name) DO UPDATE SET last_version = functions.last_version + 1
         RETURNING last_version",
    )
    .bind(new.function.as_str())
    .bind(new.organisation.as_str())
    .fetch_one(&mut *on)
    .await?;
    let version = Version {
        function: new.function.clone(),
        version: row.number("last_version")?,
        digest: new.digest,
        memory_bytes: new.memory_bytes,
        created_ms: now_ms,
    };
    query(
        "INSERT INTO versions (digest, function, version, memory_bytes, created_ms)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(version.digest.to_string())
    .bind(version.function.as_str())
    .bind(i64::from(version.version))
    .bind(big(version.memory_bytes)?)
    .bind(big(now_ms)?)
    .execute(&mut *on)
    .await?;
    for blob in &new.blobs {
        query("INSERT INTO version_blobs (version, blob) VALUES ($1, $2)")
            .bind(version.digest.to_string())
            .bind(blob.to_string())
            .execute(&mut *on)
            .await?;
    }
    Ok(version)
}

/// Forgets all but the newest `keep` versions of a function; those that a deployment names stay.
pub(crate) async fn prune_versions(
    on: &mut Connection,
    function: &FunctionName,
    keep: u32,
) -> Result<(), StoreError> {
    query(
        "DELETE FROM versions
         WHERE function = $1
           AND version <= (SELECT last_version FROM functions WHERE name = $1) - $2
           AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.digest = versions.digest)",
    )
    .bind(function.as_str())
    .bind(i64::from(keep))
    .execute(on)
    .await?;
    Ok(())
}

/// Whether the organisation has such a function.
pub(crate) async fn exists(
    on: &mut Connection,
    name: &FunctionName,
    organisation: &OrganisationName,
) -> Result<bool, StoreError> {
    let row = query("SELECT name FROM functions WHERE name = $1 AND organisation = $2")
        .bind(name.as_str())
        .bind(organisation.as_str())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Whose function it is, if there is one of this name.
pub(crate) async fn organisation(
    on: &mut Connection,
    name: &FunctionName,
) -> Result<Option<OrganisationName>, StoreError> {
    let row = query("SELECT organisation FROM functions WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.parsed("organisation")).transpose()
}

/// An organisation's functions: names after `after`, in order.
pub(crate) async fn names(
    on: &mut Connection,
    organisation: &OrganisationName,
    after: &str,
    limit: u32,
) -> Result<Vec<FunctionName>, StoreError> {
    let rows = query(
        "SELECT name FROM functions WHERE organisation = $1 AND name > $2 ORDER BY name LIMIT $3",
    )
    .bind(organisation.as_str())
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("name")).collect()
}

/// Functions that are deployed, of an organisation or of all: names after `after`, in order.
pub(crate) async fn deployed(
    on: &mut Connection,
    organisation: Option<&OrganisationName>,
    after: &str,
    limit: u32,
) -> Result<Vec<FunctionName>, StoreError> {
    let rows = query(
        "SELECT f.name FROM functions f
         WHERE ($1 = '' OR f.organisation = $1) AND f.name > $2 AND EXISTS (
             SELECT 1 FROM deployments d
             WHERE d.function = f.name AND d.replaced_by IS NULL AND d.canary_weight IS NULL)
         ORDER BY f.name LIMIT $3",
    )
    .bind(organisation.map_or("", OrganisationName::as_str))
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.parsed("name")).collect()
}

/// Removes the function with its deployments, leases, versions and log.
pub(crate) async fn delete(on: &mut Connection, name: &FunctionName) -> Result<(), StoreError> {
    // Deployments name versions, so they go first.
    query("DELETE FROM deployments WHERE function = $1")
        .bind(name.as_str())
        .execute(&mut *on)
        .await?;
    query("DELETE FROM functions WHERE name = $1")
        .bind(name.as_str())
        .execute(on)
        .await?;
    Ok(())
}
