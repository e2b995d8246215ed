//! Whole documents, changed and signed again.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use nacre_attestation_verifier::{
    RULES, ResultCode, Roots, TrustedEnclave, UnixMillis, VerificationTime, Verifier, VerifyError,
};

use super::accepted;
use super::forge::Forgery;
use super::forge::broken::{Broken, broken};
use super::forge::encode::Encoded;
use super::forge::payload::Value;
use super::forge::question::Pin;

/// What was found: the rule that was broken, or none.
pub type Verdict = Result<(), &'static str>;

/// Verifies and appraises the forgery that the bytes describe. What the model says is the case must be what is found:
/// nothing is accepted that breaks a rule, nothing is refused that breaks none, every refusal names a rule that is
/// broken, and the first stage that can find one finds it.
pub fn signed_document(data: &[u8]) -> Verdict {
    let forgery = Forgery::from_bytes(data);
    let encoded = forgery.encode();
    let found = ask(&forgery, &encoded);
    if let Ok(enclave) = &found {
        check_acceptance(&forgery, &encoded, enclave);
    }
    let verdict = found.map(drop);
    if forgery.edits.is_empty() {
        check_verdict(verdict, &broken(&forgery, &encoded, USUAL_ROOT.der()));
    }
    verdict
}

/// The rules that the model breaks, for bytes without edits.
pub fn broken_rules(data: &[u8]) -> Broken {
    let forgery = Forgery::from_bytes(data);
    broken(&forgery, &forgery.encode(), USUAL_ROOT.der())
}

/// Whether the bytes change bytes of which the model knows nothing.
pub fn has_edits(data: &[u8]) -> bool {
    !Forgery::from_bytes(data).edits.is_empty()
}

fn check_verdict(verdict: Verdict, broken: &Broken) {
    let Err(rule) = verdict else {
        assert!(broken.is_empty(), "accepted, and yet it breaks {broken:?}");
        return;
    };
    assert!(
        broken.contains(rule),
        "refused under {rule}; it breaks {broken:?}"
    );
    let first = broken.iter().map(|rule| stage(rule)).min();
    assert_eq!(
        Some(stage(rule)),
        first,
        "{rule} is not of the first stage of {broken:?}"
    );
}

/// When a rule is looked at: bindings are checked before the policy is asked.
fn stage(rule: &str) -> (bool, ResultCode) {
    let Some((_, code)) = RULES.iter().find(|(name, _)| *name == rule) else {
        panic!("{rule} is not in the list of rules");
    };
    (
        matches!(code, ResultCode::Time | ResultCode::Measurements),
        *code,
    )
}

/// Asks as a relying party does: policy and root first, then the document, its binding, its age and its measurements.
fn ask(forgery: &Forgery, encoded: &Encoded) -> Result<TrustedEnclave, &'static str> {
    let policy = forgery.question.policy().map_err(|error| error.rule())?;
    let verifier = Verifier::new(root(forgery, encoded)?).with_cache_capacity(0);
    let rule = |error: VerifyError| error.rule();
    let evidence = verifier
        .verify(&encoded.document, time(forgery))
        .map_err(rule)?;
    if let Some((key, value)) = &forgery.question.bound_to {
        match *key {
            "nonce" => evidence.require_nonce(value),
            "user_data" => evidence.require_user_data(value),
            _ => evidence.require_public_key(value),
        }
        .map_err(rule)?;
    }
    evidence.appraise(&policy).map_err(rule)
}

/// The root that the question trusts.
pub(super) fn root(forgery: &Forgery, encoded: &Encoded) -> Result<Roots, &'static str> {
    match forgery.question.pin {
        Pin::Usual => Ok(USUAL_ROOT.clone()),
        Pin::Foreign => Ok(Roots::aws()),
        Pin::Own => {
            Roots::development(encoded.certificates[0].clone()).map_err(|error| error.rule())
        }
    }
}

pub(super) fn time(forgery: &Forgery) -> VerificationTime {
    VerificationTime::Archive(UnixMillis(forgery.question.at_ms))
}

/// What is accepted is what was put in, and satisfies DESIGN §4 when other programs read it.
fn check_acceptance(forgery: &Forgery, encoded: &Encoded, enclave: &TrustedEnclave) {
    let evidence = enclave.evidence();
    let root = match forgery.question.pin {
        Pin::Own => &encoded.certificates[0],
        _ => USUAL_ROOT.der(),
    };
    let at_ms = forgery.question.at_ms;
    if !forgery.edits.is_empty() {
        return accepted::check(&encoded.document, root, at_ms, evidence);
    }
    // The model knows who signed the document, and a fuzzer's time is precious.
    let _ = accepted::check_unsigned(&encoded.document, root, at_ms, evidence);
    let payload = &forgery.payload;
    let user = |key| match payload.value(key) {
        Some(Value::User(value)) => value.as_deref(),
        _ => None,
    };
    assert_eq!(evidence.public_key(), user("public_key"));
    assert_eq!(evidence.user_data(), user("user_data"));
    assert_eq!(evidence.nonce(), user("nonce"));
    assert!(
        matches!(payload.value("module_id"), Some(Value::Text(id)) if id == evidence.module_id())
    );
    assert!(
        matches!(payload.value("timestamp"), Some(Value::Timestamp(at)) if *at == evidence.timestamp_ms())
    );
    let Some(Value::Pcrs(pcrs)) = payload.value("pcrs") else {
        panic!("accepted without PCRs");
    };
    let pcrs: BTreeMap<_, _> = pcrs
        .iter()
        .map(|(index, value)| (*index, &**value))
        .collect();
    let found = evidence
        .pcrs()
        .iter()
        .map(|(index, pcr)| (u64::from(*index), pcr.as_ref()));
    assert!(pcrs.iter().map(|(index, value)| (*index, *value)).eq(found));
    let mut ends = forgery
        .chain
        .iter()
        .map(|certificate| certificate.not_after.second);
    let found = [evidence.chain_not_after(), evidence.leaf_not_after()];
    let found = found.map(|second| Some(second as i64));
    assert_eq!(found, [ends.clone().min(), ends.next_back()]);
    let set = &forgery.question.sets[enclave.matched_measurement()];
    assert_eq!(
        enclave.trusted_until().map(|second| second.0),
        set.not_after
    );
    assert!(
        set.pcrs
            .iter()
            .all(|(index, value)| pcrs.get(&u64::from(*index)) == Some(&&value[..]))
    );
    let is_debug = (0..3).all(|index| pcrs.get(&index) == Some(&&[0; 48][..]));
    assert_eq!(enclave.is_debug(), is_debug);
    assert!(!is_debug || forgery.question.allow_debug);
    assert_eq!(evidence.image().is_err(), is_debug);
}

/// The root of a forgery that was not changed.
pub(super) static USUAL_ROOT: LazyLock<Roots> = LazyLock::new(|| {
    let root = Forgery::valid().encode().certificates.swap_remove(0);
    match Roots::development(root) {
        Ok(roots) => roots,
        Err(error) => panic!("the usual root is none: {error}"),
    }
});
