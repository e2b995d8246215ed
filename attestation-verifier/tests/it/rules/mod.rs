//! One test for every rule of DESIGN §4: a document that breaks this rule and no other is refused under its name.

mod appraisal;
mod certificate;
mod chain;
mod envelope;
mod order;
mod payload;
mod signature;
mod window;

use nacre_attestation_verifier::{ResultCode, VerifyError};

use crate::builder::{DocumentOrder, own_policy};

/// Changes a valid document and expects it to be refused under one rule.
fn assert_refused(code: ResultCode, rule: &str, change: impl FnOnce(&mut DocumentOrder)) {
    let mut order = DocumentOrder::valid();
    change(&mut order);
    assert_error(order.verify(), code, rule);
}

/// Changes a valid document in a way that it may be changed.
fn assert_accepted(change: impl FnOnce(&mut DocumentOrder)) {
    let mut order = DocumentOrder::valid();
    change(&mut order);
    order
        .verify()
        .and_then(|evidence| evidence.appraise(&own_policy()))
        .unwrap();
}

fn assert_error<T: std::fmt::Debug>(result: Result<T, VerifyError>, code: ResultCode, rule: &str) {
    match result {
        Ok(accepted) => panic!("{rule}: accepted {accepted:?}"),
        Err(error) => assert_eq!((error.rule(), error.code()), (rule, code), "{error}"),
    }
}

#[test]
fn the_document_that_the_other_tests_change_is_trusted() {
    assert_accepted(|_| {});
}
