//! Request bodies: whole, within their limit, and decoded, since a receipt covers what the model saw.

use std::io::Read as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::header::{CONTENT_ENCODING, EXPECT};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};

use super::refusal::Refusal;
use crate::body::{CollectError, collect};

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(120);
/// After a refusal so many bytes of the body are still taken, so that a caller who sends first and reads then gets the
/// refusal and no reset.
const LINGER_BYTES: usize = 64 << 20;
/// And for so long.
const LINGER: Duration = Duration::from_secs(5);
/// Bodies up to this length are decoded on the spot.
const DECODED_INLINE: usize = 4 << 10;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952, in any number of members.
    Gzip,
    /// A zlib stream (RFC 9110 §8.4.1.2).
    Deflate,
}

/// Reads a body whole.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Incoming,
    limit: usize,
) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(ARRIVAL, collect(&mut body, limit)).await;
    let refusal = match read {
        Ok(Ok(bytes)) => return Ok(bytes),
        Ok(Err(CollectError::TooLarge)) => too_large(limit),
        Ok(Err(CollectError::Broken(_))) => Refusal::new(
            StatusCode::BAD_REQUEST,
            "body-incomplete",
            "the body is incomplete or its framing is wrong",
        ),
        Err(_) => Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "body-timeout",
            "the body did not arrive in time",
        ),
    };
    linger(headers, body);
    Err(refusal)
}

/// Goes on taking a body that nobody wants for a while, without keeping it.
pub(super) fn linger(headers: &HeaderMap, mut body: Incoming) {
    // Who waits for `100 Continue` has sent nothing, and reading on would invite it.
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    tokio::spawn(tokio::time::timeout(LINGER, async move {
        let mut taken = 0;
        while let Some(Ok(frame)) = body.frame().await {
            taken += frame.data_ref().map_or(0, Bytes::len);
            if taken > LINGER_BYTES {
                return;
            }
        }
    }));
}

impl Encoding {
    /// Reads `Content-Encoding`; one whose bytes the proxy cannot know is refused.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => "",
            (Some(value), None) => value.to_str().unwrap_or("?").trim(),
            (Some(_), Some(_)) => "?",
        };
        match value.to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            _ => Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "the body's content encoding is not supported: use gzip, deflate or none",
            )),
        }
    }
}

/// Undoes an encoding, to at most `limit` bytes. `None` for a body that is not encoded.
pub(super) async fn decode(
    encoding: Encoding,
    body: &Bytes,
    limit: usize,
) -> Result<Option<Bytes>, Refusal> {
    let decoder = match encoding {
        Encoding::Identity => return Ok(None),
        Encoding::Gzip => gunzip,
        Encoding::Deflate => inflate,
    };
    let decoded = if body.len() <= DECODED_INLINE {
        decoder(body, limit)
    } else {
        let body = body.clone();
        let decoded = tokio::task::spawn_blocking(move || decoder(&body, limit)).await;
        decoded.unwrap_or(Err(DecodeError::Malformed))
    };
    decoded.map(Some).map_err(|error| match error {
        DecodeError::TooLarge => too_large(limit),
        DecodeError::Malformed => Refusal::new(
            StatusCode::BAD_REQUEST,
            "malformed-encoding",
            "the body is damaged, cut short, or not in its content encoding",
        ),
    })
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("the body is longer than {limit} bytes");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", message)
}

#[derive(Debug, PartialEq, Eq)]
enum DecodeError {
    TooLarge,
    Malformed,
}

fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
    let mut decoded = Vec::new();
    let one_more = (limit as u64).saturating_add(1);
    let read = MultiGzDecoder::new(body)
        .take(one_more)
        .read_to_end(&mut decoded);
    read.map_err(|_| DecodeError::Malformed)?;
    if decoded.len() > limit {
        return Err(DecodeError::TooLarge);
    }
    Ok(decoded.into())
}

/// `flate2`'s reader would take a stream that is cut short for a whole one, hence the loop.
fn inflate(body: &[u8], limit: usize) -> Result<Bytes, DecodeError> {
    let mut stream = Decompress::new(true);
    let mut decoded = Vec::new();
    loop {
        if decoded.len() > limit {
            return Err(DecodeError::TooLarge);
        }
        // Grows by doubling, up to one byte more than the limit.
        let room = decoded.len().max(8 << 10).min(limit - decoded.len() + 1);
        decoded.reserve_exact(room);
        let (consumed, produced) = (stream.total_in(), stream.total_out());
        let rest = usize::try_from(consumed).ok().and_then(|at| body.get(at..));
        let status = stream
            .decompress_vec(
                rest.unwrap_or_default(),
                &mut decoded,
                FlushDecompress::None,
            )
            .map_err(|_| DecodeError::Malformed)?;
        let stuck = stream.total_in() == consumed && stream.total_out() == produced;
        match status {
            Status::StreamEnd if stream.total_in() != body.len() as u64 => {
                return Err(DecodeError::Malformed);
            }
            Status::StreamEnd if decoded.len() > limit => return Err(DecodeError::TooLarge),
            Status::StreamEnd => return Ok(decoded.into()),
            Status::Ok | Status::BufError if stuck => return Err(DecodeError::Malformed),
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bombs_are_refused_at_the_limit() {
        let zeros = vec![0; 4 << 20];
        for (decoder, bomb) in [
            (gunzip as fn(&[u8], usize) -> _, gzip(&zeros)),
            (inflate, zlib(&zeros)),
        ] {
            assert!(bomb.len() < 8 << 10);
            assert_eq!(decoder(&bomb, zeros.len() - 1), Err(DecodeError::TooLarge));
            assert_eq!(decoder(&bomb, 0), Err(DecodeError::TooLarge));
            assert_eq!(decoder(&bomb, zeros.len()).unwrap(), zeros);
        }
    }

    #[test]
    fn damaged_bodies_are_refused() {
        let data = b"a body that is long enough to be cut in several places";
        for (decoder, whole) in [
            (gunzip as fn(&[u8], usize) -> _, gzip(data)),
            (inflate, zlib(data)),
        ] {
            assert_eq!(decoder(&whole, data.len()).unwrap(), &data[..]);
            for cut in 1..whole.len() {
                assert_eq!(
                    decoder(&whole[..cut], 1000),
                    Err(DecodeError::Malformed),
                    "{cut}"
                );
            }
            let trailing = [&whole[..], b"!"].concat();
            assert_eq!(decoder(&trailing, 1000), Err(DecodeError::Malformed));
        }
        // zlib.compress(b"hello hello hello"), as Python writes it.
        let python = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x00\x3a\x2e\x06\x7d";
        assert_eq!(inflate(python, 17).unwrap(), "hello hello hello");
    }

    #[test]
    fn encodings_are_read() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, http::HeaderValue::from_static(value));
            }
            Encoding::of(&headers).map_err(|refusal| refusal.code())
        };
        assert_eq!(of(&[]), Ok(Encoding::Identity));
        assert_eq!(of(&["Identity"]), Ok(Encoding::Identity));
        assert_eq!(of(&["GZIP"]), Ok(Encoding::Gzip));
        assert_eq!(of(&["deflate"]), Ok(Encoding::Deflate));
        for bad in [&["br"][..], &["gzip, deflate"], &["gzip", "gzip"]] {
            assert_eq!(of(bad), Err("unsupported-encoding"), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data in prop::collection::vec(any::<u8>(), 0..20_000)) {
            prop_assert_eq!(&gunzip(&gzip(&data), data.len()).unwrap()[..], &data[..]);
            prop_assert_eq!(&inflate(&zlib(&data), data.len()).unwrap()[..], &data[..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(data in prop::collection::vec(any::<u8>(), 0..400), limit in 0usize..2000) {
            for decoded in [gunzip(&data, limit), inflate(&data, limit)].into_iter().flatten() {
                prop_assert!(decoded.len() <= limit);
            }
        }
    }
}
