//! Undoing a request's content encoding.

use std::io::Read;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status, bufread::MultiGzDecoder};

use super::error::{KserveError, excerpt};

/// Undoes the content encoding `content_encoding` (the header's value, `None` where there is no header): `gzip`,
/// `deflate` (a zlib stream, RFC 9110 §8.4.1.2) or `identity`.
///
/// The result has at most `limit` bytes; a body that decodes to more is refused as soon as it does, so that a few
/// bytes cannot fill the memory.
pub fn decode_body(
    content_encoding: Option<&str>,
    body: Bytes,
    limit: usize,
) -> Result<Bytes, KserveError> {
    let encoding = content_encoding.unwrap_or("identity").trim();
    let is = |name| encoding.eq_ignore_ascii_case(name);
    if encoding.is_empty() || is("identity") {
        if body.len() > limit {
            return Err(KserveError::BodyTooLarge { limit });
        }
        Ok(body)
    } else if is("gzip") || is("x-gzip") {
        gunzip(&body, limit)
    } else if is("deflate") {
        inflate(&body, limit)
    } else {
        Err(KserveError::UnsupportedEncoding {
            encoding: excerpt(encoding),
        })
    }
}

/// Every member's checksum and length are checked by the decoder; bytes after the last member are an error to it.
fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, KserveError> {
    let mut decoded = Vec::new();
    let read_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(body)
        .take(read_limit)
        .read_to_end(&mut decoded)
        .map_err(|_| KserveError::MalformedEncoding {
            encoding: "gzip",
            reason: "damaged or cut short",
        })?;
    if decoded.len() > limit {
        return Err(KserveError::BodyTooLarge { limit });
    }
    Ok(decoded.into())
}

/// The stream is driven by hand because `flate2`'s reader takes a stream that is cut short for a complete one.
fn inflate(body: &[u8], limit: usize) -> Result<Bytes, KserveError> {
    let malformed = |reason| KserveError::MalformedEncoding {
        encoding: "deflate",
        reason,
    };
    let mut stream = Decompress::new(true);
    let mut decoded = Vec::new();
    let mut chunk = vec![0u8; 16 * 1024];
    let mut rest = body;
    loop {
        let (consumed, produced) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(rest, &mut chunk, FlushDecompress::None)
            .map_err(|_| malformed("damaged"))?;
        let advance =
            |before: u64, after: u64| usize::try_from(after - before).unwrap_or(usize::MAX);
        let consumed = advance(consumed, stream.total_in());
        let produced = advance(produced, stream.total_out());
        decoded.extend_from_slice(chunk.get(..produced).unwrap_or(&chunk));
        rest = rest.get(consumed..).unwrap_or_default();
        if decoded.len() > limit {
            return Err(KserveError::BodyTooLarge { limit });
        }
        match status {
            Status::StreamEnd if rest.is_empty() => return Ok(decoded.into()),
            Status::StreamEnd => return Err(malformed("bytes after its end")),
            Status::Ok | Status::BufError if consumed == 0 && produced == 0 => {
                return Err(malformed("cut short"));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
    use http::StatusCode;
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

    fn decode(encoding: &str, body: Vec<u8>, limit: usize) -> Result<Bytes, KserveError> {
        decode_body(Some(encoding), body.into(), limit)
    }

    #[test]
    fn no_encoding_is_passed_through() {
        let body = Bytes::from_static(b"abc");
        for encoding in [None, Some("identity"), Some("")] {
            assert_eq!(decode_body(encoding, body.clone(), 3).unwrap(), body);
            assert!(matches!(
                decode_body(encoding, body.clone(), 2),
                Err(KserveError::BodyTooLarge { limit: 2 })
            ));
        }
    }

    #[test]
    fn zlib_as_python_writes_it() {
        // zlib.compress(b"hello hello hello")
        let body = hex::decode("789ccb48cdc9c957c84090003a2e067d").unwrap();
        assert_eq!(decode("deflate", body, 100).unwrap(), "hello hello hello");
    }

    #[test]
    fn several_gzip_members_are_one_body() {
        let mut body = gzip(b"ab");
        body.extend(gzip(b"cd"));
        assert_eq!(decode("GZIP", body, 4).unwrap(), "abcd");
    }

    #[test]
    fn bombs_are_refused_at_the_limit() {
        let zeros = vec![0u8; 8 << 20];
        for (encoding, bomb) in [("gzip", gzip(&zeros)), ("deflate", zlib(&zeros))] {
            assert!(bomb.len() < 16 << 10);
            let error = decode(encoding, bomb.clone(), zeros.len() - 1).unwrap_err();
            assert_eq!(error.code(), "body-too-large");
            assert_eq!(error.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(
                decode(encoding, bomb, zeros.len()).unwrap().len(),
                zeros.len()
            );
        }
    }

    #[test]
    fn damaged_streams_are_refused() {
        let data = b"a body that is long enough to be cut in several places";
        for (encoding, whole) in [("gzip", gzip(data)), ("deflate", zlib(data))] {
            for cut in 0..whole.len() {
                // A gzip body of no members decodes to nothing; the JSON decoder refuses that.
                if let Ok(decoded) = decode(encoding, whole[..cut].to_vec(), 1000) {
                    assert!(cut == 0 && decoded.is_empty(), "{encoding} cut at {cut}");
                }
            }
            let mut trailing = whole.clone();
            trailing.push(b'!');
            assert_eq!(
                decode(encoding, trailing, 1000).unwrap_err().code(),
                "malformed-encoding"
            );
            let mut checksum = whole.clone();
            let at = checksum.len() - if encoding == "gzip" { 8 } else { 4 };
            checksum[at] ^= 1;
            assert_eq!(
                decode(encoding, checksum, 1000).unwrap_err().code(),
                "malformed-encoding"
            );
        }
    }

    #[test]
    fn other_encodings_are_refused() {
        for encoding in ["br", "zstd", "gzip, gzip", "gzip;q=1"] {
            let error = decode(encoding, Vec::new(), 10).unwrap_err();
            assert_eq!(error.code(), "unsupported-encoding");
            assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(data in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(&decode("gzip", gzip(&data), 2000).unwrap()[..], &data[..]);
            prop_assert_eq!(&decode("deflate", zlib(&data), 2000).unwrap()[..], &data[..]);
        }

        #[test]
        fn arbitrary_bytes_stay_below_the_limit(data in prop::collection::vec(any::<u8>(), 0..400)) {
            for encoding in ["gzip", "deflate"] {
                if let Ok(decoded) = decode(encoding, data.clone(), 100) {
                    prop_assert!(decoded.len() <= 100);
                }
            }
        }
    }
}
