//! Measurements that are trusted for a time: how an image is replaced without a pause.

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, ResultCode, UnixMillis, UnixSeconds, VerificationTime, VerifyError,
    verify,
};

use super::assert_error;
use crate::builder::{DocumentOrder, NOW_MS, cbor, own_measurements};

const NOW: u64 = NOW_MS / 1000;

fn own_in(first: Option<u64>, last: Option<u64>) -> Measurements {
    Measurements {
        not_before: first.map(UnixSeconds),
        not_after: last.map(UnixSeconds),
        ..own_measurements()
    }
}

/// Judges a document that is made and verified at this time.
fn at(ms: u64, sets: Vec<Measurements>) -> Result<usize, VerifyError> {
    let mut order = DocumentOrder::valid();
    order.set("timestamp", cbor::uint(ms));
    let evidence = order.verify_at(ms)?;
    let enclave = evidence.appraise(&Policy::new(sets).unwrap())?;
    Ok(enclave.matched_measurement())
}

fn refused(result: Result<usize, VerifyError>, rule: &str) {
    assert_error(result, ResultCode::Measurements, rule);
}

#[test]
fn a_set_is_trusted_from_its_first_second_to_its_last() {
    let set = || vec![own_in(Some(NOW), Some(NOW + 1))];
    refused(at(NOW * 1000 - 1, set()), "measurement-not-yet-valid");
    assert_eq!(at(NOW * 1000, set()), Ok(0));
    assert_eq!(at(NOW * 1000 + 1999, set()), Ok(0));
    refused(at(NOW * 1000 + 2000, set()), "measurement-expired");
}

#[test]
fn an_open_end_is_no_limit() {
    assert!(at(NOW_MS, vec![own_in(None, Some(NOW))]).is_ok());
    assert!(at(NOW_MS, vec![own_in(Some(NOW), None)]).is_ok());
    refused(
        at(NOW_MS, vec![own_in(None, Some(NOW - 1))]),
        "measurement-expired",
    );
    refused(
        at(NOW_MS, vec![own_in(Some(NOW + 1), None)]),
        "measurement-not-yet-valid",
    );
}

#[test]
fn a_set_that_is_trusted_wins_over_one_that_is_not_with_the_same_measurements() {
    let past = own_in(None, Some(NOW - 1));
    let future = own_in(Some(NOW + 1), None);
    assert_eq!(
        at(
            NOW_MS,
            vec![past.clone(), future.clone(), own_measurements()]
        ),
        Ok(2)
    );
    // Without one, the first that has the measurements says why.
    refused(
        at(NOW_MS, vec![past.clone(), future.clone()]),
        "measurement-expired",
    );
    refused(at(NOW_MS, vec![future, past]), "measurement-not-yet-valid");
}

#[test]
fn a_window_trusts_nothing_but_its_own_measurements() {
    let other = Measurements {
        pcr0: Pcr([0x99; 48]),
        ..own_in(Some(0), Some(u64::MAX))
    };
    refused(at(NOW_MS, vec![other]), "measurement-mismatch");
}

#[test]
fn the_time_that_counts_is_that_of_the_verification() {
    // Made while the set was trusted, shown afterwards: who replaced an image wants it gone.
    let mut order = DocumentOrder::valid();
    order.set("timestamp", cbor::uint(NOW_MS - 10_000));
    let policy = Policy::new(vec![own_in(None, Some(NOW - 5))]).unwrap();
    let shown_later = order.verify().unwrap().appraise(&policy);
    assert_error(shown_later, ResultCode::Measurements, "measurement-expired");
    // An archive check asks about then.
    let then = VerificationTime::Archive(UnixMillis(NOW_MS - 5_000));
    let evidence = verify(&order.make(), &order.roots(), then).unwrap();
    assert!(evidence.appraise(&policy).is_ok());
}

#[test]
fn the_enclave_knows_until_when_it_is_trusted() {
    let until = |set| {
        let policy = Policy::new(vec![set]).unwrap();
        let evidence = DocumentOrder::valid().verify().unwrap();
        evidence.appraise(&policy).unwrap().trusted_until()
    };
    assert_eq!(until(own_measurements()), None);
    assert_eq!(
        until(own_in(None, Some(NOW + 7))),
        Some(UnixSeconds(NOW + 7))
    );
}
