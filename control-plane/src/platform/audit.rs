//! The audit log: what keys did and were refused, kept apart for each organisation, and for the platform's own keys.
//!
//! An entry is written before the request is answered, so that nobody is told of an effect that the log does not know. What a
//! kill cuts off between effect and entry was answered to nobody.

use core::time::Duration;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use nacre_protocol::api::Page;
use nacre_protocol::api::audit::AuditEntry;
use nacre_protocol::ids::OrganisationName;

use super::{Platform, random_id};
use crate::error::Error;
use crate::owner::Owner;
use crate::store::{audit, commit, keys};
use crate::token::KeyId;

/// What cursors of the list are sealed for.
const LIST: &str = "audit";
/// Longest path that is kept.
const MAX_PATH: usize = 300;

/// What was asked, and what it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    /// The operation's id.
    pub action: String,
    pub method: String,
    pub path: String,
    pub address: Option<IpAddr>,
    pub status: u16,
    /// Why it was refused.
    pub code: Option<String>,
}

impl Platform {
    /// Notes what a key did.
    pub(crate) async fn note_deed(
        &self,
        owner: &Owner,
        key: &KeyId,
        deed: Deed,
    ) -> Result<(), Error> {
        let entry = AuditEntry {
            id: entry_id()?,
            at_ms: self.clock.now_ms(),
            key: key.to_string(),
            action: deed.action,
            method: deed.method,
            path: super::nodes::cut(&deed.path, MAX_PATH).to_owned(),
            address: deed.address.map(|at| at.to_string()).unwrap_or_default(),
            status: deed.status,
            code: deed.code,
        };
        let mut tx = self.store.write_alone().await?;
        audit::append(&mut tx, owner, &entry).await?;
        Ok(commit(tx).await?)
    }

    /// Notes that a key's id came with a wrong secret, or after its end: for its owner, if there is such a key.
    pub(crate) async fn note_refused_key(&self, key: &KeyId, deed: Deed) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        let owner = keys::owner(&mut tx, key).await?;
        drop(tx);
        match owner {
            Some(owner) => self.note_deed(&owner, key, deed).await,
            None => Ok(()),
        }
    }

    /// A page of an organisation's log, the latest first.
    pub(crate) async fn audit(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<AuditEntry>, Error> {
        let after = self.cursors.open(LIST, organisation, after, position)?;
        let mut tx = self.store.read().await?;
        let items = audit::page(&mut tx, &organisation.into(), after, limit + 1).await?;
        Ok(self
            .cursors
            .page(LIST, organisation, items, limit, |entry| {
                format!("{}.{}", entry.at_ms, entry.id)
            }))
    }

    /// Forgets what is older than it is kept.
    pub(super) async fn forget_old_deeds(&self) -> Result<(), Error> {
        let kept = u64::try_from(self.audit_kept.max(Duration::from_millis(1)).as_millis());
        let before = self.clock.now_ms().saturating_sub(kept.unwrap_or(u64::MAX));
        let mut tx = self.store.write_alone().await?;
        audit::forget(&mut tx, before).await?;
        Ok(commit(tx).await?)
    }
}

/// Of two in one millisecond, the later one has the higher id, as far as clocks tell.
pub(crate) fn entry_id() -> Result<String, getrandom::Error> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let nanos = since.unwrap_or_default().as_nanos();
    Ok(format!("{nanos:024x}{}", hex::encode(random_id()?)))
}

fn position(text: &str) -> Option<(u64, String)> {
    let (time, id) = text.split_once('.')?;
    Some((time.parse().ok()?, id.to_owned()))
}
