//! One caller's way: a place, the enclave, and then bytes until somebody has enough.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use nacre_transport::proxy_header::{self, Parsed};
use nacre_transport::{Stream, connect};
use nacre_tunnel::shares::{Asked, Place, Source};
use nacre_tunnel::{End, carry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};

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
        let turn = tokio::select! {
            biased;
            turn = in_turn(asked, &shared) => turn,
            () = shared.stop.cancelled() => None,
        };
        let Some(place) = turn else {
            shared.counters.turned_away();
            return self.caller.abort_on_close();
        };
        let _open = shared.counters.open();
        place.sign_of_life(shared.millis());
        let reached = tokio::select! {
            biased;
            reached = reach(enclave, self.source(), &shared) => reached,
            () = place.taken_back() => {
                shared.counters.taken_back();
                return self.caller.abort_on_close();
            }
            () = shared.stop.cancelled() => None,
        };
        let Some((inside, opening)) = reached else {
            shared.counters.refused();
            return self.caller.abort_on_close();
        };
        self.carry(inside, &place, opening).await;
    }

    async fn carry(&mut self, mut inside: Stream, place: &Place, opening: Place) {
        let shared = &*self.shared;
        let answered = Notify::new();
        let carried = |inward, outward| {
            shared.counters.carried(inward, outward);
            place.sign_of_life(shared.millis());
            if outward > 0 {
                answered.notify_one();
            }
        };
        let (pools, patience) = (&shared.pools, &shared.limits.patience);
        if !self.announce(&mut inside).await {
            shared.counters.aborted();
            return self.caller.abort_on_close();
        }
        let tunnel = carry(&mut self.caller, &mut inside, pools, patience, carried);
        // The costly part of a handshake is done when the enclave has said something.
        let opened = timeout(OPENING, answered.notified());
        let end = tokio::select! {
            end = hold_until_opened(tunnel, opened, opening) => Some(end),
            () = place.taken_back() => {
                shared.counters.taken_back();
                None
            }
            () = shared.cut.cancelled() => {
                shared.counters.cut();
                None
            }
        };
        if end != Some(End::Closed) {
            if let Some(end) = end {
                tracing::debug!(?end, "a connection was aborted");
                shared.counters.aborted();
            }
            self.caller.abort_on_close();
            inside.abort_on_close();
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
    let place = timeout(shared.limits.hold, asked.place()).await;
    place.ok().flatten()
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
