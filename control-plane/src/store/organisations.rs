//! Organisations' parts where capacity is short.

use nacre_protocol::ids::OrganisationName;
use nacre_scheduler::{Event, Tenant};
use sqlx::query;

use super::{Connection, RowExt as _, StoreError};

/// An organisation's weight; `None` if there is none of this name.
pub(crate) async fn weight(
    on: &mut Connection,
    name: &OrganisationName,
) -> Result<Option<u32>, StoreError> {
    let row = query("SELECT weight FROM organisations WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.number("weight")).transpose()
}

/// Sets it.
pub(crate) async fn set_weight(
    on: &mut Connection,
    name: &OrganisationName,
    weight: u32,
) -> Result<(), StoreError> {
    query("UPDATE organisations SET weight = $1 WHERE name = $2")
        .bind(i64::from(weight))
        .bind(name.as_str())
        .execute(on)
        .await?;
    Ok(())
}

/// Weights that the market knows otherwise, of at most so many organisations.
pub(crate) async fn untold(on: &mut Connection, limit: u32) -> Result<Vec<Event>, StoreError> {
    let rows = query(
        "SELECT name, weight FROM organisations WHERE weight <> told_weight ORDER BY name LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Event::TenantWeighted {
                tenant: Tenant(row.text("name")?),
                weight: row.number("weight")?,
            })
        })
        .collect()
}

/// The market knows it.
pub(crate) async fn told(
    on: &mut Connection,
    tenant: &Tenant,
    weight: u32,
) -> Result<(), StoreError> {
    query("UPDATE organisations SET told_weight = $1 WHERE name = $2")
        .bind(i64::from(weight))
        .bind(&tenant.0)
        .execute(on)
        .await?;
    Ok(())
}
