//! The market hears of organisations' weights.

use super::Platform;
use crate::error::Error;
use crate::store::organisations;

/// Weights told in one transaction.
const AT_ONCE: u32 = 256;

impl Platform {
    /// Tells the market of weights that were set since.
    pub(crate) async fn follow_weights(&self) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        let any = organisations::untold(&mut tx, 1).await?;
        drop(tx);
        if any.is_empty() {
            return Ok(());
        }
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let events = organisations::untold(&mut tx, AT_ONCE).await?;
        let changed = self.market(&mut tx, &events, now).await?;
        self.commit(tx, changed).await
    }
}
