//! Policies as JSON.

use std::sync::LazyLock;

use nacre_attestation_verifier::{
    Policy, ResultCode, UnixMillis, VerificationTime, VerifiedEvidence, verify,
};
use serde_json::Value;

use super::forge::question::usual_pcr;
use super::forge::{Forgery, NOW_MS};
use super::signed::{USUAL_ROOT, Verdict};

/// Reads a policy, writes it and reads it again; then judges an unchanged document by it, one second after it was made.
pub fn policy(data: &[u8]) -> Verdict {
    let policy = Policy::from_json(data).map_err(|error| {
        assert_eq!(error.code(), ResultCode::Usage);
        error.rule()
    })?;
    let written = policy.to_json();
    assert_eq!(Policy::from_json(written.as_bytes()).as_ref(), Ok(&policy));
    let found = EVIDENCE.clone().appraise(&policy);
    let found = found.map(|enclave| enclave.matched_measurement());
    let found = found.map_err(|error| error.rule());
    match serde_json::from_slice(data) {
        Ok(json) => assert_eq!(found, appraised(&json)),
        Err(error) => panic!("a policy is no JSON: {error}"),
    }
    found.map(drop)
}

/// The same judgement over the JSON's own text: digits are compared as digits, and times as text, which orders them too.
fn appraised(json: &Value) -> Result<usize, &'static str> {
    if json.get("max_age_s").is_some_and(|age| age == 0) {
        return Err("document-too-old");
    }
    let sets = json["measurements"].as_array().map_or(&[][..], |sets| sets);
    let is_equal = |(key, value): (&String, &Value)| {
        let Some(index) = key.strip_prefix("pcr") else {
            return true;
        };
        let (Ok(index @ 0..16), Some(digits)) = (index.parse::<u8>(), value.as_str()) else {
            return false;
        };
        digits.to_ascii_lowercase() == format!("{:02x}", usual_pcr(index)[0]).repeat(48)
    };
    let equal: Vec<_> = sets
        .iter()
        .enumerate()
        .filter(|(_, set)| set.as_object().is_some_and(|set| set.iter().all(is_equal)))
        .map(
            |(index, set)| match (set["not_before"].as_str(), set["not_after"].as_str()) {
                (Some(first), _) if ASKED_AT < first => Err("measurement-not-yet-valid"),
                (_, Some(last)) if ASKED_AT > last => Err("measurement-expired"),
                _ => Ok(index),
            },
        )
        .collect();
    let trusted = equal.iter().find(|verdict| verdict.is_ok());
    *trusted
        .or(equal.first())
        .unwrap_or(&Err("measurement-mismatch"))
}

/// One second after [`NOW_MS`].
const ASKED_AT: &str = "2025-06-15T15:06:41Z";

static EVIDENCE: LazyLock<VerifiedEvidence> = LazyLock::new(|| {
    let document = Forgery::valid().encode().document;
    let at = VerificationTime::Archive(UnixMillis(NOW_MS + 1000));
    match verify(&document, &USUAL_ROOT, at) {
        Ok(evidence) => evidence,
        Err(error) => panic!("the usual document is refused: {error}"),
    }
});
