//! Which headers pass.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method};
use nacre_attestation_verifier::{RootKind, TrustedEnclave};
use nacre_protocol::encoding::base64url;
use nacre_protocol::{FUNCTION_HEADER, RECEIPT_HEADER, SALT_HEADER};

use crate::checked::Proof;

/// Says to the caller what the answer's enclave was found to be.
pub(super) const VERDICT_HEADER: &str = "nacre-verdict";

/// What each hop says for itself (RFC 9110 §7.6.1), besides what `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What is written anew for a request: by the connection, or, where it is the caller's part of the proof, by the proxy.
const REWRITTEN: [&str; 4] = [FUNCTION_HEADER, SALT_HEADER, RECEIPT_HEADER, VERDICT_HEADER];

/// Makes a caller's headers those of the request to the enclave.
pub(super) fn prepare_request(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    for name in [HOST, EXPECT, CONTENT_LENGTH] {
        headers.remove(name);
    }
    for name in REWRITTEN {
        headers.remove(name);
    }
}

/// Makes an enclave's headers those of the answer to the caller.
pub(super) fn prepare_answer(
    headers: &mut HeaderMap,
    method: &Method,
    enclave: &TrustedEnclave,
    proof: Option<&Proof>,
) {
    strip_hop_by_hop(headers);
    // The answer to HEAD has the length of a body that is not there.
    if method != Method::HEAD {
        headers.remove(CONTENT_LENGTH);
    }
    headers.insert(VERDICT_HEADER, verdict(enclave));
    if let Some(proof) = proof
        && let Ok(salt) = HeaderValue::from_str(&base64url(&proof.receipt.salt))
    {
        headers.insert(SALT_HEADER, salt);
    }
}

fn verdict(enclave: &TrustedEnclave) -> HeaderValue {
    HeaderValue::from_static(match (enclave.evidence().root_kind(), enclave.is_debug()) {
        (RootKind::Aws, false) => "trusted; root=AWS",
        (RootKind::Aws, true) => "trusted; root=AWS; DEBUG MODE",
        (RootKind::Development, false) => "trusted; root=DEVELOPMENT ROOT",
        (RootKind::Development, true) => "trusted; root=DEVELOPMENT ROOT; DEBUG MODE",
    })
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_hops_stays_there() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Mine"),
            ("connection", "x-other"),
            ("keep-alive", "timeout=5"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("host", "localhost"),
            ("expect", "100-continue"),
            ("content-length", "7"),
            ("nacre-function", "sha256:00"),
            ("nacre-salt", "AAAA"),
            ("content-type", "application/json"),
            ("authorization", "Bearer t"),
            ("content-encoding", "gzip"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        prepare_request(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-encoding", "content-type"]);
    }
}
