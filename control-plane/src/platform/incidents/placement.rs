//! The market hears of nodes' conduct: when there is an incident, and again each time that one is a day older.

use nacre_scheduler::Event;

use super::score;
use crate::error::Error;
use crate::platform::Platform;
use crate::score::placed;
use crate::store::incidents;

/// Nodes that are counted in one transaction.
const AT_ONCE: u32 = 256;

impl Platform {
    /// Counts the incidents of nodes of which they may come to something else than before, and tells the market.
    pub(crate) async fn follow_conduct(&self) -> Result<(), Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.read().await?;
        let any = incidents::due(&mut tx, now, 1).await?;
        drop(tx);
        if any.is_empty() {
            return Ok(());
        }
        let since = now.saturating_sub(score::WINDOW_MS);
        let mut tx = self.store.write().await?;
        let mut events = Vec::new();
        for node in incidents::due(&mut tx, now, AT_ONCE).await? {
            let (tallies, older_ms) = incidents::of_node(&mut tx, &node, (now, since)).await?;
            let conduct = score::score(&tallies);
            if let Some(uptime) = incidents::set_conduct(&mut tx, &node, conduct, older_ms).await? {
                let score = placed(uptime, conduct);
                tracing::info!(%node, conduct, score, "conduct");
                events.push(Event::NodeScored { node, score });
            }
        }
        let changed = self.market(&mut tx, &events, now).await?;
        self.commit(tx, changed).await
    }
}
