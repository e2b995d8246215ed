//! Where a stream can be opened or awaited.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest path of a Unix socket in bytes: `sun_path` is 108 with its final NUL (unix(7)).
pub const MAX_UNIX_PATH: usize = 107;

/// The context id that stands for every id of this machine; only for listening. Written `any`.
pub const VSOCK_CID_ANY: u32 = u32::MAX;

/// The port that asks the kernel to choose one; not an address that can be told to anyone.
const VSOCK_PORT_ANY: u32 = u32::MAX;

/// An address to listen on or to connect to.
///
/// What [`FromStr`] accepts, [`Display`](fmt::Display) writes back; values built by hand are checked when they are used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// `vsock://16:443`; `vsock://any:443` to listen on.
    Vsock {
        /// Context id: the parent is 3, an enclave 16 or above.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// `unix:/run/nacre.sock`
    Unix(PathBuf),
    /// `hybrid:/run/v.sock:443`: connecting goes to the socket and asks for the port; listening is on `/run/v.sock_443`.
    Hybrid {
        /// The Unix socket that stands for the guest.
        socket: PathBuf,
        /// Port inside the guest, or on the host for the guest to reach.
        port: u32,
    },
    /// `tcp://127.0.0.1:443`, `tcp://[::1]:443`, `tcp://example.org:443`
    Tcp {
        /// An IP address (v6 without its brackets) or a DNS name.
        host: String,
        /// Port; 0 lets the kernel choose when listening.
        port: u16,
    },
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressSyntaxError {
    /// Neither of the four kinds.
    #[error("an address starts with vsock://, unix:, hybrid: or tcp://, not {0:?}")]
    Scheme(String),
    /// The port is missing.
    #[error("the address {0:?} ends with `:` and a port")]
    NoPort(String),
    /// A port that is no number of its range.
    #[error("{0:?} is not a port")]
    Port(String),
    /// A context id that is no number.
    #[error("{0:?} is not a context id: a number, or `any` to listen")]
    Cid(String),
    /// A host that is neither an IP address nor a DNS name.
    #[error("{0:?} is neither an IP address (v6 in brackets) nor a DNS name")]
    Host(String),
    /// A path that no Unix socket can have.
    #[error("the path of a Unix socket has 1 to {MAX_UNIX_PATH} bytes and no NUL, not {0:?}")]
    Path(PathBuf),
}

impl Address {
    /// Whether only this machine's own processes can connect: a Unix socket, or TCP on a loopback IP address. A DNS
    /// name is never taken for loopback, whatever it resolves to.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback()),
            Self::Vsock { .. } | Self::Hybrid { .. } => false,
        }
    }

    /// The Unix socket that a listener on this address has, if any.
    pub(crate) fn listening_path(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(path) => Some(path.clone()),
            Self::Hybrid { socket, port } => {
                let mut path = socket.clone().into_os_string();
                path.push(format!("_{port}"));
                Some(path.into())
            }
            Self::Vsock { .. } | Self::Tcp { .. } => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressSyntaxError;

    fn from_str(text: &str) -> Result<Self, AddressSyntaxError> {
        if let Some(rest) = text.strip_prefix("vsock://") {
            let (cid, port) = split_port(text, rest)?;
            let port = number(port)
                .filter(|port| *port != VSOCK_PORT_ANY)
                .ok_or_else(|| AddressSyntaxError::Port(port.to_owned()))?;
            let cid = if cid == "any" {
                VSOCK_CID_ANY
            } else {
                number(cid).ok_or_else(|| AddressSyntaxError::Cid(cid.to_owned()))?
            };
            Ok(Self::Vsock { cid, port })
        } else if let Some(path) = text.strip_prefix("unix:") {
            checked_path(Path::new(path))?;
            Ok(Self::Unix(path.into()))
        } else if let Some(rest) = text.strip_prefix("hybrid:") {
            let (socket, port) = split_port(text, rest)?;
            let port = number(port).ok_or_else(|| AddressSyntaxError::Port(port.to_owned()))?;
            let address = Self::Hybrid {
                socket: checked_path(Path::new(socket))?.to_owned(),
                port,
            };
            if let Some(path) = address.listening_path() {
                checked_path(&path)?;
            }
            Ok(address)
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            let (host, port) = split_port(text, rest)?;
            Ok(Self::Tcp {
                host: checked_host(host)?,
                port: number(port)
                    .and_then(|port| u16::try_from(port).ok())
                    .ok_or_else(|| AddressSyntaxError::Port(port.to_owned()))?,
            })
        } else {
            Err(AddressSyntaxError::Scheme(text.to_owned()))
        }
    }
}

fn split_port<'a>(whole: &str, rest: &'a str) -> Result<(&'a str, &'a str), AddressSyntaxError> {
    rest.rsplit_once(':')
        .ok_or_else(|| AddressSyntaxError::NoPort(whole.to_owned()))
}

/// A decimal number in its one spelling: no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

/// The path, if a Unix socket can have it.
pub(crate) fn checked_path(path: &Path) -> Result<&Path, AddressSyntaxError> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.len() > MAX_UNIX_PATH || bytes.contains(&0) {
        return Err(AddressSyntaxError::Path(path.to_owned()));
    }
    Ok(path)
}

fn checked_host(host: &str) -> Result<String, AddressSyntaxError> {
    let error = || AddressSyntaxError::Host(host.to_owned());
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(error)?;
        let ip: Ipv6Addr = inner.parse().map_err(|_| error())?;
        return Ok(ip.to_string());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // A last label of digits alone would be an IPv4 address that is none (RFC 1123 §2.1).
    let is_name = host.len() <= 253
        && host.split('.').all(label)
        && !host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if is_name || host.parse::<std::net::Ipv4Addr>().is_ok() {
        Ok(host.to_owned())
    } else {
        Err(error())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock {
                cid: VSOCK_CID_ANY,
                port,
            } => write!(f, "vsock://any:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock://{cid}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Hybrid { socket, port } => write!(f, "hybrid:{}:{port}", socket.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(address: std::net::SocketAddr) -> Self {
        Self::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressSyntaxError;

    fn try_from(text: String) -> Result<Self, AddressSyntaxError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn reads_the_four_kinds() {
        let read = |text: &str| text.parse::<Address>();
        assert_eq!(
            read("vsock://16:443"),
            Ok(Address::Vsock { cid: 16, port: 443 })
        );
        assert_eq!(
            read("vsock://any:443"),
            Ok(Address::Vsock {
                cid: VSOCK_CID_ANY,
                port: 443
            })
        );
        assert_eq!(
            read("unix:/run/x.sock"),
            Ok(Address::Unix("/run/x.sock".into()))
        );
        assert_eq!(
            read("hybrid:/run/v.sock:443"),
            Ok(Address::Hybrid {
                socket: "/run/v.sock".into(),
                port: 443
            })
        );
        assert_eq!(read("tcp://127.0.0.1:443"), Ok(tcp("127.0.0.1", 443)));
        assert_eq!(read("tcp://[::1]:0"), Ok(tcp("::1", 0)));
        assert_eq!(
            read("tcp://node-1.example:80"),
            Ok(tcp("node-1.example", 80))
        );
    }

    #[test]
    fn refuses_everything_else_and_says_why() {
        use AddressSyntaxError as E;
        let refuse = |text: &str| text.parse::<Address>().unwrap_err();
        for text in ["", "127.0.0.1:80", "http://a:1", "vsock:3:1", "UNIX:/a"] {
            assert_eq!(refuse(text), E::Scheme(text.into()));
        }
        for text in ["vsock://16", "tcp://host", "hybrid:/run/v.sock"] {
            assert_eq!(refuse(text), E::NoPort(text.into()));
        }
        for (text, port) in [
            ("vsock://3:4294967295", "4294967295"),
            ("vsock://3:", ""),
            ("tcp://a:65536", "65536"),
            ("tcp://a:+80", "+80"),
            ("tcp://a:080", "080"),
            ("hybrid:/a:-1", "-1"),
        ] {
            assert_eq!(refuse(text), E::Port(port.into()));
        }
        assert_eq!(refuse("vsock://0x3:1"), E::Cid("0x3".into()));
        for host in ["", "::1", "[::1", "[1.2.3.4]", "1.2.3", "a b", "a..b", "ä"] {
            assert_eq!(refuse(&format!("tcp://{host}:1")), E::Host(host.into()));
        }
        assert!(matches!(refuse("unix:"), E::Path(_)));
        assert!(matches!(refuse("unix:/a\0b"), E::Path(_)));
        assert!(matches!(
            refuse(&format!("unix:/{}", "a".repeat(107))),
            E::Path(_)
        ));
        let hybrid = format!("hybrid:/{}:443", "a".repeat(103));
        assert!(matches!(refuse(&hybrid), E::Path(_)), "`_443` must fit too");
        assert!(
            format!("unix:/{}", "a".repeat(106))
                .parse::<Address>()
                .is_ok()
        );
    }

    #[test]
    fn loopback_is_what_only_this_machine_reaches() {
        for (text, expected) in [
            ("unix:/run/x", true),
            ("tcp://127.0.0.1:1", true),
            ("tcp://127.9.9.9:1", true),
            ("tcp://[::1]:1", true),
            ("tcp://[::ffff:127.0.0.1]:1", true),
            ("tcp://0.0.0.0:1", false),
            ("tcp://[::]:1", false),
            ("tcp://10.0.0.1:1", false),
            ("tcp://localhost:1", false),
            ("vsock://1:1", false),
            ("hybrid:/run/v.sock:1", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn travels_in_json_as_its_text() {
        let address = Address::Vsock { cid: 3, port: 9000 };
        assert_eq!(
            serde_json::to_string(&address).unwrap(),
            r#""vsock://3:9000""#
        );
        assert!(serde_json::from_str::<Address>(r#""vsock://3""#).is_err());
    }

    fn any_address() -> impl Strategy<Value = Address> {
        let path = "/[a-z0-9_./: äß-]{0,40}";
        prop_oneof![
            (any::<u32>(), 0..u32::MAX).prop_map(|(cid, port)| Address::Vsock { cid, port }),
            path.prop_map(|path| Address::Unix(path.into())),
            (path, any::<u32>()).prop_map(|(socket, port)| Address::Hybrid {
                socket: socket.into(),
                port
            }),
            (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| Address::Tcp {
                host: ip.to_string(),
                port
            }),
            (
                "[a-z][a-z0-9-]{0,20}(\\.[a-z][a-z0-9-]{0,10}){0,3}",
                any::<u16>()
            )
                .prop_map(|(host, port)| Address::Tcp { host, port }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(address in any_address()) {
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn what_is_read_is_written_back_and_nothing_panics(
            text in "(vsock://|unix:|hybrid:|tcp://|)[a-z0-9:./\\[\\]_@+-]{0,30}",
        ) {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
