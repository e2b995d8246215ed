//! A verifier with a memory gives the verdicts of one without, on every backend.

use std::sync::Barrier;

use nacre_attestation_verifier::{
    Backend, ResultCode, UnixMillis, VerificationTime, Verifier, VerifyError,
};

use crate::builder::{DocumentOrder, Envelope, NOW_MS, cbor, der};

/// Signatures of the chain: all but the root's.
const LINKS: u64 = 2;

fn ask(verifier: &Verifier, document: &[u8], at_ms: u64) -> Result<(), VerifyError> {
    let at = VerificationTime::Live(UnixMillis(at_ms));
    verifier.verify(document, at).map(drop)
}

/// A verifier that has seen the chain of [`DocumentOrder::valid`].
fn warm() -> (Verifier, DocumentOrder) {
    let order = DocumentOrder::valid();
    let verifier = Verifier::new(order.roots());
    ask(&verifier, &order.make(), NOW_MS).unwrap();
    (verifier, order)
}

fn rule(result: Result<(), VerifyError>) -> &'static str {
    result.unwrap_err().rule()
}

#[test]
fn a_chain_is_verified_once() {
    let (verifier, mut order) = warm();
    assert_eq!(
        (verifier.cache_stats().hits, verifier.cache_stats().misses),
        (0, LINKS)
    );
    order.set(
        "nonce",
        cbor::bytes(b"another document of the same enclave"),
    );
    ask(&verifier, &order.make(), NOW_MS).unwrap();
    assert_eq!(
        (verifier.cache_stats().hits, verifier.cache_stats().misses),
        (LINKS, LINKS)
    );
}

#[test]
fn every_certificates_validity_is_checked_again_on_a_hit() {
    for position in 0..3 {
        let mut order = DocumentOrder::valid();
        let certificate = match position {
            2 => &mut order.leaf,
            index => &mut order.bundle[index],
        };
        // 2025-06-15T15:06:41Z, one second after NOW_MS.
        certificate.validity = until_one_second_after_now();
        let verifier = Verifier::new(order.roots());
        let document = order.make();
        assert_eq!(ask(&verifier, &document, NOW_MS), Ok(()), "{position}");
        assert_eq!(
            ask(&verifier, &document, NOW_MS + 1000),
            Ok(()),
            "{position}"
        );
        assert_eq!(
            rule(ask(&verifier, &document, NOW_MS + 2000)),
            "certificate-expired"
        );
        // And it is not forgotten that the certificate was good.
        assert_eq!(ask(&verifier, &document, NOW_MS), Ok(()), "{position}");
    }
}

#[test]
fn what_a_hit_leaves_out_is_the_signature_alone() {
    let (verifier, order) = warm();
    let mut shortened = order.clone();
    // The leaf was seen under the intermediate's key; now the intermediate is missing.
    shortened.bundle.truncate(1);
    assert_eq!(
        rule(ask(&verifier, &shortened.make(), NOW_MS)),
        "certificate-issuer"
    );
    let mut other_root = order;
    other_root.bundle[0].serial = vec![0x55];
    assert_eq!(
        rule(ask(&verifier, &other_root.make(), NOW_MS)),
        "untrusted-root"
    );
}

#[test]
fn a_known_certificate_with_a_broken_signature_is_refused() {
    let (verifier, order) = warm();
    let mut broken = order.certificates().remove(2);
    // The last octet of s: the certificate stays well-formed, and its signed part is one that was seen.
    *broken.last_mut().unwrap() ^= 1;
    let mut order = order;
    order.set("certificate", cbor::bytes(&broken));
    let document = order.make();
    assert_eq!(
        rule(ask(&verifier, &document, NOW_MS)),
        "certificate-signature"
    );
    let forgetful = Verifier::new(order.roots()).with_cache_capacity(0);
    assert_eq!(
        rule(ask(&forgetful, &document, NOW_MS)),
        "certificate-signature"
    );
}

#[test]
fn a_known_certificate_under_another_key_is_refused() {
    let (verifier, mut order) = warm();
    // The same names, another key, and the root vouches for it: the leaf was never signed with that one.
    let leaf = order.certificates().remove(2);
    order.bundle[1].key_seed = 77;
    order.set("certificate", cbor::bytes(&leaf));
    assert_eq!(
        rule(ask(&verifier, &order.make(), NOW_MS)),
        "certificate-signature"
    );
}

#[test]
fn a_chain_that_does_not_hold_is_not_remembered() {
    let mut order = DocumentOrder::valid();
    let verifier = Verifier::new(order.roots());
    let mut broken = order.certificates().remove(2);
    *broken.last_mut().unwrap() ^= 1;
    order.set("certificate", cbor::bytes(&broken));
    for _ in 0..2 {
        assert_eq!(
            rule(ask(&verifier, &order.make(), NOW_MS)),
            "certificate-signature"
        );
    }
    // Not even its intermediate, which is genuine.
    assert_eq!(verifier.cache_stats().hits, 0);
}

#[test]
fn a_document_that_comes_again_is_judged_again_but_for_its_signature() {
    let mut order = DocumentOrder::valid();
    let verifier = Verifier::new(order.roots()).with_document_memory(8);
    let document = order.make();
    for _ in 0..3 {
        assert_eq!(ask(&verifier, &document, NOW_MS), Ok(()));
    }
    let stats = verifier.document_stats();
    assert_eq!((stats.hits, stats.misses), (2, 1));
    // The leaf ends at 1750006800.
    assert_eq!(
        rule(ask(&verifier, &document, 1_750_006_801_000)),
        "certificate-expired"
    );
    // Every byte of payload and signature counts.
    for from_end in [1, 48, 96, 200] {
        let mut other = document.clone();
        let at = other.len() - from_end;
        other[at] ^= 1;
        let error = ask(&verifier, &other, NOW_MS).unwrap_err();
        assert_ne!(error.code(), ResultCode::Trusted, "{error}");
        assert!(ask(&verifier, &other, NOW_MS).is_err(), "{from_end}");
    }
    // The same payload and signature under another leaf, which never signed it.
    let (payload, signature) = (order.payload(), order.sign(&order.payload()));
    order.leaf.key_seed = 79;
    assert_ne!(order.payload(), payload);
    let forged = Envelope::new(order.payload(), signature.to_bytes().to_vec()).make();
    assert_eq!(rule(ask(&verifier, &forged, NOW_MS)), "signature-invalid");
    assert_eq!(rule(ask(&verifier, &forged, NOW_MS)), "signature-invalid");
    // A new verifier remembers no documents unless it is told to.
    let plain = Verifier::new(order.roots());
    let _ = (
        ask(&plain, &document, NOW_MS),
        ask(&plain, &document, NOW_MS),
    );
    assert_eq!(plain.document_stats().hits, 0);
}

#[test]
fn the_memory_is_bounded() {
    let order = DocumentOrder::valid();
    let verifier = Verifier::new(order.roots()).with_cache_capacity(1);
    for _ in 0..3 {
        ask(&verifier, &order.make(), NOW_MS).unwrap();
    }
    // Of two links the last is kept.
    assert_eq!(verifier.cache_stats().hits, 2);
}

#[test]
fn threads_share_a_verifier() {
    let order = DocumentOrder::valid();
    let verifier = Verifier::new(order.roots()).with_cache_capacity(2);
    let good = order.make();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    let short = DocumentOrder::short().make();
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..50 {
                    assert_eq!(ask(&verifier, &good, NOW_MS), Ok(()));
                    assert_eq!(rule(ask(&verifier, &bad, NOW_MS)), "signature-invalid");
                    assert_eq!(ask(&verifier, &short, NOW_MS), Ok(()));
                }
            });
        }
    });
}

#[test]
fn every_backend_gives_the_same_verdict() {
    let order = DocumentOrder::valid();
    let good = order.make();
    for backend in Backend::ALL {
        let verifier = Verifier::new(order.roots()).with_backend(*backend);
        assert_eq!(ask(&verifier, &good, NOW_MS), Ok(()), "{}", backend.name());
        // Every bit of the signature counts.
        for bit in 0..96 * 8 {
            let mut bad = good.clone();
            let at = bad.len() - 96 + bit / 8;
            bad[at] ^= 1 << (bit % 8);
            let error = ask(&verifier, &bad, NOW_MS).unwrap_err();
            assert_eq!(
                error.code(),
                ResultCode::Signature,
                "{} {bit}",
                backend.name()
            );
        }
    }
}

#[test]
fn the_image_is_what_identifies_a_measured_enclave() {
    let mut order = DocumentOrder::valid();
    let image = order.verify().unwrap().image().unwrap();
    assert_eq!(image.pcrs().map(|pcr| pcr[0]), [1, 2, 3]);
    // By sha256sum, of 48 bytes each of 01, 02 and 03.
    let id = "68f6dc415505b28437f0dcb824ddeec57bc0fefc2c02244771298851d3a70c7f";
    assert_eq!(hex::encode(image.id()), id);
    for (zeroed, rule) in [(1, "pcr-partly-zero"), (3, "debug-enclave")] {
        let zeros: Vec<_> = (0..zeroed).map(|index| (index, [0; 48])).collect();
        order.set_pcrs(&zeros);
        let error = order.verify().unwrap().image().unwrap_err();
        assert_eq!(
            (error.code(), error.rule()),
            (ResultCode::Measurements, rule)
        );
    }
    order.set("pcrs", cbor::pcrs([(0, [1; 48])]));
    assert_eq!(
        order.verify().unwrap().image().unwrap_err().rule(),
        "pcr-missing"
    );
}

#[test]
fn the_evidence_knows_which_certificate_of_the_chain_ends_first() {
    let mut order = DocumentOrder::valid();
    order.bundle[1].validity = until_one_second_after_now();
    let evidence = order.verify().unwrap();
    assert_eq!(evidence.chain_not_after(), NOW_MS / 1000 + 1);
    assert!(evidence.leaf_not_after() > evidence.chain_not_after());
}

fn until_one_second_after_now() -> Vec<u8> {
    let times = ["250614000000Z", "250615150641Z"].map(der::utc_time);
    der::sequence(&[&times[0], &times[1]])
}
