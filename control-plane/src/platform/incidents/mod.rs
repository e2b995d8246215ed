//! What nodes do that honest ones do not: noted in the transaction that finds it, scored, and shown.
//!
//! A stranger can neither fill the table nor blacken a node: what is noted was signed by the node's own operator, or done with
//! the node's own token or enclave, and what can be repeated at will counts once a minute.

mod placement;
mod registration;
mod score;

use nacre_protocol::api::Page;
use nacre_protocol::api::incidents::{Conduct, Incident};
use nacre_protocol::ids::{NodeId, OrganisationName};
use sha2::{Digest as _, Sha256};

pub(super) use score::{NEVER_FINISHED, STATE_FALSE};

use super::Platform;
use crate::error::Error;
use crate::store::incidents::{self, IncidentRow, NewIncident};
use crate::store::{Transaction, commit};

/// What cursors of the lists are sealed for.
const INCIDENTS: &str = "incidents";
const CONDUCT: &str = "conduct";
/// How long an incident can be asked about, milliseconds: 90 days.
const KEPT_MS: u64 = 90 * 24 * 3600 * 1000;

impl Platform {
    /// A page of incidents, the latest first, of all nodes or of one.
    pub(crate) async fn incidents(
        &self,
        organisation: &OrganisationName,
        node: Option<&NodeId>,
        after: &str,
        limit: u32,
    ) -> Result<Page<Incident>, Error> {
        let after = self
            .cursors
            .open(INCIDENTS, organisation, after, position)?;
        let mut tx = self.store.read().await?;
        let rows = incidents::page(&mut tx, organisation, node, after, limit + 1).await?;
        let page = self
            .cursors
            .page(INCIDENTS, organisation, rows, limit, |row| {
                format!("{}.{}", row.at_ms, row.id)
            });
        Ok(Page {
            items: page.items.into_iter().map(show).collect(),
            next: page.next,
        })
    }

    /// A page of nodes by id, each with how it behaved.
    pub(crate) async fn conduct(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<Conduct>, Error> {
        let now = self.clock.now_ms();
        let since = now.saturating_sub(score::WINDOW_MS);
        let id = |text: &str| text.parse::<NodeId>().ok();
        let after = self.cursors.open(CONDUCT, organisation, after, id)?;
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut tx = self.store.read().await?;
        let records = incidents::records(&mut tx, (now, since), &after, limit + 1).await?;
        let items: Vec<Conduct> = records
            .into_iter()
            .map(|record| {
                let score = score::score(&record.tallies);
                Conduct {
                    node: record.node,
                    score,
                    incidents: record.tallies.iter().map(|tally| tally.times).sum(),
                    placed_by: crate::score::placed(record.uptime, score),
                }
            })
            .collect();
        let id = |conduct: &Conduct| conduct.node.to_string();
        Ok(self.cursors.page(CONDUCT, organisation, items, limit, id))
    }

    /// Forgets what is old.
    pub(super) async fn forget_old_incidents(&self) -> Result<(), Error> {
        let before = self.clock.now_ms().saturating_sub(KEPT_MS);
        let mut tx = self.store.write_alone().await?;
        incidents::forget(&mut tx, before).await?;
        Ok(commit(tx).await?)
    }
}

/// Notes an incident about a job.
pub(super) async fn note(
    tx: &mut Transaction,
    incident: NewIncident<'_>,
    now_ms: u64,
) -> Result<(), Error> {
    incidents::insert(tx, super::random_id()?, incident, now_ms).await?;
    let NewIncident {
        node, boot, code, ..
    } = incident;
    tracing::warn!(%node, %boot, code, "incident");
    Ok(())
}

/// Notes what can be repeated at will: once a minute.
async fn note_once_a_minute(
    tx: &mut Transaction,
    incident: NewIncident<'_>,
    now_ms: u64,
) -> Result<(), Error> {
    let NewIncident {
        node, boot, code, ..
    } = incident;
    let minute = now_ms / 60_000;
    let hash = Sha256::digest(format!("{node} {boot} {code} {minute}"));
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    incidents::insert(tx, id, incident, now_ms).await?;
    tracing::warn!(%node, %boot, code, "incident");
    Ok(())
}

fn show(row: IncidentRow) -> Incident {
    Incident {
        id: row.id,
        node: row.node,
        boot_id: row.boot,
        points: score::points(&row.code),
        code: row.code,
        job: row.job,
        at_ms: row.at_ms,
    }
}

fn position(text: &str) -> Option<(u64, String)> {
    let (time, id) = text.split_once('.')?;
    Some((time.parse().ok()?, id.to_owned()))
}
