//! `remote-attestation-verifier` (Eternis) under the conformance protocol.
//!
//! The document goes through `parse_document`, `parse_payload` and `verify`, which takes the root, the time, the PCRs and
//! a nonce. `parse_payload` never reads the nonce and puts twenty zeros in its place; they are what is given here, or
//! every document would be refused. An expected PCR of zeros means to the library: any.

use std::io;

use nacre_verifier_peers::expectation::{PcrSet, measurement_sets};
use nacre_verifier_peers::protocol::{Request, Verdict, serve};
use remote_attestation_verifier::{parse_document, parse_payload, verify};

fn main() -> io::Result<()> {
    serve(check)
}

fn check(request: &Request) -> Verdict {
    // Without measurements the document is still judged, then the policy could not be.
    let Some(sets) = measurement_sets(&request.policy) else {
        return match judge(request, Vec::new()) {
            Ok(()) => Verdict::unsupported("policy"),
            Err(error) => Verdict::refused(error),
        };
    };
    let mut last = String::new();
    for set in &sets {
        match judge(request, expected_pcrs(set)) {
            Ok(()) => return Verdict::accepted(),
            Err(error) => last = error,
        }
    }
    Verdict::refused(last)
}

fn judge(request: &Request, pcrs: Vec<Vec<u8>>) -> Result<(), String> {
    let document = parse_document(&request.document).map_err(|error| error.to_string())?;
    let payload = parse_payload(&document.payload).map_err(|error| error.to_string())?;
    let root = Some(request.root.clone());
    verify(
        document,
        payload,
        UNREAD_NONCE.to_vec(),
        pcrs,
        root,
        request.seconds(),
    )
    .map_err(|error| error.to_string())
}

const UNREAD_NONCE: [u8; 20] = [0; 20];

/// By position; those that the set does not name are any.
fn expected_pcrs(set: &PcrSet) -> Vec<Vec<u8>> {
    let any = || vec![0; 48];
    let count = set.keys().next_back().map_or(0, |last| last + 1);
    (0..count)
        .map(|index| set.get(&index).cloned().unwrap_or_else(any))
        .collect()
}
