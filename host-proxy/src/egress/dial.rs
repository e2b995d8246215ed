//! From a name to a connection: the addresses that may be reached are tried in order, the next one when the last failed
//! or is slow (RFC 8305 in small), and the first that accepts is taken.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use nacre_protocol::egress::Destination;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::{EgressError, Reach, judge};

/// After this the next address is tried beside the last (RFC 8305 §5).
const NEXT: Duration = Duration::from_millis(250);
/// Most addresses of one name that are tried.
const MOST: usize = 8;
/// Names that are resolved at once. The system's resolver cannot be interrupted and holds a thread each.
const RESOLVING: usize = 32;

/// Resolves and connects.
#[derive(Debug)]
pub(super) struct Dialer {
    resolving: Arc<Semaphore>,
}

impl Default for Dialer {
    fn default() -> Self {
        Self {
            resolving: Arc::new(Semaphore::new(RESOLVING)),
        }
    }
}

impl Dialer {
    /// Connects to one of the name's addresses; to private ones only if `private`.
    pub(super) async fn dial(
        &self,
        to: &Destination,
        private: bool,
    ) -> Result<TcpStream, EgressError> {
        let found = self.resolve(to).await.map_err(EgressError::Unresolved)?;
        let addresses = candidates(found, private);
        if addresses.is_empty() {
            return Err(EgressError::Address);
        }
        race(addresses).await.map_err(EgressError::Connect)
    }

    async fn resolve(&self, to: &Destination) -> io::Result<Vec<SocketAddr>> {
        let turn = Arc::clone(&self.resolving).acquire_owned().await;
        let (name, port) = (to.name().to_owned(), to.port());
        let resolved = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            (name, port).to_socket_addrs().map(Vec::from_iter)
        });
        let addresses = resolved.await.map_err(io::Error::other)??;
        match addresses.is_empty() {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(addresses),
        }
    }
}

/// Those that may be reached, each once, IPv6 and IPv4 by turns, beginning with the resolver's first choice.
fn candidates(found: Vec<SocketAddr>, private: bool) -> VecDeque<SocketAddr> {
    let may = |address: &SocketAddr| match judge(address.ip()) {
        Reach::Public => true,
        Reach::Private => private,
        Reach::Never => false,
    };
    let mut allowed: Vec<SocketAddr> = Vec::new();
    for address in found.into_iter().filter(may) {
        if !allowed.contains(&address) {
            allowed.push(address);
        }
    }
    let first_kind = allowed.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = allowed
        .into_iter()
        .partition(|address| address.is_ipv6() == first_kind);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    while turns.len() < MOST {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            break;
        }
        turns.extend(pair.into_iter().flatten());
    }
    turns.truncate(MOST);
    turns
}

async fn race(mut waiting: VecDeque<SocketAddr>) -> io::Result<TcpStream> {
    let mut trying = FuturesUnordered::new();
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = waiting.pop_front() {
            trying.push(TcpStream::connect(address));
        }
        let next = Instant::now() + NEXT;
        tokio::select! {
            tried = trying.next() => match tried {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => return Err(failure),
            },
            () = sleep_until(next), if !waiting.is_empty() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn chosen(texts: &[&str], private: bool) -> Vec<String> {
        let chosen = candidates(addresses(texts), private);
        chosen.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn both_kinds_take_turns_and_the_resolvers_first_is_first() {
        let found = [
            "[2606::1]:1",
            "[2606::2]:1",
            "1.1.1.1:1",
            "1.1.1.1:1",
            "1.1.1.2:1",
            "1.1.1.3:1",
        ];
        assert_eq!(
            chosen(&found, false),
            [
                "[2606::1]:1",
                "1.1.1.1:1",
                "[2606::2]:1",
                "1.1.1.2:1",
                "1.1.1.3:1"
            ]
        );
        let many: Vec<String> = (1..20).map(|n| format!("1.1.1.{n}:1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(chosen(&many, false).len(), MOST);
    }

    #[test]
    fn private_addresses_are_tried_only_if_told_and_metadata_never() {
        let found = [
            "10.0.0.1:1",
            "169.254.169.254:1",
            "[::ffff:169.254.169.254]:1",
            "[fd00:ec2::254]:1",
            "[::1]:1",
        ];
        assert!(chosen(&found, false).is_empty());
        assert_eq!(chosen(&found, true), ["10.0.0.1:1", "[::1]:1"]);
        // A public address beside a private one does not bring it in.
        assert_eq!(chosen(&["127.0.0.1:1", "1.1.1.1:1"], false), ["1.1.1.1:1"]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (good, bad) = (listener.local_addr().unwrap(), closed.local_addr().unwrap());
        drop(closed);
        let stream = race(VecDeque::from([bad, good])).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        let error = race(VecDeque::from([bad])).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
