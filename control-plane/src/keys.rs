//! API keys: made, listed, rotated and revoked by whoever reaches the database, while the control plane runs or not. The
//! API does the same for whoever has a key with the scope `admin`, within the organisation of that key. The platform's own
//! keys, which its gateways have, are made, seen, rotated and revoked here only.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use nacre_protocol::api::audit::AuditEntry;
pub use nacre_protocol::api::keys::{ApiKey, Scope};
use nacre_protocol::ids::OrganisationName;

pub use crate::token::KeyId;

use crate::clock::Clock;
use crate::config::Database;
use crate::owner::Owner;
use crate::platform::entry_id;
use crate::store::keys::NewKeyRow;
use crate::store::{Store, StoreError, Transaction, audit, commit, keys};
use crate::token::{mint_key, mint_key_again};

/// Longest name of a key.
pub const MAX_NAME: usize = 100;
/// Longest time for which a former secret is taken after a rotation.
pub const MAX_GRACE: Duration = Duration::from_secs(30 * 24 * 3600);
/// The same, unless told otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(24 * 3600);

/// From where, in the log, what is done here is done.
const AT_DATABASE: &str = "database";

/// A key that was just made, or has a new secret. Its text is shown now or never.
pub struct NewKey {
    /// Its public id.
    pub id: KeyId,
    /// The whole key. Secret.
    pub key: String,
}

impl core::fmt::Debug for NewKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NewKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What a key shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOrder {
    /// What it is for: 1 to [`MAX_NAME`] printable characters.
    pub name: String,
    /// Whose things it opens. An organisation is there from its first key on.
    pub organisation: OrganisationName,
    /// What it may be used for; at least one, and not [`Scope::Gateway`].
    pub scopes: BTreeSet<Scope>,
    /// For how long it is taken. Absent: until it is revoked.
    pub lifetime: Option<Duration>,
}

/// Why keys cannot be dealt with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An empty, long or unprintable name.
    #[error("a key's name is 1 to {MAX_NAME} printable characters")]
    Name,
    /// No scope at all.
    #[error("a key without scopes opens nothing: name at least one")]
    NoScopes,
    /// A gateway's key that were to open more.
    #[error("a key with the scope gateway has no other scope and belongs to no organisation")]
    Gateway,
    /// Longer than time is counted.
    #[error("a key's lifetime must end before the year 10000")]
    Lifetime,
    /// Longer than a former secret is taken.
    #[error("the former secret is taken for at most 30 days")]
    Grace,
    /// Not 16 hex digits.
    #[error("a key's id is the 16 hex digits after `nacre_`")]
    Id,
    /// No key has this id.
    #[error("there is no key {0} that is not revoked")]
    NotFound(KeyId),
    /// The data folder cannot be made.
    #[error("data folder: {0}")]
    Folder(#[from] io::Error),
    /// The database.
    #[error("database: {0}")]
    Store(#[from] StoreError),
    /// The operating system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// Makes a key of the organisation `default` that may do everything. A folder's database is made if absent.
pub async fn create(database: &Database, name: &str) -> Result<NewKey, KeyError> {
    let order = KeyOrder {
        name: name.to_owned(),
        organisation: OrganisationName::default(),
        scopes: Scope::OF_ORGANISATIONS.into(),
        lifetime: None,
    };
    create_with(database, &order).await
}

/// Makes a key. A folder's database is made if absent, and the organisation too.
pub async fn create_with(database: &Database, order: &KeyOrder) -> Result<NewKey, KeyError> {
    if order.scopes.is_empty() {
        return Err(KeyError::NoScopes);
    }
    if order.scopes.contains(&Scope::Gateway) {
        return Err(KeyError::Gateway);
    }
    let owner = Owner::from(&order.organisation);
    insert(database, &owner, &order.name, &order.scopes, order.lifetime).await
}

/// Makes a key for a gateway that serves all organisations' functions: it opens their routes, and nothing else. It is the
/// platform's own, so no organisation's key reaches it. That it was made is noted in the platform's log.
pub async fn create_for_gateway(
    database: &Database,
    name: &str,
    lifetime: Option<Duration>,
) -> Result<NewKey, KeyError> {
    let scopes = [Scope::Gateway].into();
    insert(database, &Owner::Platform, name, &scopes, lifetime).await
}

async fn insert(
    database: &Database,
    owner: &Owner,
    name: &str,
    scopes: &BTreeSet<Scope>,
    lifetime: Option<Duration>,
) -> Result<NewKey, KeyError> {
    check_name(name)?;
    let now = Clock::system().now_ms();
    let ends = lifetime.map(|lifetime| end_of(now, lifetime));
    let (id, minted) = mint_key()?;
    let row = NewKeyRow {
        id: &id,
        name,
        owner,
        scopes,
        expires_ms: ends.transpose()?,
    };
    let store = open(database).await?;
    let mut tx = store.write().await?;
    keys::insert(&mut tx, &row, minted.hash, now).await?;
    note(&mut tx, owner, "createKey", &id, now).await?;
    commit(tx).await?;
    store.close().await;
    Ok(NewKey {
        id,
        key: minted.text,
    })
}

/// All keys of all organisations, revoked ones too, oldest first.
pub async fn list(database: &Database) -> Result<Vec<ApiKey>, KeyError> {
    let store = open(database).await?;
    let mut tx = store.read().await?;
    let all = keys::list(&mut tx).await?;
    drop(tx);
    store.close().await;
    Ok(all)
}

/// Gives a key a new secret; the present one is taken for `grace` too.
pub async fn rotate(database: &Database, id: &str, grace: Duration) -> Result<NewKey, KeyError> {
    let id = KeyId::parse(id).ok_or(KeyError::Id)?;
    if grace > MAX_GRACE {
        return Err(KeyError::Grace);
    }
    let now = Clock::system().now_ms();
    let until = end_of(now, grace)?;
    let minted = mint_key_again(&id)?;
    let store = open(database).await?;
    let mut tx = store.write().await?;
    let owner = keys::owner(&mut tx, &id).await?;
    let mut found = false;
    if let Some(owner) = owner {
        found = keys::rotate(&mut tx, &id, &owner, minted.hash, until, now).await?;
        note(&mut tx, &owner, "rotateKey", &id, now).await?;
    }
    commit(tx).await?;
    store.close().await;
    if found {
        let key = minted.text;
        Ok(NewKey { id, key })
    } else {
        Err(KeyError::NotFound(id))
    }
}

/// Refuses a key from now on, also in a control plane that runs.
pub async fn revoke(database: &Database, id: &str) -> Result<(), KeyError> {
    let id = KeyId::parse(id).ok_or(KeyError::Id)?;
    let now = Clock::system().now_ms();
    let store = open(database).await?;
    let mut tx = store.write().await?;
    let owner = keys::owner(&mut tx, &id).await?;
    let mut found = false;
    if let Some(owner) = owner {
        found = keys::revoke(&mut tx, &id, &owner, now).await?;
        note(&mut tx, &owner, "revokeKey", &id, now).await?;
    }
    commit(tx).await?;
    store.close().await;
    if found {
        Ok(())
    } else {
        Err(KeyError::NotFound(id))
    }
}

/// What was done with the platform's own keys and what they were refused, the latest first. What an organisation's keys did
/// is its own to read, over the API.
pub async fn platform_log(database: &Database, limit: u32) -> Result<Vec<AuditEntry>, KeyError> {
    let store = open(database).await?;
    let mut tx = store.read().await?;
    let entries = audit::page(&mut tx, &Owner::Platform, None, limit).await?;
    drop(tx);
    store.close().await;
    Ok(entries)
}

/// Notes what is done with a key of the platform's own, together with it.
async fn note(
    tx: &mut Transaction,
    owner: &Owner,
    action: &str,
    key: &KeyId,
    now_ms: u64,
) -> Result<(), KeyError> {
    if *owner != Owner::Platform {
        return Ok(());
    }
    let entry = AuditEntry {
        id: entry_id()?,
        at_ms: now_ms,
        key: key.to_string(),
        action: action.to_owned(),
        method: String::new(),
        path: String::new(),
        address: AT_DATABASE.to_owned(),
        status: 200,
        code: None,
    };
    Ok(audit::append(tx, owner, &entry).await?)
}

/// Whether this may be a key's name.
pub(crate) fn check_name(name: &str) -> Result<(), KeyError> {
    let length = name.chars().count();
    if (1..=MAX_NAME).contains(&length) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(KeyError::Name)
    }
}

/// Milliseconds of the end of the year 9999.
pub(crate) const END_OF_TIME_MS: u64 = 253_402_300_800_000;

fn end_of(now_ms: u64, lifetime: Duration) -> Result<u64, KeyError> {
    let lifetime = u64::try_from(lifetime.as_millis()).map_err(|_| KeyError::Lifetime)?;
    let end = now_ms.checked_add(lifetime).ok_or(KeyError::Lifetime)?;
    if end < END_OF_TIME_MS {
        Ok(end)
    } else {
        Err(KeyError::Lifetime)
    }
}

pub(crate) async fn open(database: &Database) -> Result<Store, KeyError> {
    if let Database::Folder(data) = database {
        make_folder(data)?;
    }
    Ok(Store::open(database).await?)
}

/// The data folder is its owner's alone: it holds what others deployed.
pub(crate) fn make_folder(data: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)
}
