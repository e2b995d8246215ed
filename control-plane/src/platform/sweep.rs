//! What time brings about: nodes fall silent, answers and logs grow old, blobs fall out of use.

use nacre_scheduler::Event;

use super::Platform;
use super::load::DEMAND_MS;
use super::once::KEPT_MS;
use crate::challenges::LIFETIME_MS;
use crate::error::Error;
use crate::store::{commit, deployments, idempotency, load, logs, nodes, nonces};

/// How long ended leases and replaced deployments can be asked about, milliseconds.
const HISTORY_MS: u64 = 24 * 3600 * 1000;

/// How long a used nonce is remembered, milliseconds: long after no clock of ours takes it any more.
const USED_MS: u64 = 10 * LIFETIME_MS;

impl Platform {
    /// Takes silent nodes offline and moves their leases. Silence counts from this process's start at the earliest:
    /// while the control plane was down, no node could report.
    pub(crate) async fn take_silent_nodes_offline(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let allowed = u64::try_from(self.offline_after.as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(self.started_ms) < allowed {
            return Ok(());
        }
        let before = now.saturating_sub(allowed);
        let mut tx = self.store.read().await?;
        let any = nodes::any_silent(&mut tx, before).await?;
        drop(tx);
        if !any {
            return Ok(());
        }
        let mut tx = self.store.write().await?;
        let silent = nodes::take_offline(&mut tx, before).await?;
        let affected = deployments::on_nodes(&mut tx, &silent).await?;
        let events = silent.iter().map(|node| Event::NodeOffline { node: *node });
        let events: Vec<_> = events.collect();
        let changed = self.market(&mut tx, &events, now).await?;
        self.commit(tx, changed.deployments(affected)).await?;
        for node in silent {
            tracing::warn!(%node, "node offline: no report came");
        }
        Ok(())
    }

    /// Forgets what nobody can ask for any more.
    pub(crate) async fn forget_old(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        idempotency::forget(&mut tx, now.saturating_sub(KEPT_MS)).await?;
        deployments::forget_ended(&mut tx, now.saturating_sub(HISTORY_MS)).await?;
        nonces::forget(&mut tx, now.saturating_sub(USED_MS)).await?;
        logs::trim(&mut tx, super::logs::MAX_LINES).await?;
        load::forget_demand(&mut tx, now.saturating_sub(DEMAND_MS)).await?;
        commit(tx).await?;
        self.forget_old_deeds().await?;
        self.collect_blobs().await?;
        self.forget_old_jobs().await?;
        self.forget_old_uptime().await?;
        self.forget_old_incidents().await?;
        Ok(())
    }
}
