//! `src/manual/measurements.rs`

use std::collections::BTreeMap;

use nacre_attestation_verifier::{
    Measurements, Pcr, Policy, PolicyError, ResultCode, RootKind, UnverifiedDocument,
};

use super::{TRUSTED, Verdict, after, appraised, under, verdict};
use crate::builder::{DocumentOrder, Envelope, cbor, own_measurements, pcr_value};

const MISMATCH: Verdict = (ResultCode::Measurements, "measurement-mismatch");

fn policy(set: Measurements) -> Policy {
    Policy::new(vec![set]).unwrap()
}

fn zeros() -> Measurements {
    Measurements::new(Pcr::ZERO, Pcr::ZERO, Pcr::ZERO)
}

#[test]
fn a_debug_enclave_is_not_a_production_enclave() {
    let debug = |order: &mut DocumentOrder| {
        order.set("pcrs", cbor::pcrs((0..16).map(|index| (index, [0; 48]))));
    };
    let refused = (ResultCode::Measurements, "debug-enclave");
    assert_eq!(after(debug), refused);
    // Not even where zeros are what is expected, as long as debug mode is not.
    assert_eq!(verdict(appraised(debug, &policy(zeros()))), refused);
    let both = policy(zeros()).with_allow_debug(true);
    let enclave = appraised(debug, &both).unwrap();
    assert!(enclave.is_debug());
}

#[test]
fn there_is_no_policy_without_measurements() {
    assert_eq!(Policy::new(Vec::new()), Err(PolicyError::NoMeasurements));
    for json in ["{}", r#"{"measurements": []}"#, r#"{"allow_debug": true}"#] {
        let refused = Policy::from_json(json.as_bytes()).unwrap_err();
        assert_eq!(refused, PolicyError::NoMeasurements, "{json}");
        assert_eq!(refused.code(), ResultCode::Usage);
    }
}

#[test]
fn a_set_without_pcrs_matches_nothing_because_there_is_none() {
    let [pcr0, pcr1, pcr2] = [0, 1, 2].map(|index| hex::encode(pcr_value(index)));
    for set in [
        String::new(),
        format!(r#""pcr0": "{pcr0}""#),
        format!(r#""pcr0": "{pcr0}", "pcr1": "{pcr1}""#),
        format!(r#""pcr0": "{pcr0}", "pcr1": null, "pcr2": "{pcr2}""#),
        format!(r#""pcr0": "{pcr0}", "pcr1": "", "pcr2": "{pcr2}""#),
    ] {
        let json = format!(r#"{{"measurements": [{{{set}}}]}}"#);
        let refused = Policy::from_json(json.as_bytes()).unwrap_err();
        assert_eq!(refused.code(), ResultCode::Usage, "{json}");
    }
}

#[test]
fn zero_is_a_value_not_a_wildcard() {
    assert_eq!(verdict(appraised(|_| {}, &policy(zeros()))), MISMATCH);
    let with_pcr8 = Measurements {
        pcr8: Some(Pcr::ZERO),
        ..own_measurements()
    };
    assert_eq!(verdict(appraised(|_| {}, &policy(with_pcr8))), MISMATCH);
}

#[test]
fn an_absent_pcr_equals_nothing() {
    let expecting = |index: u8, value| {
        policy(Measurements {
            extra: BTreeMap::from([(index, value)]),
            ..own_measurements()
        })
    };
    for value in [Pcr::ZERO, Pcr([7; 48])] {
        assert_eq!(verdict(appraised(|_| {}, &expecting(16, value))), MISMATCH);
    }
    let with_pcr16 = |order: &mut DocumentOrder| order.set_pcrs(&[(16, [7; 48])]);
    assert_eq!(
        verdict(appraised(with_pcr16, &expecting(16, Pcr([7; 48])))),
        TRUSTED
    );
    // Fewer PCRs than are asked for.
    let few = |order: &mut DocumentOrder| {
        order.set("pcrs", cbor::pcrs([(0, pcr_value(0)), (1, pcr_value(1))]));
    };
    assert_eq!(after(few), (ResultCode::Measurements, "pcr-missing"));
}

#[test]
fn what_a_document_only_claims_is_not_judged() {
    // The expected PCRs, signed by nobody.
    let order = DocumentOrder::valid();
    let document = Envelope::new(order.payload(), vec![1; 96]).make();
    let claims = UnverifiedDocument::parse(&document).unwrap();
    assert_eq!(claims.claims().pcrs[&0], Pcr(pcr_value(0)));
    let (code, _) = under(&order.roots(), &document);
    assert_eq!(code, ResultCode::Signature);
}

#[test]
fn pcrs_that_nobody_asked_for_may_be_anything() {
    // Another instance, another role, another number of registers.
    for changed in [vec![3], vec![4], vec![5, 20, 31]] {
        let pcrs: Vec<_> = changed.iter().map(|index| (*index, [0x42; 48])).collect();
        assert_eq!(after(|order| order.set_pcrs(&pcrs)), TRUSTED, "{changed:?}");
    }
}

#[test]
fn a_development_root_is_called_so() {
    let enclave = appraised(|_| {}, &policy(own_measurements())).unwrap();
    assert_eq!(enclave.evidence().root_kind(), RootKind::Development);
    assert_eq!(RootKind::Development.to_string(), "DEVELOPMENT ROOT");
}

#[test]
fn the_signer_of_an_image_is_not_the_image() {
    let signed = Measurements {
        pcr8: Some(Pcr(pcr_value(8))),
        ..own_measurements()
    };
    let named = policy(signed);
    assert_eq!(verdict(appraised(|_| {}, &named)), TRUSTED);
    // Another image by the same signer, and the same image by another.
    for index in [0, 2, 8] {
        let other = |order: &mut DocumentOrder| order.set_pcrs(&[(index, [0x99; 48])]);
        assert_eq!(verdict(appraised(other, &named)), MISMATCH, "PCR{index}");
    }
    let pcr8 = hex::encode(pcr_value(8));
    let alone = format!(r#"{{"measurements": [{{"pcr8": "{pcr8}"}}]}}"#);
    assert!(Policy::from_json(alone.as_bytes()).is_err());
}
