//! One caller's way: its first message, a place, a node that answers, and then bytes until somebody has enough.

use std::net::SocketAddr;
use std::sync::Arc;

use nacre_protocol::ids::FunctionName;
use nacre_transport::Stream;
use nacre_tunnel::shares::{Asked, Place, Source};
use nacre_tunnel::{End, carry};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use crate::counters::Refusal;
use crate::dial::First;
use crate::gateway::Shared;
use crate::hello::{HelloError, MAX_HELLO, Parser};
use crate::routes::Route;

/// Bytes that are read at once of a first message. One of them is usually all of it.
const CHUNK: usize = 4096;

/// A connection that was accepted.
pub(crate) struct Connection {
    pub(crate) caller: Stream,
    /// Where it comes from, as far as is known.
    pub(crate) from: Option<SocketAddr>,
    pub(crate) accepted: Instant,
    pub(crate) shared: Arc<Shared>,
}

impl Connection {
    /// Whom it counts for.
    pub(crate) fn source(&self) -> Source {
        let address = self.from.map(|from| from.ip());
        address.map_or(Source::Unnamed, Source::from)
    }

    /// Serves it to its end, from when it has asked for a place among those who are about to say whom they want.
    pub(crate) async fn serve(mut self, asked: Asked) {
        let shared = Arc::clone(&self.shared);
        let _open = shared.counters.traffic.open();
        let end_of_hello = self.accepted + shared.limits.hello;
        let place = timeout_at(end_of_hello, asked.place()).await;
        let Ok(Some(speaking)) = place else {
            return self.refuse(Refusal::TurnedAway).await;
        };
        let introduced = tokio::select! {
            introduced = timeout_at(end_of_hello, self.introduction()) => {
                introduced.unwrap_or(Err(Refusal::HelloSlow))
            }
            () = speaking.taken_back() => Err(Refusal::TakenBack),
            () = shared.cut.cancelled() => Err(Refusal::Stopped),
        };
        let (hello, function, route) = match introduced {
            Ok(introduced) => introduced,
            // It keeps its place while it is told.
            Err(why) => return self.refuse(why).await,
        };
        let place = timeout(shared.limits.wait, shared.places.ask(self.source()).place());
        let Ok(Some(place)) = place.await else {
            return self.refuse(Refusal::TurnedAway).await;
        };
        drop(speaking);
        let done = match self.awake(&function, route, &place).await {
            Ok(route) => self.forward(hello, &route, &place).await,
            Err(why) => Err(why),
        };
        if let Err(why) = done {
            self.refuse(why).await;
        }
    }

    /// The way to a function; one that has no node now is waited for.
    async fn awake(
        &self,
        function: &FunctionName,
        route: Arc<Route>,
        place: &Place,
    ) -> Result<Arc<Route>, Refusal> {
        let shared = &self.shared;
        if route.has_nodes() || shared.limits.wake.is_zero() {
            return Ok(route);
        }
        place.sign_of_life(shared.millis());
        let awake = shared.dialer.routes.awake(function);
        tokio::select! {
            awake = timeout(shared.limits.wake, awake) => match awake {
                Ok(Some(route)) => Ok(route),
                Ok(None) => Err(Refusal::UnknownName),
                Err(_) => Err(Refusal::NoNode),
            },
            () = place.taken_back() => Err(Refusal::TakenBack),
            () = shared.cut.cancelled() => Err(Refusal::Stopped),
        }
    }

    /// Reads the first message, and which way it is to go.
    async fn introduction(&mut self) -> Result<(Vec<u8>, FunctionName, Arc<Route>), Refusal> {
        let mut parser = Parser::default();
        let mut bytes = Vec::new();
        let hello = loop {
            let known = bytes.len();
            bytes.resize((known + CHUNK).min(MAX_HELLO), 0);
            let read = self.caller.read(&mut bytes[known..]).await;
            bytes.truncate(known + *read.as_ref().unwrap_or(&0));
            if !matches!(read, Ok(1..)) {
                return Err(Refusal::HelloIncomplete);
            }
            match parser.feed(&bytes[known..]) {
                Ok(Some(hello)) => break hello,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, from = ?self.from, "no ClientHello");
                    return Err(match error {
                        HelloError::TooLong => Refusal::HelloTooLong,
                        _ => Refusal::HelloMalformed,
                    });
                }
            }
        };
        let name = hello.server_name.ok_or(Refusal::NoName)?;
        let function = self.shared.zone.function(&name);
        let function = function.ok_or(Refusal::UnknownName)?;
        let route = self.shared.dialer.routes.to(&function);
        Ok((bytes, function, route.ok_or(Refusal::UnknownName)?))
    }

    /// Finds a node and carries bytes until the connection has ended, or its place is needed for others, or the gateway
    /// stops. An error is one before any byte of an answer.
    async fn forward(
        &mut self,
        hello: Vec<u8>,
        route: &Route,
        place: &Place,
    ) -> Result<(), Refusal> {
        let shared = Arc::clone(&self.shared);
        place.sign_of_life(shared.millis());
        let first = First {
            hello,
            from: self.from,
            to: local_address(&self.caller),
        };
        let answered = tokio::select! {
            answered = shared.dialer.dial(route, first, &shared.counters) => answered,
            () = place.taken_back() => return Err(Refusal::TakenBack),
            () = shared.cut.cancelled() => return Err(Refusal::Stopped),
        };
        let (mut node, _in_flight) = answered.ok_or(Refusal::NoNode)?;
        let carried = |inward, outward| {
            shared.counters.traffic.bytes(inward, outward);
            place.sign_of_life(shared.millis());
        };
        let patience = &shared.limits.patience;
        let end = tokio::select! {
            end = carry(&mut self.caller, &mut node, nacre_tunnel::First::nothing(&shared.pools), patience, carried) => {
                if end != End::Closed {
                    shared.counters.traffic.aborted();
                }
                Some(end)
            }
            () = place.taken_back() => {
                shared.counters.refused(Refusal::TakenBack);
                None
            }
            () = shared.cut.cancelled() => {
                shared.counters.traffic.cut();
                None
            }
        };
        if end != Some(End::Closed) {
            tracing::debug!(?end, "a connection was aborted");
            self.caller.abort_on_close();
            node.abort_on_close();
        }
        Ok(())
    }

    async fn refuse(&mut self, why: Refusal) {
        self.shared.counters.refused(why);
        match why.alert() {
            Some(alert) => alert.send(&mut self.caller).await,
            None => self.caller.abort_on_close(),
        }
    }
}

fn local_address(stream: &Stream) -> Option<SocketAddr> {
    match stream {
        Stream::Tcp(stream) => stream.local_addr().ok(),
        _ => None,
    }
}
