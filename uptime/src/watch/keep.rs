//! Writes down what was seen, slot by slot, and seals epochs that are over.

use std::sync::Arc;

use nacre_protocol::uptime::{Schedule, Slot};
use tokio::sync::{Notify, mpsc};

use super::round::SlotSeen;
use super::store::Shared;
use super::unix_ms;
use crate::error::WatchError;

/// Runs until nothing more is seen.
pub(crate) async fn run(
    store: Shared,
    schedule: Schedule,
    mut seen: mpsc::Receiver<SlotSeen>,
    sealed: Arc<Notify>,
) -> Result<(), WatchError> {
    // What a watcher that was killed left behind.
    let now = schedule.slot_at(unix_ms());
    seal(&store, schedule, now, &sealed).await?;
    while let Some(round) = seen.recv().await {
        let next = Slot(round.slot.0 + 1);
        store.with(move |store| store.keep(round)).await?;
        seal(&store, schedule, next, &sealed).await?;
    }
    Ok(())
}

async fn seal(
    store: &Shared,
    schedule: Schedule,
    next: Slot,
    sealed: &Notify,
) -> Result<(), WatchError> {
    let current = schedule.epoch_of(next);
    if store.with(move |store| store.seal_before(current)).await? > 0 {
        sealed.notify_one();
    }
    Ok(())
}
