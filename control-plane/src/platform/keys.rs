//! API keys, for those who have one with the scope `admin`. Nobody gives away more than they have: a key made or given a new
//! secret through another has no scope that the other lacks, and is taken no longer.

use core::time::Duration;
use std::collections::BTreeSet;

use nacre_protocol::api::Page;
use nacre_protocol::api::keys::{ApiKey, CreateKey, IssuedKey, RotateKey, Scope};
use nacre_protocol::ids::OrganisationName;

use super::{Key, OnlyIf, Platform};
use crate::error::{Error, KeyRefused};
use crate::keys::{DEFAULT_GRACE, END_OF_TIME_MS, MAX_GRACE, check_name};
use crate::store::commit;
use crate::store::keys::{self, NewKeyRow};
use crate::token::{KeyId, mint_key, mint_key_again};

/// What cursors of the list are sealed for.
const LIST: &str = "keys";

impl Platform {
    /// Makes a key.
    pub(crate) async fn create_key(&self, by: &Key, order: CreateKey) -> Result<IssuedKey, Error> {
        check_name(&order.name).map_err(|_| KeyRefused::Name)?;
        if order.scopes.is_empty() {
            return Err(KeyRefused::NoScopes.into());
        }
        let now = self.clock.now_ms();
        let expires_ms = order.expires_ms.or(by.expires_ms);
        if expires_ms.is_some_and(|at| at <= now || at >= END_OF_TIME_MS) {
            return Err(KeyRefused::Expiry { now_ms: now }.into());
        }
        within(by, &order.scopes, expires_ms)?;
        let (id, minted) = mint_key()?;
        let row = NewKeyRow {
            id: &id,
            name: &order.name,
            owner: &(&by.organisation).into(),
            scopes: &order.scopes,
            expires_ms,
        };
        let mut tx = self.store.write().await?;
        keys::insert(&mut tx, &row, minted.hash, now).await?;
        let about = keys::get(&mut tx, &id, &by.organisation).await?;
        commit(tx).await?;
        Ok(IssuedKey {
            key: minted.text,
            about: about.ok_or(Error::Internal("a key vanished"))?,
        })
    }

    /// A page of an organisation's keys, oldest first.
    pub(crate) async fn keys(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<ApiKey>, Error> {
        let after = self.cursors.open(LIST, organisation, after, position)?;
        let mut tx = self.store.read().await?;
        let items = keys::page(&mut tx, organisation, after.as_ref(), limit + 1).await?;
        Ok(self.cursors.page(LIST, organisation, items, limit, |key| {
            format!("{}.{}", key.created_ms, key.id)
        }))
    }

    /// One key.
    pub(crate) async fn key(
        &self,
        organisation: &OrganisationName,
        id: KeyId,
    ) -> Result<ApiKey, Error> {
        let mut tx = self.store.read().await?;
        let key = keys::get(&mut tx, &id, organisation).await?;
        Ok(key.ok_or(KeyRefused::NotFound(id))?)
    }

    /// Gives a key a new secret.
    pub(crate) async fn rotate_key(
        &self,
        by: &Key,
        id: KeyId,
        order: RotateKey,
        only_if: &OnlyIf,
    ) -> Result<IssuedKey, Error> {
        let grace = order.grace_ms.map_or(DEFAULT_GRACE, Duration::from_millis);
        if grace > MAX_GRACE {
            return Err(KeyRefused::Grace.into());
        }
        let now = self.clock.now_ms();
        let until = now + u64::try_from(grace.as_millis()).unwrap_or_default();
        let minted = mint_key_again(&id)?;
        let mut tx = self.store.write().await?;
        let before = keys::get(&mut tx, &id, &by.organisation).await?;
        let before = before.ok_or_else(|| KeyRefused::NotFound(id.clone()))?;
        only_if.check(&before)?;
        if before.revoked_ms.is_some() {
            return Err(KeyRefused::Revoked(id).into());
        }
        within(by, &before.scopes, before.expires_ms)?;
        let owner = (&by.organisation).into();
        keys::rotate(&mut tx, &id, &owner, minted.hash, until, now).await?;
        let about = keys::get(&mut tx, &id, &by.organisation).await?;
        commit(tx).await?;
        Ok(IssuedKey {
            key: minted.text,
            about: about.ok_or(Error::Internal("a key vanished"))?,
        })
    }

    /// Refuses a key from now on.
    pub(crate) async fn revoke_key(
        &self,
        organisation: &OrganisationName,
        id: KeyId,
    ) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let found = keys::revoke(&mut tx, &id, &organisation.into(), now).await?;
        commit(tx).await?;
        if found {
            Ok(())
        } else {
            Err(KeyRefused::NotFound(id).into())
        }
    }
}

/// Whether `by` has all that is given.
fn within(by: &Key, scopes: &BTreeSet<Scope>, expires_ms: Option<u64>) -> Result<(), KeyRefused> {
    let outlives = match (by.expires_ms, expires_ms) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(own), Some(given)) => given > own,
    };
    let lacking: Vec<_> = scopes.difference(&by.scopes).copied().collect();
    if outlives || !lacking.is_empty() {
        return Err(KeyRefused::TooWide);
    }
    Ok(())
}

fn position(text: &str) -> Option<(u64, KeyId)> {
    let (time, id) = text.split_once('.')?;
    Some((time.parse().ok()?, KeyId::parse(id)?))
}
