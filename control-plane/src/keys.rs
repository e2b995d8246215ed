//! API keys: made, listed and revoked by whoever reaches the database, while the control plane runs or not.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

pub use crate::store::keys::KeyRecord;
pub use crate::token::KeyId;

use crate::clock::Clock;
use crate::config::Database;
use crate::store::{Store, StoreError, commit, keys};
use crate::token::mint_key;

/// Longest name of a key.
pub const MAX_NAME: usize = 100;

/// A key that was just made. Its text is shown now or never.
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

/// Why keys cannot be dealt with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// An empty, long or unprintable name.
    #[error("a key's name is 1 to {MAX_NAME} printable characters")]
    Name,
    /// Not 16 hex digits.
    #[error("a key's id is the 16 hex digits after `nacre_`")]
    Id,
    /// No key has this id.
    #[error("there is no key {0}")]
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

/// Makes a key. A folder's database is made if absent.
pub async fn create(database: &Database, name: &str) -> Result<NewKey, KeyError> {
    let length = name.chars().count();
    if !(1..=MAX_NAME).contains(&length) || name.chars().any(char::is_control) {
        return Err(KeyError::Name);
    }
    let (id, minted) = mint_key()?;
    let store = open(database).await?;
    let mut tx = store.write().await?;
    keys::insert(&mut tx, &id, name, minted.hash, Clock::system().now_ms()).await?;
    commit(tx).await?;
    store.close().await;
    Ok(NewKey {
        id,
        key: minted.text,
    })
}

/// All keys, revoked ones too, oldest first.
pub async fn list(database: &Database) -> Result<Vec<KeyRecord>, KeyError> {
    let store = open(database).await?;
    let mut tx = store.read().await?;
    let all = keys::list(&mut tx).await?;
    drop(tx);
    store.close().await;
    Ok(all)
}

/// Refuses a key from now on, also in a control plane that runs.
pub async fn revoke(database: &Database, id: &str) -> Result<(), KeyError> {
    let id = KeyId::parse(id).ok_or(KeyError::Id)?;
    let store = open(database).await?;
    let mut tx = store.write().await?;
    let found = keys::revoke(&mut tx, &id, Clock::system().now_ms()).await?;
    commit(tx).await?;
    store.close().await;
    if found {
        Ok(())
    } else {
        Err(KeyError::NotFound(id))
    }
}

async fn open(database: &Database) -> Result<Store, KeyError> {
    if let Database::Folder(data) = database {
        make_folder(data)?;
    }
    Ok(Store::open(database).await?)
}

/// The data folder is its owner's alone: it holds what others deployed.
pub(crate) fn make_folder(data: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data)
}
