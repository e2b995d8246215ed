//! `src/manual/time.rs`

use std::time::Duration;

use nacre_attestation_verifier::{ResultCode, UnixMillis, VerificationTime, verify};

use super::{TRUSTED, Verdict, after, appraised, verdict};
use crate::builder::{DocumentOrder, NOW_MS, cbor, der, own_policy};

const HOUR_MS: u64 = 3_600_000;
const TOO_OLD: Verdict = (ResultCode::Time, "document-too-old");
const FROM_FUTURE: Verdict = (ResultCode::Time, "document-from-future");

fn made_at(timestamp: u64) -> impl FnOnce(&mut DocumentOrder) {
    move |order| order.set("timestamp", cbor::uint(timestamp))
}

#[test]
fn a_chain_is_judged_by_the_verifiers_time() {
    // Yesterday's document, sound when it was made; its leaf has expired since.
    let mut order = DocumentOrder::valid();
    made_at(NOW_MS - 24 * HOUR_MS)(&mut order);
    let yesterday = der::utc_time("250614140000Z");
    order.leaf.validity = der::sequence(&[&yesterday, &der::utc_time("250614170000Z")]);
    assert_eq!(
        verdict(order.verify()),
        (ResultCode::Chain, "certificate-expired")
    );
    // Asked about yesterday, by name, it is evidence about yesterday, and says so.
    let archive = VerificationTime::Archive(UnixMillis(NOW_MS - 24 * HOUR_MS));
    let evidence = verify(&order.make(), &order.roots(), archive).unwrap();
    assert!(evidence.is_archive());
}

#[test]
fn an_old_document_is_refused_while_its_certificates_are_valid() {
    let hour_ago = made_at(NOW_MS - HOUR_MS);
    assert_eq!(after(hour_ago), TOO_OLD);
    let patient = own_policy().with_max_age(Duration::from_secs(3600));
    assert_eq!(
        verdict(appraised(made_at(NOW_MS - HOUR_MS), &patient)),
        TRUSTED
    );
}

#[test]
fn age_is_counted_in_milliseconds() {
    // 301 seconds are too many; so are 301 000 of the unit that the timestamp has.
    assert_eq!(after(made_at(NOW_MS - 301_000)), TOO_OLD);
    assert_eq!(after(made_at(NOW_MS - 299_000)), TRUSTED);
    // A time in seconds is one of January 1970.
    assert_eq!(after(made_at(NOW_MS / 1000)), TOO_OLD);
}

#[test]
fn the_future_is_no_excuse_for_age() {
    for ahead in [31_000, HOUR_MS, 100 * 365 * 24 * HOUR_MS] {
        assert_eq!(after(made_at(NOW_MS + ahead)), FROM_FUTURE);
    }
    let patient = own_policy().with_max_age(Duration::MAX);
    let next_day = made_at(NOW_MS + 24 * HOUR_MS);
    assert_eq!(verdict(appraised(next_day, &patient)), FROM_FUTURE);
}

#[test]
fn no_number_is_too_large_for_a_time() {
    for timestamp in [1 << 63, u64::MAX] {
        assert_eq!(after(made_at(timestamp)), FROM_FUTURE);
    }
    let order = DocumentOrder::valid();
    let expired = (ResultCode::Chain, "certificate-expired");
    for at in [1 << 63, u64::MAX] {
        assert_eq!(verdict(order.verify_at(at)), expired);
    }
}

#[test]
fn a_wrong_clock_gets_the_right_words() {
    let order = DocumentOrder::valid();
    let early = verdict(order.verify_at(NOW_MS - 24 * HOUR_MS));
    assert_eq!(early, (ResultCode::Chain, "certificate-not-yet-valid"));
    let late = verdict(order.verify_at(NOW_MS + 24 * HOUR_MS));
    assert_eq!(late, (ResultCode::Chain, "certificate-expired"));
}

#[test]
fn the_same_question_has_the_same_answer_whenever_it_is_asked() {
    let order = DocumentOrder::valid();
    // Long ago, and for as long as the leaf lives.
    for at in [NOW_MS - 1, NOW_MS, NOW_MS + HOUR_MS] {
        let evidence = order.verify_at(at).unwrap();
        assert_eq!(evidence.verified_at(), UnixMillis(at));
        assert_eq!(order.verify_at(at), Ok(evidence));
    }
}
