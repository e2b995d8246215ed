//! Long polls at one control plane end with changes at another.

use core::time::Duration;

use super::Platform;
use crate::error::Error;
use crate::store::{Changes, Heard};
use crate::wakers::Topic;

/// How long it takes to ask again when the database cannot be listened to.
const AGAIN: Duration = Duration::from_millis(500);

impl Platform {
    /// Wakes who waits here for what others change, until it is dropped. While the database cannot be listened to, polls
    /// end when their time is up.
    pub(crate) async fn follow(&self) {
        let mut tick = tokio::time::interval(AGAIN);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.listen().await {
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "cannot hear what other control planes change; trying again");
                }
            }
        }
    }

    async fn listen(&self) -> Result<(), Error> {
        let Some(mut changes) = self.store.changes().await? else {
            return Ok(());
        };
        // Whatever changed before there was somebody to hear it.
        self.wakers.wake_all();
        loop {
            self.hear(&mut changes).await?;
        }
    }

    async fn hear(&self, changes: &mut Changes) -> Result<(), Error> {
        match changes.next().await? {
            Heard::Anything => self.wakers.wake_all(),
            // A name that this version does not know is waited for by nobody here.
            Heard::Names(names) => {
                for topic in names.iter().filter_map(|name| name.parse::<Topic>().ok()) {
                    self.wakers.wake(&topic);
                }
            }
        }
        Ok(())
    }
}
