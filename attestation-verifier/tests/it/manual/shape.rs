//! `src/manual/shape.rs`

use nacre_attestation_verifier::ResultCode;

use super::{TRUSTED, Verdict, after, under};
use crate::builder::{DocumentOrder, Envelope, cbor, pcr_value};

fn malformed(rule: &'static str) -> Verdict {
    (ResultCode::Malformed, rule)
}

#[test]
fn a_second_value_is_refused_first_or_last() {
    let other = || cbor::pcrs((0..16).map(|index| (index, [0x99; 48])));
    assert_eq!(
        after(|order| order.add("pcrs", other())),
        malformed("duplicate-key")
    );
    assert_eq!(
        after(|order| order.entries.insert(0, (cbor::text("pcrs"), other()))),
        malformed("duplicate-key")
    );
    for twice in [[0, 1, 2, 0], [0, 0, 1, 2]] {
        let pcrs = cbor::pcrs(twice.map(|index| (index, pcr_value(index))));
        assert_eq!(
            after(|order| order.set("pcrs", pcrs)),
            malformed("duplicate-pcr")
        );
    }
}

#[test]
fn pcrs_go_by_their_index() {
    let pcrs = |indexes: &[u8]| cbor::pcrs(indexes.iter().map(|index| (*index, pcr_value(*index))));
    assert_eq!(
        after(|order| order.set("pcrs", pcrs(&[8, 4, 2, 1, 0]))),
        TRUSTED
    );
    // The right values in the right order under other indexes.
    let shifted = cbor::pcrs((0..3).map(|index| (index + 1, pcr_value(index))));
    assert_eq!(
        after(|order| order.set("pcrs", shifted)),
        (ResultCode::Measurements, "pcr-missing")
    );
}

#[test]
fn pcrs_may_have_gaps() {
    let signed_image = [0, 1, 2, 3, 4, 8].map(|index| (index, pcr_value(index)));
    assert_eq!(
        after(|order| order.set("pcrs", cbor::pcrs(signed_image))),
        TRUSTED
    );
}

#[test]
fn pcr_31_is_the_last() {
    let with = |index: u8| {
        let indexes = [0, 1, 2, index];
        cbor::pcrs(indexes.map(|index| (index, pcr_value(index))))
    };
    assert_eq!(after(|order| order.set("pcrs", with(31))), TRUSTED);
    assert_eq!(
        after(|order| order.set("pcrs", with(32))),
        malformed("pcr-index")
    );
}

#[test]
fn a_pcr_has_the_length_of_its_hash() {
    for length in [32, 64] {
        // Equal to the expected value as far as the shorter of the two goes.
        let value = |index: u8| {
            (
                cbor::uint(index.into()),
                cbor::bytes(&vec![index + 1; length]),
            )
        };
        assert_eq!(
            after(|order| order.set("pcrs", cbor::map((0..16).map(value)))),
            malformed("pcr-length")
        );
    }
}

#[test]
fn the_payloads_map_has_either_form() {
    assert_eq!(after(|order| order.indefinite = true), TRUSTED);
    assert_eq!(after(|order| order.indefinite = false), TRUSTED);
}

#[test]
fn a_break_ends_only_its_own_map() {
    // The break is missing, or ends a map whose length was given.
    let order = DocumentOrder::valid();
    let signed = |payload: Vec<u8>| {
        let signature = order.sign(&payload).to_bytes().to_vec();
        under(&order.roots(), &Envelope::new(payload, signature).make())
    };
    let mut payload = order.payload();
    assert_eq!(signed(payload.clone()), TRUSTED);
    payload.pop();
    assert_eq!(signed(payload), malformed("cbor-truncated"));
    assert_eq!(
        after(|order| {
            order.indefinite = false;
            order.entries.insert(8, (vec![0xff], cbor::NULL.to_vec()));
        }),
        malformed("cbor-break")
    );
    // An inner map's break is not the payload's.
    assert_eq!(
        after(|order| order.set("pcrs", vec![0xbf, 0xff])),
        malformed("cbor-indefinite-length")
    );
    assert_eq!(
        after(|order| order
            .entries
            .insert(0, (cbor::text("new"), vec![0xbf, 0xff]))),
        TRUSTED
    );
}

#[test]
fn user_fields_may_be_empty_and_up_to_1024_bytes_long() {
    for key in ["public_key", "user_data", "nonce"] {
        for length in [0, 1, 513, 746, 1024] {
            let value = cbor::bytes(&vec![7; length]);
            assert_eq!(after(|order| order.set(key, value)), TRUSTED, "{key}");
        }
        assert_eq!(
            after(|order| order.set(key, cbor::bytes(&[7; 1025]))),
            malformed("user-field-length")
        );
    }
}

#[test]
fn optional_fields_are_optional() {
    for key in ["public_key", "user_data", "nonce"] {
        assert_eq!(after(|order| order.remove(key)), TRUSTED, "{key}");
        assert_eq!(
            after(|order| order.set(key, cbor::NULL.to_vec())),
            TRUSTED,
            "{key}"
        );
    }
}

#[test]
fn a_key_has_one_name() {
    for (key, other) in [
        ("module_id", "ModuleId"),
        ("timestamp", "TimeStamp"),
        ("pcrs", "PCRs"),
        ("certificate", "Certificate"),
        ("cabundle", "CABundle"),
        ("digest", "Digest"),
    ] {
        assert_eq!(
            after(|order| {
                let certificates = order.certificates();
                let index = order
                    .entries
                    .iter()
                    .position(|entry| entry.0 == cbor::text(key));
                let entry = &mut order.entries[index.unwrap()];
                entry.0 = cbor::text(other);
                if entry.1.is_empty() {
                    entry.1 = cbor::bytes(&certificates[1]);
                }
            }),
            malformed("missing-key"),
            "{key}"
        );
    }
}

#[test]
fn a_field_of_tomorrow_changes_nothing() {
    let value = cbor::map([(cbor::text("kind"), cbor::array([cbor::uint(1)]))]);
    assert_eq!(
        after(|order| order.entries.insert(3, (cbor::text("tomorrow"), value))),
        TRUSTED
    );
    let mut order = DocumentOrder::valid();
    order.add("tomorrow", cbor::uint(1));
    assert_eq!(order.verify().unwrap().unknown_keys(), ["tomorrow"]);
}

#[test]
fn the_header_that_nobody_signs_is_empty() {
    let order = DocumentOrder::valid();
    let payload = order.payload();
    let signature = order.sign(&payload).to_bytes().to_vec();
    let mut envelope = Envelope::new(payload, signature);
    // kid, and an algorithm of the attacker's choice.
    for (label, value) in [(4, cbor::bytes(b"key")), (1, vec![0x26])] {
        envelope.unprotected = cbor::map([(cbor::uint(label), value)]);
        assert_eq!(
            under(&order.roots(), &envelope.make()),
            malformed("unprotected-header")
        );
    }
}

#[test]
fn a_virtual_machine_is_no_enclave() {
    let pcrs = || cbor::pcrs((0..24).map(|index| (index, pcr_value(index))));
    assert_eq!(
        after(|order| order.add("nitrotpm_pcrs", pcrs())),
        malformed("nitrotpm-document")
    );
    assert_eq!(
        after(|order| {
            order.remove("pcrs");
            order.add("nitrotpm_pcrs", pcrs());
        }),
        malformed("nitrotpm-document")
    );
}
