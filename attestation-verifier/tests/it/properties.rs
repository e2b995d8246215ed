//! What holds for every input: no panic, and no change of a document goes unnoticed.

use std::sync::LazyLock;

use nacre_attestation_verifier::{
    Policy, Roots, UnixMillis, UnverifiedDocument, VerificationTime, verify,
};
use proptest::prelude::*;

use crate::builder::{DocumentOrder, NOW_MS, own_policy};

static ORDER: LazyLock<DocumentOrder> = LazyLock::new(DocumentOrder::short);
static PAYLOAD: LazyLock<Vec<u8>> = LazyLock::new(|| ORDER.payload());
static DOCUMENT: LazyLock<Vec<u8>> = LazyLock::new(|| ORDER.make());
static ROOTS: LazyLock<Roots> = LazyLock::new(|| ORDER.roots());

fn is_accepted(document: &[u8]) -> bool {
    verify(document, &ROOTS, VerificationTime::Live(UnixMillis(NOW_MS))).is_ok()
}

#[test]
fn every_change_of_one_byte_is_refused() {
    assert!(is_accepted(&DOCUMENT));
    for index in 0..DOCUMENT.len() {
        let mut changed = DOCUMENT.clone();
        changed[index] ^= 1 << (index % 8);
        assert!(!is_accepted(&changed), "byte {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_change_of_one_byte_is_refused(index in any::<prop::sample::Index>(), mask in 1_u8..) {
        let mut changed = DOCUMENT.clone();
        *index.get_mut(&mut changed) ^= mask;
        prop_assert!(!is_accepted(&changed));
    }

    #[test]
    fn bytes_taken_out_or_put_in_are_refused(
        index in any::<prop::sample::Index>(),
        removed in 0_usize..64,
        inserted in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let start = index.index(DOCUMENT.len());
        let end = (start + removed).min(DOCUMENT.len());
        let mut changed = DOCUMENT.clone();
        changed.splice(start..end, inserted);
        prop_assume!(changed != *DOCUMENT);
        prop_assert!(!is_accepted(&changed));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(!is_accepted(&bytes));
        let _ = Roots::from_pem_or_der(&bytes);
        let _ = Policy::from_json(&bytes);
    }

    /// Signed again after the change, so that everything behind the signature is reached as well.
    #[test]
    fn changed_payloads_that_are_signed_again_never_panic(
        index in any::<prop::sample::Index>(),
        mask in 1_u8..,
    ) {
        let mut payload = PAYLOAD.clone();
        *index.get_mut(&mut payload) ^= mask;
        let signature = ORDER.sign(&payload).to_bytes().to_vec();
        let document = crate::builder::Envelope::new(payload, signature).make();
        let at = VerificationTime::Live(UnixMillis(NOW_MS));
        if let Ok(evidence) = verify(&document, &ROOTS, at) {
            let claims = UnverifiedDocument::parse(&document).unwrap().claims().clone();
            prop_assert_eq!(evidence.pcrs(), &claims.pcrs);
            let _ = evidence.appraise(&own_policy());
        }
    }
}
