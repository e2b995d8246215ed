//! What a verifier's answers mean, held against the right ones.

use crate::corpus::{Case, Scope};
use crate::peer::Peer;
use crate::protocol::{PANICKED, Verdict};
use crate::run::Outcome;

/// One verifier's answer to one case, judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// As it must be.
    Right,
    /// Accepts what must be refused.
    Accepts,
    /// Refuses what is valid.
    Refuses,
    /// Panics, the process lives.
    Panics,
    /// The process ends, or hangs.
    Dies,
    /// Says nothing about what decides here: that is its caller's.
    Caller,
}

impl Finding {
    /// Judges a library that answers yes or no.
    pub fn of_peer(peer: &Peer, case: &Case, outcome: &Outcome) -> Self {
        let Outcome::Answered(verdict) = outcome else {
            return Self::Dies;
        };
        match verdict {
            Verdict::Verdict { detail, .. } if panicked(detail.as_deref()) => Self::Panics,
            Verdict::Unsupported { .. } => Self::Caller,
            verdict => match (accepts(verdict), case.is_valid()) {
                (true, true) | (false, false) => Self::Right,
                (false, true) => Self::Refuses,
                (true, false) if decides(peer, case) => Self::Accepts,
                (true, false) => Self::Caller,
            },
        }
    }

    /// Judges a verifier that answers with codes and rules: only the very code and rule are right.
    pub fn of_coded(case: &Case, outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Died => Self::Dies,
            Outcome::Answered(Verdict::Code { code, rule, .. }) => {
                if *code == case.expect.code && rule.as_deref() == Some(&case.expect.rule) {
                    Self::Right
                } else if *code == 0 {
                    Self::Accepts
                } else {
                    Self::Refuses
                }
            }
            Outcome::Answered(Verdict::Verdict { .. }) => Self::Panics,
            Outcome::Answered(Verdict::Unsupported { .. }) => Self::Caller,
        }
    }

    /// In a table's cell; nothing where all is well.
    pub fn word(self) -> &'static str {
        match self {
            Self::Right => "",
            Self::Accepts => "accepts",
            Self::Refuses => "refuses",
            Self::Panics => "panics",
            Self::Dies => "dies",
            Self::Caller => "caller",
        }
    }
}

fn decides(peer: &Peer, case: &Case) -> bool {
    case.scope == Scope::Document || peer.decides(&case.expect.rule)
}

fn accepts(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Code { code: 0, .. } | Verdict::Verdict { accepted: true, .. }
    )
}

fn panicked(detail: Option<&str>) -> bool {
    detail.is_some_and(|detail| detail.starts_with(PANICKED))
}

/// What a rule is about, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The bytes as CBOR.
    Cbor,
    /// The COSE envelope.
    Envelope,
    /// The payload's fields.
    Payload,
    /// Certificates as DER.
    Encoding,
    /// What the chain's certificates say.
    Chain,
    /// The document's signature.
    Signature,
    /// Age.
    Time,
    /// PCRs.
    Measurements,
    /// What the document is bound to.
    Binding,
    /// What the caller gives.
    Usage,
}

impl Topic {
    /// All, in the order of checks.
    pub const ALL: [Self; 10] = [
        Self::Cbor,
        Self::Envelope,
        Self::Payload,
        Self::Encoding,
        Self::Chain,
        Self::Signature,
        Self::Time,
        Self::Measurements,
        Self::Binding,
        Self::Usage,
    ];

    /// The topic of the rule that decides a case.
    pub fn of(case: &Case) -> Self {
        let rule = case.expect.rule.as_str();
        match case.expect.code {
            10 if rule.starts_with("cbor-") || rule == "duplicate-key" => Self::Cbor,
            10 if ENVELOPE.contains(&rule) => Self::Envelope,
            11 if ENCODING.contains(&rule) => Self::Encoding,
            11 => Self::Chain,
            12 => Self::Signature,
            13 => Self::Time,
            14 => Self::Measurements,
            15 => Self::Binding,
            2 => Self::Usage,
            _ => Self::Payload,
        }
    }

    /// For a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cbor => "CBOR",
            Self::Envelope => "COSE envelope",
            Self::Payload => "payload",
            Self::Encoding => "certificates: encoding",
            Self::Chain => "certificates: chain",
            Self::Signature => "document signature",
            Self::Time => "age of the document",
            Self::Measurements => "measurements",
            Self::Binding => "nonce",
            Self::Usage => "root and policy given",
        }
    }
}

const ENVELOPE: [&str; 5] = [
    "envelope-elements",
    "protected-header",
    "unprotected-header",
    "signature-length",
    "document-too-long",
];

const ENCODING: [&str; 10] = [
    "certificate-der",
    "certificate-trailing-bytes",
    "certificate-version",
    "certificate-serial-number",
    "certificate-signature-encoding",
    "certificate-name",
    "certificate-validity-encoding",
    "certificate-public-key-point",
    "certificate-unique-identifier",
    "certificate-duplicate-extension",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::PEERS;

    fn case(scope: &str, code: u8, rule: &str) -> Case {
        let case = serde_json::json!({
            "name": "a-case", "about": "Something is wrong.", "scope": scope, "document": "", "root": "",
            "time_ms": 0, "policy": {}, "nonce": null, "expect": {"code": code, "rule": rule},
        });
        serde_json::from_value(case).unwrap()
    }

    fn peer(name: &str) -> &'static Peer {
        PEERS.iter().find(|peer| peer.name == name).unwrap()
    }

    fn accepted() -> Outcome {
        Outcome::Answered(Verdict::accepted())
    }

    fn refused(why: &str) -> Outcome {
        Outcome::Answered(Verdict::refused(why))
    }

    #[test]
    fn what_a_library_has_no_function_for_is_its_callers() {
        let other_image = case("policy", 14, "measurement-mismatch");
        let comparing = peer("attestation-doc-validation");
        let parsing = peer("nitro_attest");
        assert_eq!(
            Finding::of_peer(comparing, &other_image, &accepted()),
            Finding::Accepts
        );
        assert_eq!(
            Finding::of_peer(parsing, &other_image, &accepted()),
            Finding::Caller
        );
    }

    #[test]
    fn the_document_is_every_librarys_own_affair() {
        let expired = case("document", 11, "certificate-expired");
        for peer in PEERS {
            assert_eq!(
                Finding::of_peer(peer, &expired, &accepted()),
                Finding::Accepts
            );
            assert_eq!(
                Finding::of_peer(peer, &expired, &refused("too old")),
                Finding::Right
            );
        }
    }

    #[test]
    fn a_panic_is_told_apart_from_a_refusal() {
        let expired = case("document", 11, "certificate-expired");
        let panicked = refused(&format!("{PANICKED}index out of bounds"));
        assert_eq!(
            Finding::of_peer(&PEERS[0], &expired, &panicked),
            Finding::Panics
        );
        assert_eq!(
            Finding::of_peer(&PEERS[0], &expired, &Outcome::Died),
            Finding::Dies
        );
    }

    #[test]
    fn a_verifier_with_codes_is_right_by_code_and_rule_alone() {
        let expired = case("document", 11, "certificate-expired");
        let answered = |code, rule: &str| {
            let rule = Some(rule.to_owned());
            Outcome::Answered(Verdict::Code {
                code,
                rule,
                detail: None,
            })
        };
        let judged = |code, rule| Finding::of_coded(&expired, &answered(code, rule));
        assert_eq!(judged(11, "certificate-expired"), Finding::Right);
        assert_eq!(judged(11, "certificate-der"), Finding::Refuses);
        assert_eq!(judged(12, "certificate-expired"), Finding::Refuses);
        assert_eq!(judged(0, "trusted"), Finding::Accepts);
    }
}
