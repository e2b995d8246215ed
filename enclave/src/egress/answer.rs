//! The host's answer to `CONNECT`, from bytes that may be anything.
//!
//! RFC 9112 in its strictest reading: `HTTP/1.1`, three digits, CRLF after each line, headers of visible characters
//! without folding. A tunnel is open on 200 and nothing else, and no byte may follow the head: in TLS the client speaks
//! first, so what comes earlier comes from the host.

use nacre_protocol::egress::REFUSAL_HEADER;

/// Longest head in bytes.
pub const MAX_HEAD: usize = 4096;
/// Most header lines.
const MAX_HEADERS: usize = 32;
/// Longest code of a refusal.
const MAX_CODE: usize = 64;

const VERSION: &[u8] = b"HTTP/1.1 ";
const END: &[u8] = b"\r\n\r\n";

/// What the host answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The tunnel is open.
    Open,
    /// It is not.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The host's own stable code, if it gave one.
        code: Option<String>,
    },
}

/// Bytes that are no answer to `CONNECT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The stream ended within the head.
    #[error("the host closed within its answer")]
    Incomplete,
    /// The head goes on beyond [`MAX_HEAD`] bytes or has too many lines.
    #[error("the host's answer is longer than {MAX_HEAD} bytes")]
    TooLong,
    /// Not a status line of HTTP/1.1.
    #[error("the host's answer does not begin with a status of HTTP/1.1")]
    Status,
    /// A header that is none, or one that says that a body follows an open tunnel.
    #[error("the host's answer has a malformed header")]
    Header,
    /// Bytes after the head of an open tunnel.
    #[error("the host sent bytes before the peer could")]
    Early,
}

impl AnswerError {
    /// Stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::TooLong => "too-long",
            Self::Status => "status",
            Self::Header => "header",
            Self::Early => "early",
        }
    }
}

impl Answer {
    /// Reads what has arrived so far. `None` while the head is not whole; what is certain to be wrong is refused at once.
    ///
    /// # Errors
    ///
    /// [`AnswerError`], except [`AnswerError::Incomplete`], which only the reader of the stream can know.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, AnswerError> {
        let shared = bytes.len().min(VERSION.len());
        if bytes[..shared] != VERSION[..shared] {
            return Err(AnswerError::Status);
        }
        let Some(length) = find_end(&bytes[..bytes.len().min(MAX_HEAD)]) else {
            return match bytes.len() >= MAX_HEAD {
                true => Err(AnswerError::TooLong),
                false => Ok(None),
            };
        };
        let answer = read_head(&bytes[..length])?;
        if answer == Self::Open && bytes.len() > length + END.len() {
            return Err(AnswerError::Early);
        }
        Ok(Some(answer))
    }
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(END.len()).position(|window| window == END)
}

fn read_head(head: &[u8]) -> Result<Answer, AnswerError> {
    let mut lines = Lines(Some(head));
    let status = read_status(lines.next().unwrap_or_default())?;
    let (mut code, mut body) = (None, false);
    for (number, line) in lines.enumerate() {
        if number == MAX_HEADERS {
            return Err(AnswerError::TooLong);
        }
        let (name, value) = read_header(line)?;
        body |= name.eq_ignore_ascii_case("content-length")
            || name.eq_ignore_ascii_case("transfer-encoding");
        if name.eq_ignore_ascii_case(REFUSAL_HEADER) && is_code(value) {
            code = Some(value.to_owned());
        }
    }
    match (status, body) {
        (200, false) => Ok(Answer::Open),
        // RFC 9110 §9.3.6: neither has a meaning after CONNECT; two readers could differ about where the tunnel begins.
        (200, true) => Err(AnswerError::Header),
        (400..=599, _) => Ok(Answer::Refused { status, code }),
        _ => Err(AnswerError::Status),
    }
}

/// Lines that end with CRLF; a CR or LF elsewhere stays in its line, where nothing takes it.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        match rest.windows(2).position(|window| window == b"\r\n") {
            Some(at) => {
                self.0 = Some(&rest[at + 2..]);
                Some(&rest[..at])
            }
            None => Some(rest),
        }
    }
}

fn read_status(line: &[u8]) -> Result<u16, AnswerError> {
    let rest = line.strip_prefix(VERSION).ok_or(AnswerError::Status)?;
    let (digits, reason) = rest.split_at_checked(3).ok_or(AnswerError::Status)?;
    let digits = digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u16::from(digit - b'0'))
    });
    match (digits, reason) {
        (Some(status), [] | [b' ', ..]) if reason.iter().all(|b| is_visible(*b)) => Ok(status),
        _ => Err(AnswerError::Status),
    }
}

fn read_header(line: &[u8]) -> Result<(&str, &str), AnswerError> {
    let text = core::str::from_utf8(line).map_err(|_| AnswerError::Header)?;
    let (name, value) = text.split_once(':').ok_or(AnswerError::Header)?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) || !value.bytes().all(is_visible) {
        return Err(AnswerError::Header);
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' ' || byte == b'\t'
}

/// What may stand in a message of ours: kebab-case.
fn is_code(value: &str) -> bool {
    (1..=MAX_CODE).contains(&value.len())
        && value
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(status: u16, code: Option<&str>) -> Result<Option<Answer>, AnswerError> {
        let code = code.map(str::to_owned);
        Ok(Some(Answer::Refused { status, code }))
    }

    #[test]
    fn an_open_tunnel_is_status_200() {
        for head in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200 \r\nVia: 1.1 host\r\nx:\t\r\n\r\n",
        ] {
            assert_eq!(
                Answer::read(head.as_bytes()),
                Ok(Some(Answer::Open)),
                "{head:?}"
            );
        }
    }

    #[test]
    fn a_refusal_has_its_status_and_perhaps_a_code() {
        let read = |head: &str| Answer::read(head.as_bytes());
        let with_body =
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nNacre-Error: egress-refused\r\n\r\nno";
        assert_eq!(read(with_body), refused(403, Some("egress-refused")));
        assert_eq!(read("HTTP/1.1 502 x\r\n\r\n"), refused(502, None));
        for code in ["", "A", "a b", &"a".repeat(65)] {
            let head = format!("HTTP/1.1 502 x\r\nnacre-error: {code}\r\n\r\n");
            assert_eq!(read(&head), refused(502, None), "{code:?}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let many = format!(
            "HTTP/1.1 200 x\r\n{}\r\n",
            "a: b\r\n".repeat(MAX_HEADERS + 1)
        );
        let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(MAX_HEAD));
        for (head, error) in [
            ("HTTP/1.0 200 OK\r\n\r\n", AnswerError::Status),
            ("http/1.1 200 OK\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 2OO OK\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 20\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 2000\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 100 Continue\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 204 x\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 301 x\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 999 x\r\n\r\n", AnswerError::Status),
            ("HTTP/1.1 200 a\nb: c\r\n\r\n", AnswerError::Status),
            ("\r\n", AnswerError::Status),
            ("SSH-2.0", AnswerError::Status),
            ("HTTP/1.1 200 x\r\nno colon\r\n\r\n", AnswerError::Header),
            ("HTTP/1.1 200 x\r\n: empty\r\n\r\n", AnswerError::Header),
            ("HTTP/1.1 200 x\r\na : b\r\n\r\n", AnswerError::Header),
            (
                "HTTP/1.1 200 x\r\na: b\r\n folded\r\n\r\n",
                AnswerError::Header,
            ),
            ("HTTP/1.1 200 x\r\na: b\rc\r\n\r\n", AnswerError::Header),
            ("HTTP/1.1 200 x\r\na: \u{e9}\r\n\r\n", AnswerError::Header),
            (
                "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n",
                AnswerError::Header,
            ),
            (
                "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n",
                AnswerError::Header,
            ),
            ("HTTP/1.1 200 x\r\n\r\n\u{16}", AnswerError::Early),
            (&many, AnswerError::TooLong),
            (&long, AnswerError::TooLong),
        ] {
            assert_eq!(Answer::read(head.as_bytes()), Err(error), "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_arrive(
            head in "HTTP/1.1 (200|403|50.)( x)?\r\n([a-zN-]{1,12}: ?[a-z-]{0,9}\r?\n){0,3}(\r\n)?.{0,2}",
        ) {
            let whole = Answer::read(head.as_bytes());
            for length in 0..head.len() {
                match Answer::read(&head.as_bytes()[..length]) {
                    // What follows an open tunnel's head may come later, and is the peer's then.
                    Ok(Some(Answer::Open)) => prop_assert!(
                        matches!(whole, Ok(Some(Answer::Open)) | Err(AnswerError::Early))
                    ),
                    Ok(None) => {}
                    early => prop_assert_eq!(&early, &whole),
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Answer::read(&bytes);
            let _ = Answer::read(&[b"HTTP/1.1 200 x\r\n".as_slice(), &bytes].concat());
        }
    }
}
