//! Where an enclave may reach out to: names with ports, the allow-list of them that an image is measured with, and the
//! addresses of files on the web.
//!
//! A destination is a DNS name and never an IP address: TLS inside the enclave checks the name, and the host, which
//! resolves it, is not believed. Each of these texts has one form, so that two who compare them see the same.
//!
//! | text | such as |
//! |---|---|
//! | [`Destination`] | `models.example.org:443` |
//! | [`AllowList`] | one destination a line, `#` comments |
//! | [`FileUrl`] | `https://models.example.org/iris.onnx` |

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Where the allow-list stands in an image.
pub const ALLOW_LIST_FILE: &str = "/etc/nacre/egress";
/// Longest allow-list that is read, in bytes.
pub const MAX_ALLOW_LIST: usize = 64 * 1024;
/// Most destinations of one allow-list.
pub const MAX_DESTINATIONS: usize = 1024;
/// Longest name, in bytes (RFC 1035 §2.3.4, without the final dot).
pub const MAX_NAME: usize = 253;
/// Longest [`FileUrl`], in bytes.
pub const MAX_FILE_URL: usize = 2048;
/// Header of the host's refusal of a `CONNECT`, with a stable code.
pub const REFUSAL_HEADER: &str = "nacre-error";

const HTTPS_PORT: u16 = 443;

/// A DNS name and a port: `models.example.org:443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Destination {
    name: String,
    port: u16,
}

/// A text that is no destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// No port, or none that can be connected to.
    #[error("{0:?} does not end with `:` and a port from 1 to 65535")]
    Port(String),
    /// Not a DNS name in its one form.
    #[error(
        "{0:?} is not a DNS name in lower case (labels of a-z, 0-9 and `-`, the last one beginning with a letter; no IP address)"
    )]
    Name(String),
}

impl Destination {
    /// Checks the name and the port.
    pub fn new(name: &str, port: u16) -> Result<Self, DestinationError> {
        if !is_dns_name(name) {
            return Err(DestinationError::Name(shortened(name)));
        }
        if port == 0 {
            return Err(DestinationError::Port(format!("{name}:{port}")));
        }
        Ok(Self {
            name: name.to_owned(),
            port,
        })
    }

    /// The DNS name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// One spelling a name: lower case, no final dot. Resolvers take texts such as `0x7f.1` for IPv4 addresses, but none
/// whose last label begins with a letter.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= MAX_NAME
        && name.split('.').all(is_label)
        && name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// What a message shows of a text from a stranger.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A port in its one spelling: no sign, no leading zero, not 0.
fn port(text: &str) -> Option<u16> {
    let plain = text.starts_with(|c: char| ('1'..='9').contains(&c))
        && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let wrong = || DestinationError::Port(shortened(text));
        let (name, digits) = text.rsplit_once(':').ok_or_else(wrong)?;
        Self::new(name, port(digits).ok_or_else(wrong)?)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

/// The destinations that an enclave may connect to; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowList(BTreeSet<Destination>);

/// A file that is no allow-list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllowListError {
    /// Not UTF-8, above [`MAX_ALLOW_LIST`], or above [`MAX_DESTINATIONS`].
    #[error("an allow-list is UTF-8 text of at most 64 KiB with at most 1024 destinations")]
    TooLarge,
    /// A line that is no destination.
    #[error("line {line} of the allow-list: {error}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        error: DestinationError,
    },
    /// The same destination twice: two lists that allow the same have the same destinations.
    #[error("line {line} of the allow-list names {destination} for the second time")]
    Twice {
        /// Counted from 1.
        line: usize,
        /// The destination.
        destination: Destination,
    },
}

impl AllowList {
    /// Reads a list: one `name:port` a line; what follows a `#` is a comment.
    pub fn from_text(bytes: &[u8]) -> Result<Self, AllowListError> {
        let text = core::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= MAX_ALLOW_LIST)
            .ok_or(AllowListError::TooLarge)?;
        let mut list = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let entry = line.split_once('#').map_or(line, |(entry, _)| entry).trim();
            if entry.is_empty() {
                continue;
            }
            let line = number + 1;
            let destination: Destination = entry
                .parse()
                .map_err(|error| AllowListError::Line { line, error })?;
            if !list.insert(destination.clone()) {
                return Err(AllowListError::Twice { line, destination });
            }
        }
        if list.len() > MAX_DESTINATIONS {
            return Err(AllowListError::TooLarge);
        }
        Ok(Self(list))
    }

    /// Whether this destination is on it.
    pub fn allows(&self, destination: &Destination) -> bool {
        self.0.contains(destination)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is allowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The destinations in order.
    pub fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.iter()
    }
}

impl FromIterator<Destination> for AllowList {
    fn from_iter<I: IntoIterator<Item = Destination>>(destinations: I) -> Self {
        Self(destinations.into_iter().collect())
    }
}

/// Where a file can be fetched: `https`, a DNS name, a path and perhaps a query. No user, no fragment, no IP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileUrl {
    text: String,
    destination: Destination,
    /// Where path and query begin in `text`.
    target: usize,
}

/// A text that is no [`FileUrl`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the https:// address of a file: a DNS name, perhaps a port, and a path")]
pub struct FileUrlError(String);

impl FileUrl {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whom to connect to.
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Name and port as the address has them: the value of HTTP's `host`.
    pub fn authority(&self) -> &str {
        &self.text[SCHEME.len()..self.target]
    }

    /// Path and query: what HTTP asks for.
    pub fn target(&self) -> &str {
        &self.text[self.target..]
    }

    /// The address that a redirect from here leads to: a whole one, or a path on the same server.
    pub fn redirected(&self, location: &str) -> Result<Self, FileUrlError> {
        if location.starts_with('/') && !location.starts_with("//") {
            return format!("{SCHEME}{}{location}", self.authority()).parse();
        }
        location.parse()
    }
}

const SCHEME: &str = "https://";

impl FromStr for FileUrl {
    type Err = FileUrlError;

    fn from_str(text: &str) -> Result<Self, FileUrlError> {
        let wrong = || FileUrlError(shortened(text));
        let visible = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        if text.len() > MAX_FILE_URL || !text.bytes().all(visible) {
            return Err(wrong());
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(wrong)?;
        let authority = &rest[..rest.find('/').ok_or_else(wrong)?];
        let (name, port) = match authority.split_once(':') {
            Some((name, digits)) => (name, port(digits).ok_or_else(wrong)?),
            None => (authority, HTTPS_PORT),
        };
        Ok(Self {
            destination: Destination::new(name, port).map_err(|_| wrong())?,
            target: SCHEME.len() + authority.len(),
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! text_for_serde {
    ($($name:ident: $error:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

text_for_serde!(Destination: DestinationError, FileUrl: FileUrlError);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_destination_is_a_name_and_never_an_address() {
        for text in [
            "a.example:443",
            "localhost:1",
            "xn--bcher-kva.example:65535",
            "1.2.3.a:80",
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        let long = format!("{}.example:1", "a".repeat(64));
        for text in [
            "127.0.0.1:443",
            "0x7f000001:443",
            "0x7f.1:443",
            "2130706433:443",
            "[::1]:443",
            "::1:443",
            "a..b:1",
            ".a:1",
            "a.:1",
            "-a:1",
            "a-:1",
            "A.example:1",
            "a_b:1",
            "é:1",
            ":1",
            &long,
        ] {
            let refused = text.parse::<Destination>();
            assert!(matches!(refused, Err(DestinationError::Name(_))), "{text}");
        }
        for text in [
            "", "a", "a:", "a:0", "a:01", "a:+1", "a:65536", "a:1 ", "a:443/",
        ] {
            let refused = text.parse::<Destination>();
            assert!(matches!(refused, Err(DestinationError::Port(_))), "{text}");
        }
    }

    #[test]
    fn a_list_allows_what_stands_in_it() {
        let list =
            AllowList::from_text(b"# models\n\n a.example:443 # ours\r\nb.example:8443\n").unwrap();
        let allowed = |text: &str| list.allows(&text.parse().unwrap());
        assert!(allowed("a.example:443") && allowed("b.example:8443"));
        assert!(!allowed("a.example:8443") && !allowed("sub.a.example:443"));
        assert_eq!(list.len(), 2);
        assert!(AllowList::from_text(b"").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_list_is_refused_with_its_line() {
        let line = |text: &str| match AllowList::from_text(text.as_bytes()) {
            Err(AllowListError::Line { line, .. } | AllowListError::Twice { line, .. }) => line,
            other => panic!("{text:?}: {other:?}"),
        };
        assert_eq!(line("a:1\n*.example:443"), 2);
        assert_eq!(line("a:1 b:2"), 1);
        assert_eq!(line("a:1\n#\na:1"), 3);
        let many: String = (0..=MAX_DESTINATIONS)
            .map(|n| format!("a{n}:1\n"))
            .collect();
        assert_eq!(
            AllowList::from_text(many.as_bytes()),
            Err(AllowListError::TooLarge)
        );
        assert_eq!(AllowList::from_text(&[0xff]), Err(AllowListError::TooLarge));
        let long = vec![b'#'; MAX_ALLOW_LIST + 1];
        assert_eq!(AllowList::from_text(&long), Err(AllowListError::TooLarge));
    }

    #[test]
    fn an_address_has_its_parts() {
        let url: FileUrl = "https://a.example:8443/m/iris.onnx?v=1&x=%20"
            .parse()
            .unwrap();
        assert_eq!(url.destination().to_string(), "a.example:8443");
        assert_eq!(url.authority(), "a.example:8443");
        assert_eq!(url.target(), "/m/iris.onnx?v=1&x=%20");
        let plain: FileUrl = "https://a.example/".parse().unwrap();
        assert_eq!(plain.destination().port(), 443);
        assert_eq!((plain.authority(), plain.target()), ("a.example", "/"));
    }

    #[test]
    fn other_addresses_are_refused() {
        let long = format!("https://a.example/{}", "a".repeat(MAX_FILE_URL));
        for text in [
            "http://a.example/m",
            "HTTPS://a.example/m",
            "https://a.example",
            "https://user@a.example/m",
            "https://a.example:pass@b.example/m",
            "https://127.0.0.1/m",
            "https://[::1]/m",
            "https://a.example:0/m",
            "https://a.example/m#part",
            "https://a.example/m m",
            "https://a.example/m\r\nhost: b",
            "https://a.example\\@b.example/m",
            "https:///m",
            "https://a.example?m=/",
            "/m",
            "",
            &long,
        ] {
            assert!(text.parse::<FileUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn redirects_lead_to_whole_addresses_and_to_paths() {
        let url: FileUrl = "https://a.example:8443/m?x=1".parse().unwrap();
        let to = |location: &str| url.redirected(location).map(String::from).ok();
        assert_eq!(to("/n?y=2").unwrap(), "https://a.example:8443/n?y=2");
        assert_eq!(to("https://b.example/n").unwrap(), "https://b.example/n");
        for location in [
            "//b.example/n",
            "http://a.example/n",
            "n",
            "?y",
            "",
            "https://b.example",
        ] {
            assert_eq!(to(location), None, "{location}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_written_back(text in "(https://)?[a-z0-9.:/-]{0,20}[:/][0-9a-z?/]{0,6}") {
            if let Ok(url) = text.parse::<FileUrl>() {
                prop_assert_eq!(url.to_string(), &*text);
                prop_assert_eq!(format!("https://{}{}", url.authority(), url.target()), &*text);
            }
            if let Ok(destination) = text.parse::<Destination>() {
                prop_assert_eq!(destination.to_string(), text);
            }
        }

        #[test]
        fn arbitrary_lists_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = AllowList::from_text(&bytes);
        }
    }
}
