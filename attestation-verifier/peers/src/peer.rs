//! The verifiers that are compared, and what each says of itself.

/// A public verifier.
#[derive(Debug)]
pub struct Peer {
    /// Its name in the package registry.
    pub name: &'static str,
    /// The version that is compiled in.
    pub version: &'static str,
    /// The program that wraps it.
    pub program: &'static str,
    /// The functions that are called.
    pub asked: &'static str,
    /// What differs from the published crate.
    pub changed: &'static str,
    /// What a reader of its figures must know; may be empty.
    pub note: &'static str,
    /// Which rules beyond the document, its chain and its signature it has a function for. All others are its caller's.
    pub offers: &'static [&'static str],
}

impl Peer {
    /// Whether the library itself decides by this rule, which is none of the document's.
    pub fn decides(&self, rule: &str) -> bool {
        self.offers.contains(&rule)
    }
}

/// All of them, in the order of the report.
pub const PEERS: &[Peer] = &[
    Peer {
        name: "attestation-doc-validation",
        version: "0.10.1",
        program: "peer-attestation-doc-validation",
        asked: "`validate_and_parse_attestation_doc`, then `validate_expected_pcrs` (PCR0, 1, 2, 8) and `validate_expected_nonce`",
        changed: "the compiled-in root and the reading of the system clock: both can be set by the calling thread",
        note: "It demands a PCR8 of every document. Where neither a document of the corpus nor the policy has one, the adapter fills in an unused one, so that this alone does not refuse it. It takes certificates of ECDSA on two curves, Ed25519 and RSA.",
        offers: &["pcr-missing", "measurement-mismatch", "nonce-mismatch"],
    },
    Peer {
        name: "nitro_attest",
        version: "0.2.0",
        program: "peer-nitro-attest",
        asked: "`UnparsedAttestationDoc::parse_and_verify`, which takes the time; no policy, no nonce",
        changed: "the compiled-in fingerprint of the root: it can be set by the calling thread",
        note: "",
        offers: &[],
    },
    Peer {
        name: "qos_nsm",
        version: "0.15.1",
        program: "peer-qos-nsm",
        asked: "`nitro::attestation_doc_from_der`, which takes root and time; its comparison of PCRs belongs to QOS's manifests and is not used",
        changed: "nothing",
        note: "",
        offers: &[],
    },
    Peer {
        name: "remote-attestation-verifier",
        version: "0.1.2",
        program: "peer-remote-attestation-verifier",
        asked: "`parse_document`, `parse_payload`, `verify`, which takes root, time and PCRs by position; its nonce parameter is never compared with the document's",
        changed: "nothing",
        note: "It builds the signed bytes with a fixed two-byte length and so refuses every document whose payload has fewer than 4,352 or more than 4,607 bytes, AWS's own included. Most documents of the corpus are smaller: that they are refused says nothing about why.",
        offers: &["pcr-missing", "measurement-mismatch"],
    },
];
