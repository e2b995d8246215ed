//! DESIGN §4 *Time*, *Policy*, and the binding to what the relying party expects.

use std::collections::BTreeMap;
use std::time::Duration;

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, ResultCode, RootKind, TrustedEnclave, UnixMillis, VerificationTime,
    VerifyError, verify,
};

use super::assert_error;
use crate::builder::{DocumentOrder, NOW_MS, cbor, own_measurements, own_policy, pcr_value};

const ZERO: [u8; 48] = [0; 48];

/// Judges a document that was made `made_after_ms` after the time of verification.
fn at_distance(made_after_ms: i64, policy: &Policy) -> Result<TrustedEnclave, VerifyError> {
    let mut order = DocumentOrder::valid();
    order.set(
        "timestamp",
        cbor::uint(NOW_MS.checked_add_signed(made_after_ms).unwrap()),
    );
    order.verify().unwrap().appraise(policy)
}

fn with_pcrs(changed: &[(u8, [u8; 48])], policy: &Policy) -> Result<TrustedEnclave, VerifyError> {
    let mut order = DocumentOrder::valid();
    order.set_pcrs(changed);
    order.verify().unwrap().appraise(policy)
}

fn policy(sets: impl Into<Vec<Measurements>>) -> Policy {
    Policy::new(sets.into()).unwrap()
}

fn zeros() -> Measurements {
    Measurements::new(Pcr::ZERO, Pcr::ZERO, Pcr::ZERO)
}

#[test]
fn age_is_at_most_the_policys() {
    let policy = own_policy().with_max_age(Duration::from_secs(60));
    assert!(at_distance(-60_000, &policy).is_ok());
    assert_error(
        at_distance(-60_001, &policy),
        ResultCode::Time,
        "document-too-old",
    );
    assert!(at_distance(-300_000, &own_policy()).is_ok());
    assert_error(
        at_distance(-300_001, &own_policy()),
        ResultCode::Time,
        "document-too-old",
    );
    assert!(at_distance(0, &own_policy().with_max_age(Duration::ZERO)).is_ok());
    assert!(
        at_distance(
            -(NOW_MS as i64) + 1,
            &own_policy().with_max_age(Duration::MAX)
        )
        .is_ok()
    );
}

#[test]
fn the_future_is_at_most_30_seconds_away_whatever_the_policy() {
    let policy = own_policy().with_max_age(Duration::MAX);
    assert!(at_distance(30_000, &policy).is_ok());
    assert_error(
        at_distance(30_001, &policy),
        ResultCode::Time,
        "document-from-future",
    );
    assert_error(
        at_distance(i64::MAX - NOW_MS as i64, &policy),
        ResultCode::Time,
        "document-from-future",
    );
}

#[test]
fn an_archive_check_judges_by_the_named_time_and_says_so() {
    let order = DocumentOrder::valid();
    let archive = VerificationTime::Archive(UnixMillis(NOW_MS + 1000));
    let evidence = verify(&order.make(), &order.roots(), archive).unwrap();
    assert!(evidence.is_archive());
    assert_eq!(
        (evidence.verified_at(), evidence.age_ms()),
        (UnixMillis(NOW_MS + 1000), 1000)
    );
    assert!(
        evidence
            .clone()
            .appraise(&own_policy())
            .unwrap()
            .evidence()
            .is_archive()
    );
    let short = own_policy().with_max_age(Duration::ZERO);
    assert_error(
        evidence.appraise(&short),
        ResultCode::Time,
        "document-too-old",
    );
    assert!(!order.verify().unwrap().is_archive());
}

#[test]
fn pcr0_to_pcr2_are_there() {
    for missing in 0..3 {
        let mut order = DocumentOrder::valid();
        let others = (0..16).filter(|index| *index != missing);
        order.set(
            "pcrs",
            cbor::pcrs(
                others
                    .map(|index| (index, pcr_value(index)))
                    .collect::<Vec<_>>(),
            ),
        );
        let result = order.verify().unwrap().appraise(&own_policy());
        assert_error(result, ResultCode::Measurements, "pcr-missing");
    }
}

#[test]
fn pcr0_to_pcr2_equal_one_set_in_full() {
    for index in 0..3 {
        let changed = with_pcrs(&[(index, [0x99; 48])], &own_policy());
        assert_error(changed, ResultCode::Measurements, "measurement-mismatch");
    }
    // PCR0 of one set with PCR1 and PCR2 of another is neither.
    let pcr = |index| Pcr(pcr_value(index));
    let other = Pcr([0x99; 48]);
    let crossed = policy([
        Measurements::new(pcr(0), other, other),
        Measurements::new(other, pcr(1), pcr(2)),
    ]);
    assert_error(
        with_pcrs(&[], &crossed),
        ResultCode::Measurements,
        "measurement-mismatch",
    );
}

#[test]
fn the_matching_set_is_named() {
    let other = Measurements::new(Pcr([9; 48]), Pcr([9; 48]), Pcr([9; 48]));
    let enclave = with_pcrs(&[], &policy([other, own_measurements()])).unwrap();
    assert_eq!(enclave.matched_measurement(), 1);
    assert!(!enclave.is_debug());
    assert_eq!(enclave.evidence().root_kind(), RootKind::Development);
}

#[test]
fn other_pcrs_count_where_the_policy_names_them() {
    let name = |set: &mut Measurements, index, value| match index {
        3 => set.pcr3 = Some(value),
        4 => set.pcr4 = Some(value),
        8 => set.pcr8 = Some(value),
        _ => drop(set.extra.insert(index, value)),
    };
    for index in [3, 4, 8, 16, 31] {
        let mut set = own_measurements();
        name(&mut set, index, Pcr([0x77; 48]));
        let named = policy([set]);
        assert!(
            with_pcrs(&[(index, [0x77; 48])], &named).is_ok(),
            "PCR{index}"
        );
        let other = with_pcrs(&[(index, [0x78; 48])], &named);
        assert_error(other, ResultCode::Measurements, "measurement-mismatch");
        // Not named, it may be anything.
        assert!(
            with_pcrs(&[(index, [0x78; 48])], &own_policy()).is_ok(),
            "PCR{index}"
        );
    }
    // Named, but not in the document; not even zeros match its absence.
    let absent = Measurements {
        extra: BTreeMap::from([(16, Pcr::ZERO)]),
        ..own_measurements()
    };
    assert_error(
        with_pcrs(&[], &policy([absent])),
        ResultCode::Measurements,
        "measurement-mismatch",
    );
}

#[test]
fn debug_needs_both_zeros_and_permission() {
    let debug = [(0, ZERO), (1, ZERO), (2, ZERO)];
    let refused = |policy: &Policy, rule| {
        assert_error(with_pcrs(&debug, policy), ResultCode::Measurements, rule)
    };
    refused(&own_policy(), "debug-enclave");
    refused(&policy([zeros()]), "debug-enclave");
    refused(&own_policy().with_allow_debug(true), "measurement-mismatch");
    let both = policy([own_measurements(), zeros()]).with_allow_debug(true);
    let enclave = with_pcrs(&debug, &both).unwrap();
    assert!(enclave.is_debug());
    assert_eq!(enclave.matched_measurement(), 1);
    assert!(!with_pcrs(&[], &both).unwrap().is_debug());
}

#[test]
fn one_or_two_zeros_never_pass_even_where_the_policy_lists_them() {
    for zeroed in [&[0][..], &[1], &[2], &[0, 1], &[0, 2], &[1, 2]] {
        let value = |index| {
            if zeroed.contains(&index) {
                Pcr::ZERO
            } else {
                Pcr(pcr_value(index))
            }
        };
        let listed = policy([Measurements::new(value(0), value(1), value(2)), zeros()])
            .with_allow_debug(true);
        let changed: Vec<_> = zeroed.iter().map(|index| (*index, ZERO)).collect();
        assert_error(
            with_pcrs(&changed, &listed),
            ResultCode::Measurements,
            "pcr-partly-zero",
        );
    }
}

#[test]
fn the_document_is_bound_to_what_is_expected() {
    let mut order = DocumentOrder::valid();
    order.set("nonce", cbor::bytes(b"nonce"));
    order.set("public_key", cbor::NULL.to_vec());
    let evidence = order.verify().unwrap();

    assert!(evidence.require_nonce(b"nonce").is_ok());
    for other in [&b""[..], b"nonc", b"nonce ", b"Nonce"] {
        assert_error(
            evidence.require_nonce(other),
            ResultCode::Binding,
            "nonce-mismatch",
        );
    }
    assert!(evidence.require_user_data(b"").is_ok());
    assert_error(
        evidence.require_user_data(b"x"),
        ResultCode::Binding,
        "user-data-mismatch",
    );
    // Absent is not empty.
    assert_error(
        evidence.require_public_key(b""),
        ResultCode::Binding,
        "public-key-mismatch",
    );
    assert!(
        DocumentOrder::valid()
            .verify()
            .unwrap()
            .require_public_key(b"public key")
            .is_ok()
    );
}
