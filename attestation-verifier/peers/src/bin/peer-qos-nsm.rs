//! `qos_nsm` (Turnkey) under the conformance protocol.
//!
//! The document goes through `attestation_doc_from_der`, which takes the root and the time. The library's comparison of
//! PCRs belongs to QOS's own manifest (it demands a PCR3, user data and that there is no nonce), so a policy and a nonce
//! are the caller's.

use std::io;

use nacre_verifier_peers::protocol::{Request, Verdict, serve};
use qos_nsm::nitro::attestation_doc_from_der;

fn main() -> io::Result<()> {
    serve(check)
}

fn check(request: &Request) -> Verdict {
    match attestation_doc_from_der(&request.document, &request.root, request.seconds()) {
        Ok(_) => Verdict::accepted(),
        Err(error) => Verdict::refused(format!("{error:?}")),
    }
}
