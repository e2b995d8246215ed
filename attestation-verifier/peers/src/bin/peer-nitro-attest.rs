//! `nitro_attest` under the conformance protocol.
//!
//! The library has one function, and it takes the time. PCRs, nonce and age are the caller's to look at in what it
//! returns.

use std::io;

use nacre_verifier_peers::protocol::{Request, Verdict, serve};
use nitro_attest::{UnparsedAttestationDoc, seam};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

fn main() -> io::Result<()> {
    serve(check)
}

fn check(request: &Request) -> Verdict {
    let fingerprint: [u8; 32] = Sha256::digest(&request.root).into();
    // The library keeps its root's fingerprint for ever, and so does this program.
    seam::set(fingerprint.to_vec().leak());

    let now = i64::try_from(request.seconds()).map(OffsetDateTime::from_unix_timestamp);
    let Ok(Ok(now)) = now else {
        return Verdict::unsupported("time");
    };
    match UnparsedAttestationDoc::from(request.document.as_slice()).parse_and_verify(now) {
        Ok(_) => Verdict::accepted(),
        Err(error) => Verdict::refused(error),
    }
}
