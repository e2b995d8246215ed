//! The verifier against documents of the emulator: good ones, and a bad one for each rule.
//!
//! Real documents cannot be made to order; these can. Each case is a document, the circumstances
//! it is judged in, and the result code that DESIGN §4 demands. The documents are put together
//! by hand here ([`forge`]), so that anything about them can be wrong;
//! [`the_emulator_writes_what_these_tests_write`] ties the two together.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod accepted;
mod case;
mod cbor;
mod chains;
mod forge;
mod malformed;
mod refused;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nacre_attestation_verifier::{Pcr, Policy, ResultCode, Roots};
use nacre_emulator::document::Document;
use nacre_emulator::nsm::extended;
use nacre_emulator::testing::{DevNsm, Wanted};

use case::{Case, HOUR, IMAGE, NONCE, NOW, Setting, judge, measurements, policy};
use forge::image_pcr;

#[test]
fn every_case_gets_its_code() {
    let cases = corpus();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let wrong: Vec<String> = cases.iter().filter_map(Case::complaint).collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_emulator_writes_what_these_tests_write() {
    let setting = Setting::new();
    let document = Document {
        module_id: "i-0123456789abcdef0-enc0123456789abcdef",
        timestamp_ms: NOW,
        pcrs: (0u8..16).map(|index| (index, image_pcr(index))).collect(),
        certificate: &setting.certificates[4],
        cabundle: setting.certificates[..4]
            .iter()
            .map(Vec::as_slice)
            .collect(),
        public_key: None,
        user_data: None,
        nonce: Some(NONCE),
    };
    assert_eq!(document.encode(), setting.payload().encode());
    assert_eq!(
        document.sign(setting.plan.leaf_key()),
        setting.sign(&setting.payload())
    );
}

#[test]
fn the_emulators_documents_are_trusted_through_a_nodes_life() {
    let mut module = DevNsm::new(IMAGE, NOW);
    let roots = Roots::development(module.root_der().to_vec()).unwrap();
    let boot = module.attest(
        Wanted {
            nonce: Some(NONCE),
            ..Wanted::default()
        },
        NOW,
    );
    let trusted = judge(&boot, &roots, NOW, &policy()).unwrap();
    assert_eq!(trusted.nonce(), Some(NONCE));
    assert_eq!(trusted.pcrs().len(), 16);

    // A node dedicates itself to a function: PCR16 is extended and locked, and from then on shown.
    let pcr16 = module.extend(16, b"a function's digest");
    assert_eq!(pcr16, extended(&[0; 48], b"a function's digest"));
    let open = module.attest(Wanted::default(), NOW + 1);
    assert!(
        !judge(&open, &roots, NOW + 1, &policy())
            .unwrap()
            .pcrs()
            .contains_key(&16)
    );
    module.lock(16);
    let wanted = Wanted {
        user_data: Some(&[7; 32]),
        nonce: Some(NONCE),
        public_key: Some(&[8; 64]),
    };
    let locked = module.attest(wanted, NOW + 2);
    let mut dedicated = measurements();
    dedicated.extra = BTreeMap::from([(16, Pcr(pcr16))]);
    let trusted = judge(
        &locked,
        &roots,
        NOW + 2,
        &Policy::new(vec![dedicated]).unwrap(),
    )
    .unwrap();
    trusted.require_user_data(&[7; 32]).unwrap();
    trusted.require_nonce(NONCE).unwrap();
    trusted.require_public_key(&[8; 64]).unwrap();

    // Over the days every certificate but the root is replaced; a fresh document is always good.
    for hours in (0..30 * 24).step_by(7) {
        let now = NOW + hours * HOUR;
        let document = module.attest(wanted, now);
        judge(&document, &roots, now, &policy())
            .unwrap_or_else(|error| panic!("after {hours} hours: {error}"));
    }
}

#[test]
fn a_document_dies_with_its_leaf() {
    let mut module = DevNsm::new(IMAGE, NOW);
    let roots = Roots::development(module.root_der().to_vec()).unwrap();
    let patient = policy().with_max_age(Duration::from_secs(24 * 3600));
    let document = module.attest(Wanted::default(), NOW);
    let trusted = judge(&document, &roots, NOW + 3 * HOUR, &patient).unwrap();
    assert_eq!(trusted.leaf_not_after(), (NOW + 3 * HOUR) / 1000);
    let error = judge(&document, &roots, NOW + 3 * HOUR + 1000, &patient).unwrap_err();
    assert_eq!(
        (error.code(), error.rule()),
        (ResultCode::Chain, "certificate-expired")
    );
}

/// One bit wrong anywhere, and nothing is left of the trust.
#[test]
fn no_flipped_bit_is_trusted() {
    let setting = Setting::new();
    let document = setting.sign(&setting.payload());
    let roots = setting.roots();
    assert!(judge(&document, &roots, NOW, &policy()).is_ok());
    for position in (0..document.len()).step_by(7) {
        let mut flipped = document.clone();
        flipped[position] ^= 1 << (position % 8);
        assert!(
            judge(&flipped, &roots, NOW, &policy()).is_err(),
            "byte {position}"
        );
    }
}

fn corpus() -> Vec<Case> {
    [
        accepted::good(),
        accepted::unbound(),
        malformed::malformed(),
        chains::bad_chains(),
        refused::bad_signatures(),
        refused::bad_times(),
        refused::bad_measurements(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
