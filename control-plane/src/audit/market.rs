//! Whether what is stored agrees with itself.

use crate::config::Database;
use crate::error::Error;
use crate::store::Store;
use crate::store::market::audit;

/// Holds what the market's log says against the tables of leases, orders, routes and nodes, as of one moment, also beside
/// control planes that run. Each difference is a line for people; there is none unless something is broken.
pub async fn market(database: &Database) -> Result<Vec<String>, Error> {
    let store = Store::open(database).await?;
    let mut tx = store.read().await?;
    let found = audit::differences(&mut tx).await?;
    drop(tx);
    store.close().await;
    Ok(found)
}
