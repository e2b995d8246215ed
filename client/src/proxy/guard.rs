//! Whether a request comes from a program on this machine, or from a page in a browser that runs on it.
//!
//! A page can send requests to loopback. Where its own name resolves to loopback (DNS rebinding), it can also read the
//! answers; but then `Host` has its name. Any other page's requests carry `Origin` or `Sec-Fetch-Site`.

use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, StatusCode};
use std::net::IpAddr;

use super::refusal::Refusal;
use super::{ProxyError, ProxyListen};

/// Judges requests by their heads.
#[derive(Debug)]
pub(super) struct Guard {
    /// `None` on a Unix socket: no browser reaches it, and its callers have no host to name.
    allowed: Option<Vec<Authority>>,
}

impl Guard {
    /// A guard for a place to listen; `allow` are the further names that callers may use.
    pub(super) fn new(listen: &ProxyListen, allow: &[String]) -> Result<Self, ProxyError> {
        let read = |text: &String| authority(text).ok_or(ProxyError::AllowHost(text.clone()));
        let allowed = allow.iter().map(read).collect::<Result<_, _>>()?;
        Ok(match listen {
            ProxyListen::Tcp(_) => Self {
                allowed: Some(allowed),
            },
            ProxyListen::Unix(_) => Self { allowed: None },
        })
    }

    /// Lets a request pass or says why not.
    pub(super) fn check(&self, head: &Parts) -> Result<(), Refusal> {
        if let Some(allowed) = &self.allowed {
            let named = named_hosts(head).ok_or_else(host_refused)?;
            if !named.iter().all(|host| is_allowed(host, allowed)) {
                return Err(host_refused());
            }
        }
        if sent_by_a_page(&head.headers) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "origin-not-allowed",
                "requests of web pages are not forwarded",
            ));
        }
        Ok(())
    }
}

fn host_refused() -> Refusal {
    Refusal::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host-not-allowed",
        "`Host` is not a name of this proxy: use localhost, or allow the name",
    )
}

/// All hosts that the request names: one `Host`, and the target's where it is absolute. `None` where `Host` is missing,
/// there twice, or no host.
fn named_hosts(head: &Parts) -> Option<Vec<Authority>> {
    let mut values = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return None;
    };
    let mut named = vec![authority(host.to_str().ok()?)?];
    named.extend(head.uri.authority().cloned());
    Some(named)
}

fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let port_is_number = match authority.as_str().strip_prefix(authority.host()) {
        Some("") => true,
        Some(_) => authority.port_u16().is_some(),
        // There is something before the host: `user@`.
        None => false,
    };
    (port_is_number && !authority.host().is_empty()).then_some(authority)
}

fn is_allowed(named: &Authority, allowed: &[Authority]) -> bool {
    let host = bare(named);
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
        || allowed.iter().any(|allowed| {
            let port = allowed.port_u16();
            bare(allowed).eq_ignore_ascii_case(host) && (port.is_none() || port == named.port_u16())
        })
}

/// The host without the dot that ends a fully qualified name.
fn bare(authority: &Authority) -> &str {
    let host = authority.host();
    host.strip_suffix('.').unwrap_or(host)
}

/// Browsers add `Origin` to what a page's script sends and `Sec-Fetch-Site` to all; the latter is `none` only where the
/// user typed the address. The proxy has no pages of its own.
fn sent_by_a_page(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    headers.contains_key(ORIGIN) || sites.any(|site| site != "none")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::get(uri), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.body(()).unwrap().into_parts().0
    }

    fn tcp(allow: &[&str]) -> Guard {
        let allow: Vec<_> = allow.iter().map(|&name| name.to_owned()).collect();
        Guard::new(&"127.0.0.1:7610".parse().unwrap(), &allow).unwrap()
    }

    fn code(guard: &Guard, uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        guard.check(&head(uri, headers)).err().map(|r| r.code())
    }

    #[test]
    fn loopbacks_names_pass_with_any_port() {
        for host in [
            "localhost",
            "LocalHost:7610",
            "localhost.:1",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.1.2.3",
            "[::1]",
            "[::1]:7610",
        ] {
            assert_eq!(code(&tcp(&[]), "/v2", &[("host", host)]), None, "{host}");
        }
    }

    #[test]
    fn other_hosts_are_refused() {
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "0.0.0.0",
            "[::]",
            "192.0.2.1",
            "127.1",
            "2130706433",
            "0x7f.1",
            "user@localhost",
            "localhost@example.org",
            "localhost:x",
            "localhost:99999",
            "[::1",
            "[example.org]",
            "localhost localhost",
        ] {
            let refused = code(&tcp(&[]), "/v2", &[("host", host)]);
            assert_eq!(refused, Some("host-not-allowed"), "{host}");
        }
        assert_eq!(code(&tcp(&[]), "/v2", &[]), Some("host-not-allowed"));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(code(&tcp(&[]), "/v2", &twice), Some("host-not-allowed"));
        let absolute = code(&tcp(&[]), "http://example.org/v2", &[("host", "localhost")]);
        assert_eq!(absolute, Some("host-not-allowed"));
    }

    #[test]
    fn allowed_names_pass() {
        let guard = tcp(&["Models.internal", "gpu:8000"]);
        for host in ["models.internal", "models.internal:7610", "gpu:8000"] {
            assert_eq!(code(&guard, "/v2", &[("host", host)]), None, "{host}");
        }
        for host in ["gpu", "gpu:8001", "x.models.internal"] {
            assert!(code(&guard, "/v2", &[("host", host)]).is_some(), "{host}");
        }
        for bad in ["", "http://x", "a b", "x/y", "u@x"] {
            let error = Guard::new(&"127.0.0.1:1".parse().unwrap(), &[bad.to_owned()]);
            assert_eq!(error.unwrap_err().code(), "allow-host-syntax", "{bad}");
        }
    }

    #[test]
    fn pages_are_refused_everywhere() {
        let unix = Guard::new(&"unix:/x".parse().unwrap(), &[]).unwrap();
        for guard in [&tcp(&[]), &unix] {
            for header in [
                ("origin", "http://localhost:7610"),
                ("origin", "null"),
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-site", "same-origin"),
            ] {
                let refused = code(guard, "/v2", &[("host", "localhost"), header]);
                assert_eq!(refused, Some("origin-not-allowed"), "{header:?}");
            }
            let typed = [("host", "localhost"), ("sec-fetch-site", "none")];
            assert_eq!(code(guard, "/v2", &typed), None);
        }
        assert_eq!(code(&unix, "/v2", &[]), None, "no host is needed");
    }
}
