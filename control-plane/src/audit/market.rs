//! The market: whether its log can have been, and what follows from it is what the tables say.

use super::Auditor;
use crate::config::Database;
use crate::error::Error;
use crate::store::market::audit;
use crate::store::{Store, StoreError};

/// Holds what the market's log says against the tables of leases, orders, routes, nodes and weights, as of one moment, also
/// beside control planes that run. Each difference is a line for people; there is none unless something is broken.
pub async fn market(database: &Database) -> Result<Vec<String>, Error> {
    let store = Store::open(database).await?;
    let mut tx = store.read().await?;
    let audited = audit::audit(&mut tx).await?;
    drop(tx);
    store.close().await;
    Ok(match audited {
        Some(audited) => audited.log.into_iter().chain(audited.tables).collect(),
        None => vec!["there is no log".to_owned()],
    })
}

impl Auditor {
    /// The log, taken in again, and the tables beside it.
    pub(super) async fn market(&mut self) -> Result<(), StoreError> {
        let Some(audited) = audit::audit(&mut self.tx).await? else {
            let note = "the market has no log of these rules: the next control plane begins one";
            self.report.notes.push(note.to_owned());
            return Ok(());
        };
        self.report.events = audited.entries;
        for message in audited.log {
            self.find("market-log", message);
        }
        for message in audited.tables {
            self.find("market-tables", message);
        }
        Ok(())
    }
}
