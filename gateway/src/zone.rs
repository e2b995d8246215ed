//! The names under which functions are called: `<function>.<zone>`.

use std::fmt;
use std::str::FromStr;

use nacre_protocol::ids::FunctionName;
use rustls::pki_types::DnsName;

/// The DNS name below which every function has its own; in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(String);

/// A text that is no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no DNS name, such as functions.example.org")]
pub struct ZoneSyntaxError(String);

impl Zone {
    /// The function that this server name stands for, if it is one label below the zone.
    pub fn function(&self, server_name: &str) -> Option<FunctionName> {
        let name = server_name.to_ascii_lowercase();
        let label = name.strip_suffix(&self.0)?.strip_suffix('.')?;
        label.parse().ok()
    }
}

impl FromStr for Zone {
    type Err = ZoneSyntaxError;

    fn from_str(text: &str) -> Result<Self, ZoneSyntaxError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        DnsName::try_from(name)
            .map(|name| Self(name.as_ref().to_ascii_lowercase()))
            .map_err(|_| ZoneSyntaxError(text.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_one_label_below_the_zone() {
        let zone: Zone = "Fn.Example.org.".parse().unwrap();
        let function = |name: &str| zone.function(name).map(|name| name.to_string());
        assert_eq!(function("iris.fn.example.org"), Some("iris".to_owned()));
        assert_eq!(function("IRIS.fn.EXAMPLE.org"), Some("iris".to_owned()));
        for outside in [
            "fn.example.org",
            ".fn.example.org",
            "a.iris.fn.example.org",
            "irisfn.example.org",
            "iris.example.org",
            "iris.fn.example.com",
            "iris.fn.example.org.evil.example",
            "-iris.fn.example.org",
            "i_s.fn.example.org",
            "iris",
            "",
        ] {
            assert_eq!(function(outside), None, "{outside}");
        }
    }

    #[test]
    fn a_zone_is_a_dns_name() {
        for wrong in [
            "",
            ".",
            "a..b",
            "a b",
            "*.example.org",
            "192.0.2.1",
            "[::1]",
        ] {
            assert!(wrong.parse::<Zone>().is_err(), "{wrong}");
        }
    }
}
