//! Rate limits: for each address before anything is looked at, for each key and node once it is known.
//!
//! What an address asks counts against it only until a valid token shows who asks; from then on it counts against the token.
//! So strangers are held down wherever they ask, and many callers behind one address are not held down for each other.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::Request;
use axum::http::HeaderMap;

use crate::config::RateLimits;
use crate::error::Error;
use crate::platform::Principal;
use crate::rate::{Limiter, neighbourhood};

/// Addresses that are remembered, about 100 bytes each.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
/// Keys and nodes that are remembered.
const TOKENS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// All limiters of one control plane.
#[derive(Debug)]
pub(super) struct Limits {
    began: Instant,
    addresses: Option<Limiter<IpAddr>>,
    tokens: Option<Limiter<String>>,
    behind_proxy: bool,
}

impl Limits {
    pub(super) fn new(rates: &RateLimits, behind_proxy: bool) -> Self {
        Self {
            began: Instant::now(),
            addresses: rates.per_address.map(|rate| Limiter::new(rate, ADDRESSES)),
            tokens: rates.per_token.map(|rate| Limiter::new(rate, TOKENS)),
            behind_proxy,
        }
    }

    /// Where a request comes from: the connection's other end, or what the proxy in front says of its own.
    pub(super) fn address(&self, request: &Request) -> Option<IpAddr> {
        let forwarded = forwarded(request.headers()).filter(|_| self.behind_proxy);
        let peer = request.extensions().get::<Peer>();
        forwarded.or_else(|| peer.map(|peer| peer.0.ip().to_canonical()))
    }

    /// Before it is known who asks.
    pub(super) fn stranger(&self, address: Option<IpAddr>) -> Result<(), Error> {
        match (&self.addresses, address) {
            (Some(limiter), Some(address)) => {
                let taken = limiter.take(neighbourhood(address), self.began.elapsed());
                taken.map_err(limited)
            }
            _ => Ok(()),
        }
    }

    /// Once it is known who asks.
    pub(super) fn known(
        &self,
        address: Option<IpAddr>,
        principal: &Principal,
    ) -> Result<(), Error> {
        if let (Some(limiter), Some(address)) = (&self.addresses, address) {
            limiter.give_back(&neighbourhood(address));
        }
        let Some(limiter) = &self.tokens else {
            return Ok(());
        };
        let who = match principal {
            Principal::Key(key) => key.id.to_string(),
            Principal::Gateway(key) => key.to_string(),
            Principal::Node(node) => node.to_string(),
        };
        limiter.take(who, self.began.elapsed()).map_err(limited)
    }
}

fn limited(wait: Duration) -> Error {
    Error::RateLimited {
        after_s: wait.as_secs() + 1,
    }
}

/// The last of `X-Forwarded-For`, which the proxy itself added; what stands before it is anybody's word.
fn forwarded(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    let bare = last.parse::<IpAddr>().ok();
    let address = bare.or_else(|| Some(last.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_own_word_counts_and_nobody_elses() {
        for (said, address) in [
            (vec!["192.0.2.7"], Some("192.0.2.7")),
            (vec!["10.0.0.1, 192.0.2.7"], Some("192.0.2.7")),
            (vec!["10.0.0.1", "2001:db8::1"], Some("2001:db8::1")),
            (vec!["192.0.2.7:4711"], Some("192.0.2.7")),
            (vec!["192.0.2.7, nonsense"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in &said {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            let expected = address.map(|address| address.parse::<IpAddr>().unwrap());
            assert_eq!(forwarded(&headers), expected, "{said:?}");
        }
    }
}
