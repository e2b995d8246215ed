//! Usage receipts on their way from the enclave to the control plane.
//!
//! Nothing of them is kept here. The enclave numbers its receipts and keeps each until it is acknowledged; the control plane
//! books each number once, and says so only when it is in its database. Whoever of the three dies in between, the same receipts
//! come again, and none is lost or counted twice. Only what an enclave has not handed over when it ends itself is gone.

use std::time::Duration;

use nacre_protocol::usage::SignedUsage;
use tokio::time::Instant;

use super::{Boot, Link, platform_backoff};
use crate::backoff::{Backoff, pause};

/// How long the enclave may keep a question that has no news.
const WAIT: Duration = Duration::from_secs(20);
/// An answer without news that comes sooner than this is not a long poll.
const TOO_SOON: Duration = Duration::from_millis(500);
/// Longest pause before receipts are brought again that the control plane has refused.
const REFUSED: Duration = Duration::from_secs(60);
/// A little longer than the enclave waits between two rounds of signing.
const LAST_ROUND: Duration = Duration::from_millis(1100);
/// How long a node that stops tries to hand over the last receipts.
pub(super) const LAST_WITHIN: Duration = Duration::from_secs(3);

/// Brings receipts until the enclave turns out to be another boot.
pub(super) async fn follow(link: &Link, boot: &Boot) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let mut stored = 0;
    let mut acknowledged = 0;
    loop {
        if acknowledged < stored {
            match boot.control.acknowledge_usage(stored).await {
                Ok(()) => acknowledged = stored,
                Err(error) => tracing::debug!(%error, "cannot acknowledge usage"),
            }
        }
        let asked = Instant::now();
        match boot.control.usage(stored, WAIT).await {
            Ok(page) if page.boot_id != boot.id => return,
            Ok(page) => {
                let through = page.receipts.last().map(|last| last.receipt.seq);
                if let Some(through) = through {
                    bring(link, boot, page.receipts).await;
                    stored = stored.max(through);
                }
                if through.is_some() || asked.elapsed() >= TOO_SOON {
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => tracing::debug!(%error, "cannot read the enclave's usage"),
        }
        pause(backoff.next_jittered()).await;
    }
}

/// Brings what is left, before the enclave is stopped. What [`follow`] brings at the same time is booked once all the same.
pub(super) async fn hand_over(link: &Link, boot: &Boot) {
    let mut stored = 0;
    while let Ok(page) = boot.control.usage(stored, LAST_ROUND).await {
        let Some(last) = page.receipts.last().filter(|_| page.boot_id == boot.id) else {
            return;
        };
        stored = last.receipt.seq;
        bring(link, boot, page.receipts).await;
    }
}

/// Ends when the control plane has stored them.
async fn bring(link: &Link, boot: &Boot, receipts: Vec<SignedUsage>) {
    let node = link.config.identity.node;
    let mut unreachable = platform_backoff();
    let mut refused = Backoff::new(Duration::from_secs(1), REFUSED);
    loop {
        let session = link.session_of(boot.id).await;
        let error = match link.platform.usage(&session, node, &receipts).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if error.is_transient() && error.status() != Some(409) {
            // Whether the session has ended is for the reports to find out.
            tracing::debug!(%error, "cannot bring usage");
            pause(unreachable.next_jittered()).await;
        } else {
            tracing::error!(%error, "usage is refused, and nobody pays for it");
            pause(refused.next_jittered()).await;
        }
    }
}
