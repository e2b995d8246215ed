//! `host:port` as nodes write it.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a text is `host:port`: a DNS name, an IPv4 address or an IPv6 address in brackets, and a port above 0.
pub(crate) fn is_endpoint(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && is_port(port))
}

fn is_port(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    plain && text.parse::<u16>().is_ok()
}

fn is_host(text: &str) -> bool {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for good in [
            "127.0.0.1:7443",
            "[::1]:1",
            "node-1.example.org:65535",
            "localhost:80",
        ] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "",
            "host",
            ":80",
            "host:",
            "host:0",
            "host:080",
            "host:65536",
            "host:+80",
            "::1:80",
            "[::1]",
            "[::g]:80",
            "1.2.3:80",
            "256.1.1.1:80",
            "a..b:80",
            "-a:80",
            "a b:80",
            "http://host:80",
            "host:80/",
            "user@host:80",
            "ä:80",
        ] {
            assert!(!is_endpoint(bad), "{bad}");
        }
    }
}
