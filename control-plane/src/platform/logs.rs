//! Functions' logs.

use nacre_protocol::api::{LogLine, Page};
use nacre_protocol::ids::{FunctionName, OrganisationName};

use super::Platform;
use crate::error::Error;
use crate::store::{functions, logs};
use crate::wakers::Topic;

/// Lines of a function's log that are kept.
pub(super) const MAX_LINES: u32 = 10_000;

impl Platform {
    /// Lines after a cursor; waits up to `wait_ms` while there are none.
    pub(crate) async fn logs(
        &self,
        organisation: &OrganisationName,
        function: &FunctionName,
        after: u64,
        limit: u32,
        wait_ms: u64,
    ) -> Result<Page<LogLine>, Error> {
        let mut wait = self.wakers.wait(Topic::Logs(function.clone()), wait_ms);
        loop {
            let mut tx = self.store.read().await?;
            if !functions::exists(&mut tx, function, organisation).await? {
                return Err(Error::FunctionNotFound(function.clone()));
            }
            let mut items = logs::after(&mut tx, function, after, limit + 1).await?;
            drop(tx);
            if !items.is_empty() || !wait.again().await {
                let more = items.len() > limit as usize;
                items.truncate(limit as usize);
                let next = items
                    .last()
                    .filter(|_| more)
                    .map(|line| line.id.to_string());
                return Ok(Page { items, next });
            }
        }
    }
}
