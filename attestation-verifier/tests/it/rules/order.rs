//! A document that breaks several rules is refused for the first: malformed, chain, signature, time, measurements.

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, ResultCode, Roots, TrustedEnclave, UnixMillis, VerificationTime,
    VerifyError, verify,
};

use crate::builder::{DocumentOrder, Envelope, NOW_MS, cbor};

#[test]
fn the_first_broken_rule_decides() {
    use ResultCode::{Chain, Malformed, Measurements, Signature, Time};
    let stages = [Malformed, Chain, Signature, Time, Measurements];
    for (index, first) in stages.into_iter().enumerate() {
        assert_eq!(judge(&stages[index..]).unwrap_err().code(), first);
    }
    assert!(judge(&[]).is_ok());
}

/// A document that breaks one rule of each of the given stages.
fn judge(broken: &[ResultCode]) -> Result<TrustedEnclave, VerifyError> {
    let breaks = |code| broken.contains(&code);
    let mut order = DocumentOrder::valid();
    if breaks(ResultCode::Malformed) {
        order.set("digest", cbor::text("SHA256"));
    }
    if breaks(ResultCode::Time) {
        order.set("timestamp", cbor::uint(NOW_MS - 3_600_000));
    }
    let payload = order.payload();
    let mut signature = order.sign(&payload).to_bytes().to_vec();
    if breaks(ResultCode::Signature) {
        signature[95] ^= 1;
    }
    let roots = if breaks(ResultCode::Chain) {
        Roots::aws()
    } else {
        order.roots()
    };
    let document = Envelope::new(payload, signature).make();
    let other = Pcr([0x99; 48]);
    let policy = match breaks(ResultCode::Measurements) {
        true => Policy::new(vec![Measurements::new(other, other, other)]).unwrap(),
        false => crate::builder::own_policy(),
    };
    verify(
        &document,
        &roots,
        VerificationTime::Live(UnixMillis(NOW_MS)),
    )?
    .appraise(&policy)
}
