//! The PROXY protocol, version 2: how a proxy before this one says whom it speaks for, and how this one would.
//!
//! Source: "The PROXY protocol, versions 1 & 2" (haproxy.org, doc/proxy-protocol.txt), §2.2. A header stands before the
//! first byte of a connection: 12 bytes of signature, version and command, family and protocol, a length, and as many
//! bytes of addresses and of TLVs. Version 1, a line of text, is not spoken.
//!
//! The header is the word of whoever is connected, so it is read only from addresses that the operator named, and there it
//! is required: whoever may leave it out could pass for the proxy. What it says decides whose share of the places a
//! connection counts for, and nothing else. The enclave never sees it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The first 12 bytes; no protocol begins with them.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;
/// Bytes after the fixed part that are read at most: addresses, and TLVs that nobody here needs. The protocol's own limit
/// is 65,535; 520 hold every TLV that proxies send but whole client certificates.
const MOST: usize = 520;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// The header of a proxy that speaks for itself, or for a caller without an address.
pub const LOCAL_HEADER: [u8; FIXED] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The caller's address, if it has one: a proxy that checks on this one speaks for itself.
    pub source: Option<SocketAddr>,
    /// Bytes of the header; what follows is the caller's.
    pub length: usize,
}

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A whole header.
    Header(Header),
    /// The beginning of one: so many bytes must be there before more can be said. Never more than are certain to come.
    Needs(usize),
}

/// Why the bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// Something else, also version 1.
    #[error(
        "proxy-protocol-signature: a connection from a named proxy does not begin with a PROXY protocol v2 header"
    )]
    Signature,
    /// Neither version 2's LOCAL nor its PROXY.
    #[error("proxy-protocol-command: {0:#04x} is no version and command of PROXY protocol v2")]
    Command(u8),
    /// A family and protocol that callers of a TCP port cannot have.
    #[error("proxy-protocol-family: {0:#04x} is neither TCP over IPv4 nor TCP over IPv6")]
    Family(u8),
    /// Too short for its addresses, or longer than what is read.
    #[error(
        "proxy-protocol-length: {0} bytes after the fixed part do not fit; at most {MOST} are read"
    )]
    Length(usize),
}

impl HeaderError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Signature => "proxy-protocol-signature",
            Self::Command(_) => "proxy-protocol-command",
            Self::Family(_) => "proxy-protocol-family",
            Self::Length(_) => "proxy-protocol-length",
        }
    }
}

/// Reads a header at the beginning of `bytes`, which may hold more or less. A wrong byte is told as soon as it is there.
pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(HeaderError::Signature);
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(Parsed::Needs(FIXED));
    };
    let (command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let addresses = match (command, family) {
        // What a LOCAL header says beside that is to be skipped.
        (LOCAL, _) => 0,
        (PROXY, TCP4) => 12,
        (PROXY, TCP6) => 36,
        (PROXY, _) => return Err(HeaderError::Family(family)),
        _ => return Err(HeaderError::Command(command)),
    };
    if length < addresses || length > MOST {
        return Err(HeaderError::Length(length));
    }
    let Some(block) = rest.get(..length) else {
        return Ok(Parsed::Needs(FIXED + length));
    };
    Ok(Parsed::Header(Header {
        source: source(&block[..addresses]),
        length: FIXED + length,
    }))
}

/// Source address, destination address, source port, destination port.
fn source(block: &[u8]) -> Option<SocketAddr> {
    let (address, port) = if let Ok(block) = <&[u8; 12]>::try_from(block) {
        let [a, b, c, d, _, _, _, _, high, low, _, _] = *block;
        (IpAddr::from([a, b, c, d]), [high, low])
    } else {
        let address: [u8; 16] = block.get(..16)?.try_into().ok()?;
        let port: [u8; 2] = block.get(32..34)?.try_into().ok()?;
        (IpAddr::from(address), port)
    };
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

/// The header of a connection from `source` to `destination`, in the family that holds both.
pub fn header(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([PROXY, TCP4, 0, 12]);
            header.extend(from.octets());
            header.extend(to.octets());
        }
        (from, to) => {
            header.extend([PROXY, TCP6, 0, 36]);
            header.extend(as_v6(from).octets());
            header.extend(as_v6(to).octets());
        }
    }
    header.extend(source.port().to_be_bytes());
    header.extend(destination.port().to_be_bytes());
    header
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Addresses that share their first bits: `10.0.0.0/8`, `2001:db8::/32`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address in 128 bits; IPv4 as IPv6's `::ffff:0:0/96`.
    bits: u128,
    /// Bits that are the same, of 128.
    prefix: u32,
}

/// A text that is no [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no network: an IP address and, after a slash, how many of its first bits count; the others are zero"
)]
pub struct NetworkSyntaxError(String);

impl Network {
    /// Whether the address is one of them; an IPv4 address in IPv6's clothes is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        (as_v6(address.to_canonical()).to_bits() ^ self.bits) & mask(self.prefix) == 0
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

impl std::str::FromStr for Network {
    type Err = NetworkSyntaxError;

    fn from_str(text: &str) -> Result<Self, NetworkSyntaxError> {
        let wrong = || NetworkSyntaxError(text.to_owned());
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let (width, before) = if address.is_ipv4() {
            (32, 96)
        } else {
            (128, 0)
        };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse::<u8>().map_err(|_| wrong())?.into()
            }
            Some(_) => return Err(wrong()),
        };
        let (bits, prefix) = (as_v6(address).to_bits(), before + prefix);
        if prefix > 128 || bits & !mask(prefix) != 0 {
            return Err(wrong());
        }
        Ok(Self { bits, prefix })
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = Ipv6Addr::from_bits(self.bits);
        match address.to_ipv4_mapped() {
            Some(address) if self.prefix >= 96 => write!(f, "{address}/{}", self.prefix - 96),
            _ => write!(f, "{address}/{}", self.prefix),
        }
    }
}

#[cfg(test)]
#[path = "proxy_header_tests.rs"]
mod tests;
