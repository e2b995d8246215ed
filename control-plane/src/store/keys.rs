//! API keys and the organisations that they belong to.

use core::str::FromStr as _;
use std::collections::BTreeSet;

use nacre_protocol::api::keys::{ApiKey, Scope};
use nacre_protocol::ids::OrganisationName;
use sqlx::any::AnyRow;
use sqlx::query;

use super::{Connection, RowExt as _, StoreError, big};
use crate::owner::Owner;
use crate::token::{KeyId, SecretHash};

/// A key to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewKeyRow<'a> {
    pub id: &'a KeyId,
    pub name: &'a str,
    pub owner: &'a Owner,
    pub scopes: &'a BTreeSet<Scope>,
    pub expires_ms: Option<u64>,
}

/// Stores a new key, and its organisation if that is new.
pub(crate) async fn insert(
    on: &mut Connection,
    new: &NewKeyRow<'_>,
    hash: SecretHash,
    now_ms: u64,
) -> Result<(), StoreError> {
    if let Owner::Organisation(name) = new.owner {
        query(
            "INSERT INTO organisations (name, created_ms) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.as_str())
        .bind(big(now_ms)?)
        .execute(&mut *on)
        .await?;
    }
    query(
        "INSERT INTO api_keys (id, name, organisation, scopes, secret_sha256, created_ms, expires_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.id.as_str())
    .bind(new.name)
    .bind(new.owner.as_str())
    .bind(scopes_text(new.scopes))
    .bind(hash.to_hex())
    .bind(big(now_ms)?)
    .bind(new.expires_ms.map(big).transpose()?)
    .execute(on)
    .await?;
    Ok(())
}

/// What a presented key is held against.
#[derive(Debug)]
pub(crate) struct Stored {
    pub owner: Owner,
    pub scopes: BTreeSet<Scope>,
    pub expires_ms: Option<u64>,
    hash: SecretHash,
    former: Option<SecretHash>,
}

impl Stored {
    /// Whether this is its secret, or the former one while that is taken. Looks at both in any case.
    pub(crate) fn is(&self, presented: &SecretHash) -> bool {
        let present = self.hash.matches(presented);
        let former = self
            .former
            .as_ref()
            .is_some_and(|former| former.matches(presented));
        present | former
    }
}

/// A key that is neither revoked nor expired.
pub(crate) async fn stored(
    on: &mut Connection,
    id: &KeyId,
    now_ms: u64,
) -> Result<Option<Stored>, StoreError> {
    let row = query(
        "SELECT organisation, scopes, expires_ms, secret_sha256,
             CASE WHEN former_until_ms > $2 THEN former_sha256 END AS former
         FROM api_keys WHERE id = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2)",
    )
    .bind(id.as_str())
    .bind(big(now_ms)?)
    .fetch_optional(on)
    .await?;
    row.map(|row| {
        let hash =
            |text: String| SecretHash::from_hex(&text).ok_or(StoreError::Corrupt("secret_sha256"));
        Ok(Stored {
            owner: row.parsed("organisation")?,
            scopes: read_scopes(&row)?,
            expires_ms: row.number_opt("expires_ms")?,
            hash: hash(row.text("secret_sha256")?)?,
            former: row.text_opt("former")?.map(hash).transpose()?,
        })
    })
    .transpose()
}

/// One key of an organisation.
pub(crate) async fn get(
    on: &mut Connection,
    id: &KeyId,
    organisation: &OrganisationName,
) -> Result<Option<ApiKey>, StoreError> {
    let row = query("SELECT * FROM api_keys WHERE id = $1 AND organisation = $2")
        .bind(id.as_str())
        .bind(organisation.as_str())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read).transpose()
}

/// All keys, oldest first.
pub(crate) async fn list(on: &mut Connection) -> Result<Vec<ApiKey>, StoreError> {
    let rows = query("SELECT * FROM api_keys ORDER BY created_ms, id")
        .fetch_all(on)
        .await?;
    rows.iter().map(read).collect()
}

/// Keys of an organisation, oldest first, after the one that `after` names by its time and id.
pub(crate) async fn page(
    on: &mut Connection,
    organisation: &OrganisationName,
    after: Option<&(u64, KeyId)>,
    limit: u32,
) -> Result<Vec<ApiKey>, StoreError> {
    let (time, id) = after.map_or((0, ""), |(time, id)| (*time, id.as_str()));
    let rows = query(
        "SELECT * FROM api_keys
         WHERE organisation = $1 AND (created_ms > $2 OR (created_ms = $2 AND id > $3))
         ORDER BY created_ms, id LIMIT $4",
    )
    .bind(organisation.as_str())
    .bind(big(time)?)
    .bind(id)
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

/// Whose a key is, revoked or not.
pub(crate) async fn owner(on: &mut Connection, id: &KeyId) -> Result<Option<Owner>, StoreError> {
    let row = query("SELECT organisation FROM api_keys WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.parsed("organisation")).transpose()
}

/// Gives a key that is not revoked a new secret; the present one is taken until `former_until_ms`. False when there is no
/// such key.
pub(crate) async fn rotate(
    on: &mut Connection,
    id: &KeyId,
    owner: &Owner,
    hash: SecretHash,
    former_until_ms: u64,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "UPDATE api_keys SET former_sha256 = secret_sha256, former_until_ms = $1,
             secret_sha256 = $2, rotated_ms = $3
         WHERE id = $4 AND organisation = $5 AND revoked_ms IS NULL",
    )
    .bind(big(former_until_ms)?)
    .bind(hash.to_hex())
    .bind(big(now_ms)?)
    .bind(id.as_str())
    .bind(owner.as_str())
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Refuses a key from now on. False when there is no such key; revoking twice keeps the first time.
pub(crate) async fn revoke(
    on: &mut Connection,
    id: &KeyId,
    owner: &Owner,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let done = query(
        "UPDATE api_keys SET revoked_ms = COALESCE(revoked_ms, $1)
         WHERE id = $2 AND organisation = $3",
    )
    .bind(big(now_ms)?)
    .bind(id.as_str())
    .bind(owner.as_str())
    .execute(on)
    .await?;
    Ok(done.rows_affected() > 0)
}

fn read(row: &AnyRow) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: row.text("id")?,
        name: row.text("name")?,
        organisation: row.parsed::<Owner>("organisation")?.organisation(),
        scopes: read_scopes(row)?,
        created_ms: row.number("created_ms")?,
        expires_ms: row.number_opt("expires_ms")?,
        rotated_ms: row.number_opt("rotated_ms")?,
        former_until_ms: row.number_opt("former_until_ms")?,
        revoked_ms: row.number_opt("revoked_ms")?,
    })
}

fn scopes_text(scopes: &BTreeSet<Scope>) -> String {
    let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    words.join(" ")
}

fn read_scopes(row: &AnyRow) -> Result<BTreeSet<Scope>, StoreError> {
    let text = row.text("scopes")?;
    let scopes = text.split(' ').filter(|word| !word.is_empty());
    let scopes = scopes.map(Scope::from_str).collect::<Result<_, _>>();
    scopes.map_err(|_| StoreError::Corrupt("scopes"))
}
