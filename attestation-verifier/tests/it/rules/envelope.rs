//! DESIGN §4 *Envelope*.

use nacre_attestation_verifier::{
    ResultCode, UnixMillis, UnverifiedDocument, VerificationTime, verify,
};

use super::assert_error;
use crate::builder::{DocumentOrder, Envelope, NOW_MS, cbor};

/// The envelope of a valid document, changed and verified.
fn refused(rule: &str, change: impl FnOnce(&mut Envelope)) {
    assert_error(
        UnverifiedDocument::parse(&changed(change)),
        ResultCode::Malformed,
        rule,
    );
}

fn changed(change: impl FnOnce(&mut Envelope)) -> Vec<u8> {
    let order = DocumentOrder::valid();
    let payload = order.payload();
    let signature = order.sign(&payload);
    let mut envelope = Envelope::new(payload, signature.to_bytes().to_vec());
    change(&mut envelope);
    envelope.make()
}

#[test]
fn tag_18_and_no_tag_are_accepted() {
    let at = VerificationTime::Live(UnixMillis(NOW_MS));
    let roots = DocumentOrder::valid().roots();
    assert!(verify(&changed(|_| {}), &roots, at).is_ok());
    assert!(
        verify(
            &changed(|envelope| envelope.head = vec![0xd2, 0x84]),
            &roots,
            at
        )
        .is_ok()
    );
}

#[test]
fn other_and_nested_tags_are_refused() {
    refused("cbor-type", |envelope| envelope.head = vec![0xd1, 0x84]);
    refused("cbor-type", |envelope| {
        envelope.head = vec![0xd8, 0x62, 0x84]
    });
    refused("cbor-type", |envelope| {
        envelope.head = vec![0xd2, 0xd2, 0x84]
    });
    refused("cbor-not-shortest", |envelope| {
        envelope.head = vec![0xd8, 0x12, 0x84]
    });
}

#[test]
fn only_four_elements_are_accepted() {
    refused("envelope-elements", |envelope| envelope.head = vec![0x83]);
    refused("envelope-elements", |envelope| {
        envelope.head = vec![0x85];
        envelope.after = vec![0xf6];
    });
    refused("cbor-indefinite-length", |envelope| {
        envelope.head = vec![0x9f];
        envelope.after = vec![0xff];
    });
    refused("cbor-type", |envelope| envelope.head = vec![0xa4]);
}

#[test]
fn nothing_may_follow() {
    refused("cbor-trailing-bytes", |envelope| {
        envelope.after = vec![0x00]
    });
}

#[test]
fn a_document_cut_short_is_refused_at_every_length() {
    let document = changed(|_| {});
    for length in 0..document.len() {
        assert!(
            UnverifiedDocument::parse(&document[..length]).is_err(),
            "{length} bytes"
        );
    }
}

#[test]
fn the_protected_header_is_exactly_es384() {
    for header in [
        &[][..],
        &[0xa0],                                     // {}
        &[0xa1, 0x01, 0x26],                         // {1: -7}, ES256
        &[0xa1, 0x01, 0x39, 0x00, 0x22],             // {1: -35}, not in the shortest form
        &[0xbf, 0x01, 0x38, 0x22, 0xff],             // {_ 1: -35}
        &[0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x00], // {1: -35, 4: h'00'}
        &[0xa1, 0x01, 0x38, 0x22, 0x00],             // {1: -35} and a byte
    ] {
        refused("protected-header", |envelope| {
            envelope.protected = cbor::bytes(header)
        });
    }
    refused("cbor-type", |envelope| {
        envelope.protected = vec![0xa1, 0x01, 0x38, 0x22]
    });
    refused("cbor-chunked-string", |envelope| {
        envelope.protected = vec![0x5f, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xff];
    });
}

#[test]
fn the_unprotected_header_is_empty() {
    refused("unprotected-header", |envelope| {
        envelope.unprotected = vec![0xa1, 0x04, 0x41, 0x00]
    });
    refused("cbor-indefinite-length", |envelope| {
        envelope.unprotected = vec![0xbf, 0xff]
    });
    refused("cbor-type", |envelope| envelope.unprotected = vec![0xf6]);
}

#[test]
fn the_payload_is_a_byte_string_in_one_piece() {
    refused("cbor-type", |envelope| envelope.payload = vec![0xf6]);
    refused("cbor-chunked-string", |envelope| {
        envelope.payload = [&[0x5f], envelope.payload.as_slice(), &[0xff]].concat();
    });
    refused("cbor-truncated", |envelope| {
        envelope.payload = vec![0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    });
}

#[test]
fn the_signature_has_96_bytes() {
    for length in [0, 48, 95, 97, 128] {
        refused("signature-length", |envelope| {
            envelope.signature = cbor::bytes(&vec![1; length])
        });
    }
}

#[test]
fn a_document_has_at_most_16_kib() {
    let padding = |length: usize| {
        changed(|envelope| {
            let base = DocumentOrder::valid().make().len();
            // The padding's key takes 4 bytes, its head 3, and the payload's longer length none.
            let mut order = DocumentOrder::valid();
            order.add("pad", cbor::bytes(&vec![0; length - base - 7]));
            let payload = order.payload();
            envelope.signature = cbor::bytes(&order.sign(&payload).to_bytes());
            envelope.payload = cbor::bytes(&payload);
        })
    };
    let (longest, too_long) = (padding(16 * 1024), padding(16 * 1024 + 1));
    assert_eq!((longest.len(), too_long.len()), (16 * 1024, 16 * 1024 + 1));
    assert!(UnverifiedDocument::parse(&longest).is_ok());
    assert_error(
        UnverifiedDocument::parse(&too_long),
        ResultCode::Malformed,
        "document-too-long",
    );
}
