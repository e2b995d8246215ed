//! `attestation-doc-validation` (Evervault) under the conformance protocol.
//!
//! The document goes through `validate_and_parse_attestation_doc`, its PCRs through `validate_expected_pcrs` and the
//! nonce through `validate_expected_nonce`. The library compares PCR0, 1, 2 and 8; whether
//! others match is its caller's to find out.

use std::io;

use attestation_doc_validation::{
    PCRProvider, seam, validate_and_parse_attestation_doc, validate_expected_nonce,
    validate_expected_pcrs,
};
use aws_nitro_enclaves_nsm_api::api::AttestationDoc;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use nacre_verifier_peers::expectation::{PcrSet, measurement_sets};
use nacre_verifier_peers::pem;
use nacre_verifier_peers::protocol::{Request, Verdict, serve};
use serde_bytes::ByteBuf;

fn main() -> io::Result<()> {
    serve(check)
}

fn check(request: &Request) -> Verdict {
    // The library keeps its root for ever, and so does this program: a few hundred at most.
    let root = pem::certificate(&request.root).leak();
    seam::set(root.as_bytes(), request.seconds());

    let document = match validate_and_parse_attestation_doc(&request.document) {
        Ok(document) => document,
        Err(error) => return Verdict::refused(error),
    };
    if let Some(nonce) = &request.nonce
        && let Err(error) = validate_expected_nonce(&document, &BASE64_STANDARD.encode(nonce))
    {
        return Verdict::refused(error);
    }
    let Some(sets) = measurement_sets(&request.policy) else {
        return Verdict::unsupported("policy");
    };
    let matches = |set: &&PcrSet| {
        let document = with_pcr8(&document, set);
        validate_expected_pcrs(&document, &Expected::from(*set)).is_ok()
    };
    let mut matching = sets.iter().filter(matches).peekable();
    if matching.peek().is_none() {
        return Verdict::refused("no set of measurements matches");
    }
    if matching.any(|set| set.keys().all(|index| COMPARED.contains(index))) {
        Verdict::accepted()
    } else {
        Verdict::unsupported("PCRs other than 0, 1, 2 and 8")
    }
}

/// The PCRs that the library compares.
const COMPARED: [u8; 4] = [0, 1, 2, 8];

/// The library demands a PCR8 of every document, and AWS sends one. Smaller documents of the corpus have none, and are
/// not to be refused for that alone: where the set does not name it either, it is filled in, as an unused one, zeros.
fn with_pcr8(document: &AttestationDoc, set: &PcrSet) -> AttestationDoc {
    let mut document = document.clone();
    if !set.contains_key(&8) {
        let unused = || ByteBuf::from(vec![0; 48]);
        document.pcrs.entry(8).or_insert_with(unused);
    }
    document
}

struct Expected([Option<String>; 4]);

impl From<&PcrSet> for Expected {
    fn from(set: &PcrSet) -> Self {
        Self(COMPARED.map(|index| set.get(&index).map(hex::encode)))
    }
}

impl PCRProvider for Expected {
    fn pcr_0(&self) -> Option<&str> {
        self.0[0].as_deref()
    }

    fn pcr_1(&self) -> Option<&str> {
        self.0[1].as_deref()
    }

    fn pcr_2(&self) -> Option<&str> {
        self.0[2].as_deref()
    }

    fn pcr_8(&self) -> Option<&str> {
        self.0[3].as_deref()
    }
}
