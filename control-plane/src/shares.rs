//! Organisations' parts where capacity is short, set by whoever reaches the database, while the control plane runs or not: no
//! organisation has a say in its own.

use nacre_protocol::ids::OrganisationName;

use crate::config::Database;
use crate::store::{Store, StoreError, commit, organisations};

/// Largest weight.
pub const MAX_WEIGHT: u32 = 10_000;

/// Why a weight is not set.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightError {
    /// 0, or too large.
    #[error("weight-out-of-range: a weight is 1 to {MAX_WEIGHT}")]
    Range,
    /// An organisation is there from its first key on.
    #[error(
        "organisation-not-found: there is no organisation {0}; it is there from its first key on"
    )]
    NotFound(OrganisationName),
    /// The database.
    #[error("database: {0}")]
    Store(#[from] StoreError),
}

/// An organisation's weight, 1 if nobody set it: while orders of one priority wait for capacity, it goes to the organisation
/// that holds least for its weight. With `set` it is this from now on; a control plane that runs heeds it within a second.
pub async fn weight(
    database: &Database,
    organisation: &OrganisationName,
    set: Option<u32>,
) -> Result<u32, WeightError> {
    if set.is_some_and(|weight| !(1..=MAX_WEIGHT).contains(&weight)) {
        return Err(WeightError::Range);
    }
    let store = Store::open(database).await?;
    let mut tx = store.write().await?;
    let known = organisations::weight(&mut tx, organisation).await?;
    if let (Some(_), Some(weight)) = (known, set) {
        organisations::set_weight(&mut tx, organisation, weight).await?;
    }
    commit(tx).await?;
    store.close().await;
    let known = known.ok_or_else(|| WeightError::NotFound(organisation.clone()))?;
    Ok(set.unwrap_or(known))
}
