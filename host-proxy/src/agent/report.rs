//! Telling the control plane what runs here: at once when it changes, and regularly as a sign of life.

use nacre_protocol::api::ObservedState;

use super::{Boot, Link, platform_backoff};
use crate::backoff::pause;

/// Reports until it is dropped.
pub(super) async fn keep_reporting(link: &Link, boot: &Boot) {
    let node = link.config.identity.node;
    let mut observed = boot.observed.subscribe();
    let mut backoff = platform_backoff();
    loop {
        let session = link.session_of(boot.id).await;
        let state = ObservedState {
            boot_id: boot.id,
            functions: observed.borrow_and_update().clone(),
            events: boot.journal.oldest(),
        };
        let reported = link.platform.report(&session, node, &state).await;
        link.config
            .work
            .reported(reported.is_ok(), &state.functions);
        if let Err(error) = reported {
            tracing::warn!(%error, "cannot report; what runs keeps running");
            link.note_failure(&session, &error);
            pause(backoff.next_jittered()).await;
            continue;
        }
        backoff.reset();
        if let Some(last) = state.events.last() {
            boot.journal.acknowledge(last.seq);
        }
        if !boot.journal.is_empty() {
            continue;
        }
        // Earlier than asked for, so that a slow network does not make it late.
        let due = session.report_every.mul_f64(0.8);
        tokio::select! {
            _ = observed.changed() => {}
            () = boot.journal.news.notified() => {}
            () = pause(due) => {}
        }
    }
}
