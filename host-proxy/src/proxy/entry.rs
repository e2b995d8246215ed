//! What becomes of a connection that was just accepted: it asks for a place, or first says for whom it comes.

use std::net::SocketAddr;
use std::sync::Arc;

use nacre_transport::Stream;
use nacre_tunnel::shares::Asked;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Shared;
use super::connection::Connection;
use crate::supervisor::EnclaveState;

/// How one comes in.
enum Entry {
    /// From a named proxy, which has room to say for whom.
    ToBeIntroduced(OwnedSemaphorePermit),
    /// From a caller.
    Asked(Asked),
}

/// Takes one, and gives the rest of its life; `None` when it has been turned away.
pub(super) fn take(
    shared: &Arc<Shared>,
    enclave: &watch::Receiver<EnclaveState>,
    caller: Stream,
    from: Option<SocketAddr>,
) -> Option<impl Future<Output = ()> + Send + use<>> {
    let connection = Connection {
        caller,
        from,
        shared: Arc::clone(shared),
    };
    let Some(entry) = entry(&connection) else {
        shared.counters.turned_away();
        connection.caller.abort_on_close();
        return None;
    };
    let enclave = enclave.clone();
    Some(async move {
        match entry {
            Entry::ToBeIntroduced(room) => connection.serve_introduced(room, enclave).await,
            Entry::Asked(asked) => connection.serve(asked, enclave).await,
        }
    })
}

fn entry(connection: &Connection) -> Option<Entry> {
    let shared = &connection.shared;
    if connection.from.is_some_and(|from| shared.is_proxy(from)) {
        let room = Arc::clone(&shared.introductions).try_acquire_owned();
        return room.ok().map(Entry::ToBeIntroduced);
    }
    match shared.places.ask(connection.source()) {
        Asked::Refused => None,
        asked => Some(Entry::Asked(asked)),
    }
}
