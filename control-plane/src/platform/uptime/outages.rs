//! Times at which no control plane was at work: nodes could not register a new run then, and answer for none of it.

use core::sync::atomic::Ordering::Relaxed;

use crate::error::Error;
use crate::platform::Platform;
use crate::store::uptime::{circumstances, set_state, state};
use crate::store::{StoreError, commit};

const ALIVE: &str = "alive";
/// A silence of more slots than this is an outage, and so many after it are one too: nodes come back by and by.
const SLOTS: u64 = 2;

impl Platform {
    /// Notes that a control plane is at work. The first to do so after its start, or after it could not, notes the time
    /// since anybody did as an outage.
    pub(crate) async fn notice_outages(&self) -> Result<(), Error> {
        let slot = u64::from(self.schedule().slot_ms());
        let waking = !self.uptime.awake.swap(false, Relaxed);
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let alive = state(&mut tx, ALIVE).await?;
        drop(tx);
        let alive = alive.map(|text| text.parse::<u64>());
        let alive = alive.transpose().map_err(|_| StoreError::Corrupt(ALIVE))?;
        let silence = alive.map_or(slot, |alive| now.saturating_sub(alive));
        if silence >= slot {
            let mut tx = self.store.write().await?;
            if let Some(alive) = alive
                && waking
                && silence > SLOTS * slot
            {
                let outage = alive..now.saturating_add(SLOTS * slot);
                circumstances::note_outage(&mut tx, &outage).await?;
                tracing::warn!(from_ms = alive, to_ms = now, "no control plane was at work");
            }
            set_state(&mut tx, ALIVE, &now.to_string()).await?;
            commit(tx).await?;
        }
        self.uptime.awake.store(true, Relaxed);
        Ok(())
    }

    /// What was tried failed: the time until it goes well again may be an outage.
    pub(crate) fn doze(&self) {
        self.uptime.awake.store(false, Relaxed);
    }
}
