//! The enclave's request, from bytes that a taken-over enclave may have chosen: `CONNECT name:port HTTP/1.1`, `host`, and
//! nothing that could mean something else to another reader (RFC 9112 in its strictest reading).

use nacre_protocol::egress::Destination;

/// Longest head in bytes.
pub const MAX_HEAD: usize = 4096;
/// Most header lines.
const MAX_HEADERS: usize = 32;

const END: &[u8] = b"\r\n\r\n";

/// What the enclave wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub to: Destination,
}

/// Bytes that are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The stream ended within the head.
    #[error("the request ended within its head")]
    Incomplete,
    /// The head goes on beyond [`MAX_HEAD`] bytes or has too many lines.
    #[error("the request's head is longer than {MAX_HEAD} bytes")]
    TooLong,
    /// Another method.
    #[error("only CONNECT is served")]
    Method,
    /// Not `name:port` with a DNS name in lower case.
    #[error("the target is not a DNS name in lower case with a port")]
    Target,
    /// Not a request of HTTP/1.1.
    #[error("the request is not of HTTP/1.1")]
    Malformed,
    /// A header that is none; no `host`, two, or another than the target; one that announces a body.
    #[error("the request has a malformed or contradicting header")]
    Header,
    /// Bytes after the head, before it was answered.
    #[error("bytes came before the tunnel was open")]
    Early,
}

impl RequestError {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLong => "egress-request-too-long",
            Self::Method => "egress-method-not-allowed",
            Self::Target => "egress-target-malformed",
            Self::Incomplete | Self::Malformed | Self::Header | Self::Early => {
                "egress-request-malformed"
            }
        }
    }
}

impl Request {
    /// Reads what has arrived so far. `None` while the head is not whole.
    ///
    /// # Errors
    ///
    /// [`RequestError`], except [`RequestError::Incomplete`], which only the reader of the stream can know.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, RequestError> {
        let seen = &bytes[..bytes.len().min(MAX_HEAD)];
        let Some(length) = seen.windows(END.len()).position(|window| window == END) else {
            return match bytes.len() >= MAX_HEAD {
                true => Err(RequestError::TooLong),
                false => Ok(None),
            };
        };
        if bytes.len() > length + END.len() {
            return Err(RequestError::Early);
        }
        read_head(&bytes[..length]).map(Some)
    }
}

fn read_head(head: &[u8]) -> Result<Request, RequestError> {
    let text = core::str::from_utf8(head).map_err(|_| RequestError::Malformed)?;
    let mut lines = text.split("\r\n");
    let (to, target) = read_line(lines.next().unwrap_or_default())?;
    let mut hosts = 0;
    for (number, line) in lines.enumerate() {
        if number == MAX_HEADERS {
            return Err(RequestError::TooLong);
        }
        let (name, value) = read_header(line)?;
        if name.eq_ignore_ascii_case("host") {
            hosts += 1;
            if value != target {
                return Err(RequestError::Header);
            }
        }
        let body = ["content-length", "transfer-encoding", "expect", "upgrade"];
        if body.iter().any(|header| name.eq_ignore_ascii_case(header)) {
            return Err(RequestError::Header);
        }
    }
    match hosts {
        1 => Ok(Request { to }),
        _ => Err(RequestError::Header),
    }
}

/// `CONNECT name:port HTTP/1.1`
fn read_line(line: &str) -> Result<(Destination, &str), RequestError> {
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some("HTTP/1.1"), None) =
        (method, target, version, words.next())
    else {
        return Err(RequestError::Malformed);
    };
    if method != "CONNECT" {
        let is_method = !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphabetic());
        return Err(match is_method {
            true => RequestError::Method,
            false => RequestError::Malformed,
        });
    }
    let to = target.parse().map_err(|_| RequestError::Target)?;
    Ok((to, target))
}

fn read_header(line: &str) -> Result<(&str, &str), RequestError> {
    let (name, value) = line.split_once(':').ok_or(RequestError::Header)?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let is_visible = |b: u8| b.is_ascii_graphic() || b == b' ' || b == b'\t';
    if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_visible) {
        return Err(RequestError::Header);
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(head: &str) -> Result<Option<String>, RequestError> {
        let request = Request::read(head.as_bytes())?;
        Ok(request.map(|request| request.to.to_string()))
    }

    #[test]
    fn reads_where_to() {
        for head in [
            "CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n\r\n",
            "CONNECT a.example:443 HTTP/1.1\r\nUser-Agent: x\r\nHost:a.example:443 \r\nProxy-Connection: keep-alive\r\n\r\n",
        ] {
            assert_eq!(read(head).unwrap().as_deref(), Some("a.example:443"));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        const HOST: &str = "\r\nhost: a.example:443\r\n\r\n";
        let line = |line: &str| format!("{line}{HOST}");
        let header = |header: &str| {
            format!("CONNECT a.example:443 HTTP/1.1\r\nhost: a.example:443\r\n{header}\r\n\r\n")
        };
        let many = header("a: b\r\n".repeat(MAX_HEADERS).trim_end());
        for (head, error) in [
            (line("GET / HTTP/1.1"), RequestError::Method),
            (line("connect a.example:443 HTTP/1.1"), RequestError::Method),
            (
                line("CONNECT a.example:443 HTTP/1.0"),
                RequestError::Malformed,
            ),
            (
                line("CONNECT  a.example:443 HTTP/1.1"),
                RequestError::Malformed,
            ),
            (
                line("CONNECT a.example:443 HTTP/1.1 "),
                RequestError::Malformed,
            ),
            (
                line("CONNECT\ta.example:443 HTTP/1.1"),
                RequestError::Malformed,
            ),
            (line("CONNECT a.example:443"), RequestError::Malformed),
            (line(""), RequestError::Malformed),
            (line("CONNECT a.example HTTP/1.1"), RequestError::Target),
            (line("CONNECT a.example:0 HTTP/1.1"), RequestError::Target),
            (line("CONNECT 127.0.0.1:443 HTTP/1.1"), RequestError::Target),
            (line("CONNECT [::1]:443 HTTP/1.1"), RequestError::Target),
            (
                line("CONNECT https://a.example:443 HTTP/1.1"),
                RequestError::Target,
            ),
            (
                line("CONNECT user@a.example:443 HTTP/1.1"),
                RequestError::Target,
            ),
            (line("CONNECT A.example:443 HTTP/1.1"), RequestError::Target),
            (line("CONNECT b.example:443 HTTP/1.1"), RequestError::Header),
            (
                "CONNECT a.example:443 HTTP/1.1\r\n\r\n".to_owned(),
                RequestError::Header,
            ),
            (header("host: a.example:443"), RequestError::Header),
            (header("Content-Length: 0"), RequestError::Header),
            (header("transfer-encoding: chunked"), RequestError::Header),
            (header("no colon"), RequestError::Header),
            (header("a : b"), RequestError::Header),
            (header(" folded: b"), RequestError::Header),
            (header("a: b\nc: d"), RequestError::Header),
            (header("a: b\rc"), RequestError::Header),
            (header("a: \u{e9}"), RequestError::Header),
            (header("a: b\u{0}"), RequestError::Header),
            (header("a: b") + "\u{16}", RequestError::Early),
            (many, RequestError::TooLong),
            ("x".repeat(MAX_HEAD), RequestError::TooLong),
        ] {
            assert_eq!(read(&head), Err(error), "{head:?}");
        }
        assert_eq!(
            Request::read(b"CONNECT \xff:1 HTTP/1.1\r\n\r\n"),
            Err(RequestError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn a_request_is_taken_whole_and_not_before(name in "[a-z]{1,9}(\\.[a-z]{1,9}){0,3}", port in 1u16..) {
            let head = format!("CONNECT {name}:{port} HTTP/1.1\r\nhost: {name}:{port}\r\n\r\n");
            for length in 0..head.len() {
                prop_assert_eq!(read(&head[..length]), Ok(None));
            }
            prop_assert_eq!(read(&head), Ok(Some(format!("{name}:{port}"))));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Request::read(&bytes);
            let head = [b"CONNECT a:1 HTTP/1.1\r\n".as_slice(), &bytes, END].concat();
            let _ = Request::read(&head);
        }
    }
}
