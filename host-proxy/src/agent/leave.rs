//! A node that is to end leaves the market first: what it runs answers elsewhere before it stops here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nacre_protocol::api::commands::NodeCommand;
use tokio::time::timeout;

use super::Link;
use super::platform::PlatformError;

/// When the node is asked to leave: tells the control plane, waits until nothing is left to run or the time is up, and
/// stops the node. Does not end by itself.
pub(super) async fn leave(link: &Link) {
    link.config.leave.cancelled().await;
    let within = link.config.leave_within;
    // One that never registered has nothing to leave.
    if !within.is_zero() && link.session.borrow().is_some() {
        tracing::info!(?within, "leaving: what runs here moves elsewhere");
        match timeout(within, emptied(link, within)).await {
            Ok(Ok(())) => tracing::info!("nothing is left to run here"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the control plane does not let this node leave")
            }
            Err(_) => tracing::warn!("what runs here ends now: it did not move within {within:?}"),
        }
    }
    link.config.stop.cancel();
    std::future::pending().await
}

async fn emptied(link: &Link, within: Duration) -> Result<(), PlatformError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let until = since.unwrap_or_default() + within;
    let command = NodeCommand::Drain {
        until_ms: u64::try_from(until.as_millis()).unwrap_or(u64::MAX),
        back_ms: None,
    };
    link.platform
        .command(&link.config.identity, command)
        .await?;
    let mut desired = link.desired.subscribe();
    let empty = desired.wait_for(|desired| {
        let desired = desired.as_ref();
        desired.is_none_or(|desired| desired.functions.is_empty())
    });
    // The link holds the sender.
    let _ = empty.await;
    Ok(())
}
