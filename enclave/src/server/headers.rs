//! The request headers that the enclave itself reads.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use nacre_protocol::digest::Digest;
use nacre_protocol::encoding::array_from_base64url;
use nacre_protocol::{FUNCTION_HEADER, INFERENCE_HEADER_LENGTH, SALT_HEADER};

use super::answer::Answer;

/// Read and checked before anything of the body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedHeaders {
    /// The function that the caller means.
    pub(crate) function: Option<Digest>,
    /// The caller's salt.
    pub(crate) salt: Option<[u8; 32]>,
    pub(crate) content_type: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) inference_header_length: Option<String>,
}

/// A header that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the header nacre-function must be `sha256:` and 64 lowercase hex digits, once")]
    Function,
    #[error("the header nacre-salt must be 32 bytes in base64url without padding, once")]
    Salt,
    #[error("the header {0} must be there at most once and be ASCII text")]
    Text(&'static str),
}

impl AskedHeaders {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, HeaderError> {
        Ok(Self {
            function: parsed(
                headers,
                FUNCTION_HEADER,
                |text| text.parse().ok(),
                HeaderError::Function,
            )?,
            salt: parsed(
                headers,
                SALT_HEADER,
                |text| array_from_base64url(text).ok(),
                HeaderError::Salt,
            )?,
            content_type: text(headers, CONTENT_TYPE.as_str(), "content-type")?,
            content_encoding: text(headers, CONTENT_ENCODING.as_str(), "content-encoding")?,
            inference_header_length: text(
                headers,
                INFERENCE_HEADER_LENGTH,
                INFERENCE_HEADER_LENGTH,
            )?,
        })
    }
}

impl HeaderError {
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Function => "function-header-malformed",
            Self::Salt => "salt-header-malformed",
            Self::Text(_) => "header-malformed",
        }
    }

    pub(super) fn answer(self) -> Answer {
        Answer::kserve_error(StatusCode::BAD_REQUEST, self.code(), &self.to_string())
    }
}

/// The header's one value, as text. A receipt covers such a header, so there can be no doubt what it was.
fn text(
    headers: &HeaderMap,
    name: &str,
    shown: &'static str,
) -> Result<Option<String>, HeaderError> {
    parsed(
        headers,
        name,
        |text| Some(text.to_owned()),
        HeaderError::Text(shown),
    )
}

fn parsed<T>(
    headers: &HeaderMap,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
    error: HeaderError,
) -> Result<Option<T>, HeaderError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(error);
    }
    let parsed = value.to_str().ok().and_then(parse).ok_or(error)?;
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(headers: &[(&'static str, &[u8])]) -> Result<AskedHeaders, HeaderError> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        AskedHeaders::read(&map)
    }

    #[test]
    fn absent_headers_are_allowed() {
        let asked = read(&[]).unwrap();
        assert_eq!(
            (asked.function, asked.salt, asked.content_type),
            (None, None, None)
        );
    }

    #[test]
    fn good_headers_are_read() {
        let digest = Digest::of(b"f");
        let salt = "A".repeat(43);
        let asked = read(&[
            ("nacre-function", digest.to_string().as_bytes()),
            ("nacre-salt", salt.as_bytes()),
            ("content-type", b"application/json"),
        ])
        .unwrap();
        assert_eq!((asked.function, asked.salt), (Some(digest), Some([0; 32])));
        assert_eq!(asked.content_type.as_deref(), Some("application/json"));
    }

    #[test]
    fn each_bad_header_has_its_code() {
        let digest = Digest::of(b"f").to_string();
        for (headers, code) in [
            (
                vec![("nacre-function", &b"sha256:00"[..])],
                "function-header-malformed",
            ),
            (
                vec![("nacre-function", &b""[..])],
                "function-header-malformed",
            ),
            (
                vec![
                    ("nacre-function", digest.as_bytes()),
                    ("nacre-function", digest.as_bytes()),
                ],
                "function-header-malformed",
            ),
            (vec![("nacre-salt", &b"AAAA"[..])], "salt-header-malformed"),
            (vec![("nacre-salt", &b"\xff"[..])], "salt-header-malformed"),
            (
                vec![("content-type", &b"text/\xffplain"[..])],
                "header-malformed",
            ),
            (
                vec![("content-type", &b"a"[..]), ("content-type", &b"b"[..])],
                "header-malformed",
            ),
        ] {
            assert_eq!(read(&headers).unwrap_err().code(), code, "{headers:?}");
        }
    }
}
