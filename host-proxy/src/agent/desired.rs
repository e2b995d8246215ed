//! Following what the control plane wants this node to run.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Boot, Link, platform_backoff};
use crate::backoff::pause;

/// How long the control plane may keep a question that has no news.
const WAIT: Duration = Duration::from_secs(20);
/// An answer without news that comes sooner than this is not a long poll.
const TOO_SOON: Duration = Duration::from_millis(500);

/// Long-polls the desired state.
pub(super) async fn follow(link: &Link, boot: &Boot) {
    let node = link.config.identity.node;
    let mut backoff = platform_backoff();
    let mut after = None;
    loop {
        let session = link.session_of(boot.id).await;
        let asked = Instant::now();
        match link.platform.desired(&session, node, after, WAIT).await {
            Ok((state, cause)) => {
                let news = after != Some(state.revision);
                if news {
                    link.cause.send_replace(cause);
                }
                after = Some(state.revision);
                let state = Arc::new(state);
                link.desired.send_if_modified(|current| {
                    let differs = current.as_ref() != Some(&state);
                    if differs {
                        *current = Some(state);
                    }
                    differs
                });
                if news || asked.elapsed() >= TOO_SOON {
                    backoff.reset();
                    continue;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the desired state; what runs keeps running");
                link.note_failure(&session, &error);
            }
        }
        pause(backoff.next_jittered()).await;
    }
}
