//! One caller's way: a place, the enclave, and then bytes until somebody has enough.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use nacre_transport::proxy_header::{self, Parsed};
use nacre_transport::{Stream, connect_saying};
use nacre_tunnel::shares::{Asked, Place, Source};
use nacre_tunnel::{End, First, carry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{INTRODUCTION, OPENING, PAUSE, Shared};
use crate::backoff::pause;
use crate::supervisor::EnclaveState;

/// A connection that was accepted.
pub(super) struct Connection {
    pub(super) caller: Stream,
    /// Where it comes from, as far as is known.
    pub(super) from: Option<SocketAddr>,
    pub(super) shared: Arc<Shared>,
}

impl Connection {
    /// Whom it counts for.
    pub(super) fn source(&self) -> Source {
        let address = self.from.map(|from| from.ip());
        address.map_or(Source::Unnamed, Source::from)
    }

    /// Serves one that comes from a proxy: the header that it begins with says for whom.
    pub(super) async fn serve_introduced(
        mut self,
        room: OwnedSemaphorePermit,
        enclave: watch::Receiver<EnclaveState>,
    ) {
        let shared = Arc::clone(&self.shared);
        let introduced = timeout(INTRODUCTION, introduction(&mut self.caller)).await;
        drop(room);
        match introduced {
            Ok(Ok(source)) => self.from = source.or(self.from),
            why => {
                tracing::debug!(?why, proxy = ?self.from, "no PROXY protocol header");
                shared.counters.unintroduced();
                return self.caller.abort_on_close();
            }
        }
        let asked = shared.places.ask(self.source());
        self.serve(asked, enclave).await;
    }

    /// Carries it until it has ended, or its place is needed for others, or the proxy stops.
    pub(super) async fn serve(mut self, asked: Asked, enclave: watch::Receiver<EnclaveState>) {
        let shared = Arc::clone(&self.shared);
        if matches!(asked, Asked::Wait(_)) {
            shared.counters.waited();
        }
        // Who still waits when the proxy stops has sent nothing that could be lost, and may be taken elsewhere.
        let turn = match asked {
            Asked::Place(place) => Some(place),
            asked => tokio::select! {
                biased;
                turn = in_turn(asked, &shared) => turn,
                () = shared.stop.cancelled() => None,
            },
        };
        let Some(place) = turn else {
            shared.counters.turned_away();
            return self.caller.abort_on_close();
        };
        let _open = shared.counters.traffic.open();
        place.sign_of_life(shared.millis());
        // Where a restart is waited for, thousands may wait: with no more than a first message each.
        let Ok(first) = First::read(&shared.pools, &self.caller) else {
            shared.counters.traffic.aborted();
            return self.caller.abort_on_close();
        };
        let reached = tokio::select! {
            biased;
            reached = reach(enclave, self.source(), first, &shared) => reached,
            () = place.taken_back() => {
                self.count_leaving();
                return self.caller.abort_on_close();
            }
            () = shared.stop.cancelled() => None,
        };
        let Some(reached) = reached else {
            shared.counters.refused();
            return self.caller.abort_on_close();
        };
        self.carry(reached, &place).await;
    }

    async fn carry(&mut self, reached: Reached<'_>, place: &Place) {
        let shared = &*self.shared;
        let (mut inside, first) = (reached.inside, reached.first);
        // The costly part of a handshake is done when the enclave has said something.
        let opening = Mutex::new(Some(reached.opening));
        let opened = || {
            drop(
                opening
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .take(),
            )
        };
        let carried = |inward, outward| {
            shared.counters.traffic.bytes(inward, outward);
            place.sign_of_life(shared.millis());
            if outward > 0 {
                opened();
            }
        };
        if !self.announce(&mut inside).await {
            shared.counters.traffic.aborted();
            return self.caller.abort_on_close();
        }
        let patience = &shared.limits.patience;
        let tunnel = carry(&mut self.caller, &mut inside, first, patience, carried);
        let end = tokio::select! {
            biased;
            end = meanwhile(tunnel, Instant::now() + OPENING, opened) => Some(end),
            () = place.taken_back() => None,
        };
        match end {
            Some(End::Closed) => return,
            Some(end) => {
                tracing::debug!(?end, "a connection was aborted");
                shared.counters.traffic.aborted();
            }
            None => self.count_leaving(),
        }
        self.caller.abort_on_close();
        inside.abort_on_close();
    }

    /// Its place was taken back.
    fn count_leaving(&self) {
        let counters = &self.shared.counters;
        if self.shared.cut.load(Relaxed) {
            counters.traffic.cut();
        } else {
            counters.taken_back();
        }
    }

    /// Tells the next proxy whom it will speak with, if it wants to know; whether that went well.
    async fn announce(&self, inside: &mut Stream) -> bool {
        let (true, Stream::Tcp(socket)) = (self.shared.announces, &*inside) else {
            return true;
        };
        let header = match (self.from, socket.peer_addr()) {
            (Some(from), Ok(to)) => proxy_header::header(from, to),
            _ => proxy_header::LOCAL_HEADER.to_vec(),
        };
        inside.write_all(&header).await.is_ok()
    }
}

/// Reads the header that a proxy begins with, and not a byte more.
async fn introduction(proxy: &mut Stream) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::new();
    loop {
        match proxy_header::parse(&bytes).map_err(io::Error::other)? {
            Parsed::Header(header) => return Ok(header.source),
            Parsed::Needs(needs) => {
                let known = bytes.len();
                bytes.resize(needs, 0);
                proxy.read_exact(&mut bytes[known..]).await?;
            }
        }
    }
}

/// Goes on to the tunnel's end, and does something at a time before that.
async fn meanwhile(tunnel: impl Future<Output = End>, at: Instant, what: impl FnOnce()) -> End {
    let mut tunnel = std::pin::pin!(tunnel);
    tokio::select! {
        biased;
        end = tunnel.as_mut() => return end,
        () = sleep_until(at) => what(),
    }
    tunnel.await
}

/// Waits for one's turn, but not for long.
async fn in_turn(asked: Asked, shared: &Shared) -> Option<Place> {
    let place = timeout(shared.limits.hold, asked.place()).await;
    place.ok().flatten()
}

/// A way to the enclave.
struct Reached<'a> {
    inside: Stream,
    /// The place among those that are being opened.
    opening: Place,
    /// What the caller had said until then.
    first: First<'a>,
}

/// Connects to the enclave when it is this one's turn to be opened. While there is no enclave, waits for the next,
/// within bounds.
async fn reach<'a>(
    mut enclave: watch::Receiver<EnclaveState>,
    source: Source,
    mut first: First<'a>,
    shared: &Shared,
) -> Option<Reached<'a>> {
    let limits = &shared.limits;
    let hold_until = Instant::now() + limits.hold;
    let mut held = None;
    loop {
        let current = enclave.borrow_and_update().clone();
        if let Some(endpoints) = current {
            let opening = match shared.openings.ask(source) {
                Asked::Place(opening) => opening,
                asked => {
                    first.wait();
                    in_turn(asked, shared).await?
                }
            };
            let deadline = (Instant::now() + limits.connect).min(hold_until);
            // Whom it is for has to be said before.
            let bytes = if shared.announces { &[] } else { first.bytes() };
            match connect_saying(&endpoints.tls, bytes, deadline).await {
                Ok((inside, said)) => {
                    first.written(said);
                    return Some(Reached {
                        inside,
                        opening,
                        first,
                    });
                }
                Err(error) => tracing::debug!(%error, "the enclave does not accept"),
            }
        }
        first.wait();
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
