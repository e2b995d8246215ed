//! One caller's way: a place, the enclave, and then bytes until somebody has enough.

use std::sync::Arc;

use nacre_transport::{Stream, connect};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::shares::{Asked, Place, Source};
use super::tunnel::{self, End};
use super::{OPENING, PAUSE, Shared};
use crate::backoff::pause;
use crate::supervisor::EnclaveState;

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) caller: Stream,
    pub(super) source: Source,
    pub(super) shared: Arc<Shared>,
}

impl Connection {
    /// Carries it until it has ended, or its place is needed for others.
    pub(super) async fn serve(mut self, asked: Asked, enclave: watch::Receiver<EnclaveState>) {
        let shared = Arc::clone(&self.shared);
        if matches!(asked, Asked::Wait(_)) {
            shared.counters.waited();
        }
        let Some(place) = in_turn(asked, &shared).await else {
            shared.counters.turned_away();
            return self.caller.abort_on_close();
        };
        let _open = shared.counters.open();
        place.sign_of_life(shared.millis());
        let carried = self.carry(&place, enclave);
        tokio::select! {
            () = carried => {}
            () = place.taken_back() => {
                shared.counters.taken_back();
                self.caller.abort_on_close();
            }
        }
    }

    async fn carry(&mut self, place: &Place, enclave: watch::Receiver<EnclaveState>) {
        let shared = &*self.shared;
        let Some((mut inside, opening)) = reach(enclave, self.source, shared).await else {
            shared.counters.refused();
            return self.caller.abort_on_close();
        };
        let answered = Notify::new();
        let carried = |inward, outward| {
            shared.counters.carried(inward, outward);
            place.sign_of_life(shared.millis());
            if outward > 0 {
                answered.notify_one();
            }
        };
        let (pools, patience) = (&shared.pools, &shared.limits.patience);
        let tunnel = tunnel::carry(&mut self.caller, &mut inside, pools, patience, carried);
        // The costly part of a handshake is done when the enclave has said something.
        let opened = timeout(OPENING, answered.notified());
        let end = hold_until_opened(tunnel, opened, opening).await;
        if end != End::Closed {
            tracing::debug!(?end, "a connection was aborted");
            shared.counters.aborted();
            self.caller.abort_on_close();
            inside.abort_on_close();
        }
    }
}

/// Holds `opening` until `opened` is done, and goes on to the tunnel's end.
async fn hold_until_opened(
    tunnel: impl Future<Output = End>,
    opened: impl Future,
    opening: Place,
) -> End {
    let mut tunnel = std::pin::pin!(tunnel);
    tokio::select! {
        end = tunnel.as_mut() => return end,
        _ = opened => drop(opening),
    }
    tunnel.await
}

/// Waits for one's turn, but not for long.
async fn in_turn(asked: Asked, shared: &Shared) -> Option<Place> {
    match asked {
        Asked::Place(place) => Some(place),
        Asked::Refused => None,
        Asked::Wait(mut ticket) => {
            let place = timeout(shared.limits.hold, ticket.place()).await;
            place.ok().flatten()
        }
    }
}

/// Connects to the enclave when it is this one's turn to be opened. While there is no enclave, waits for the next,
/// within bounds.
async fn reach(
    mut enclave: watch::Receiver<EnclaveState>,
    source: Source,
    shared: &Shared,
) -> Option<(Stream, Place)> {
    let limits = &shared.limits;
    let hold_until = Instant::now() + limits.hold;
    let mut held = None;
    loop {
        let current = enclave.borrow_and_update().clone();
        if let Some(endpoints) = current {
            let opening = in_turn(shared.openings.ask(source), shared).await?;
            let deadline = Instant::now() + limits.connect;
            match connect(&endpoints.tls, deadline.min(hold_until)).await {
                Ok(stream) => return Some((stream, opening)),
                Err(error) => tracing::debug!(%error, "the enclave does not accept"),
            }
        }
        if held.is_none() {
            held = Some(shared.held.try_acquire().ok()?);
            shared.counters.held();
        }
        // A refused connection usually means that the enclave just died and its end is about to be noticed.
        let next = async {
            tokio::select! {
                changed = enclave.changed() => changed.is_ok(),
                () = pause(PAUSE) => true,
            }
        };
        if !timeout_at(hold_until, next).await.unwrap_or(false) {
            return None;
        }
    }
}
