//! `src/manual/binding.rs`

use nacre_attestation_verifier::{BindingError, VerifiedEvidence, VerifyError};

use crate::builder::{DocumentOrder, cbor};

fn evidence(change: impl FnOnce(&mut DocumentOrder)) -> VerifiedEvidence {
    let mut order = DocumentOrder::valid();
    change(&mut order);
    order.verify().unwrap()
}

fn refused(error: BindingError) -> Result<(), VerifyError> {
    Err(VerifyError::Binding(error))
}

#[test]
fn a_document_for_another_question_is_no_answer() {
    let other = evidence(|order| order.set("nonce", cbor::bytes(&[1; 32])));
    assert_eq!(other.require_nonce(&[1; 32]), Ok(()));
    for nonce in [&[2; 32][..], &[1; 31], &[1; 33], b""] {
        assert_eq!(other.require_nonce(nonce), refused(BindingError::Nonce));
    }
    let none = evidence(|order| order.remove("nonce"));
    assert_eq!(none.require_nonce(&[1; 32]), refused(BindingError::Nonce));
}

#[test]
fn null_is_not_empty() {
    for absent in [None, Some(cbor::NULL.to_vec())] {
        let evidence = evidence(|order| {
            for key in ["nonce", "user_data", "public_key"] {
                match &absent {
                    None => order.remove(key),
                    Some(null) => order.set(key, null.clone()),
                }
            }
        });
        assert_eq!(evidence.require_nonce(b""), refused(BindingError::Nonce));
        assert_eq!(
            evidence.require_user_data(b""),
            refused(BindingError::UserData)
        );
        assert_eq!(
            evidence.require_public_key(b""),
            refused(BindingError::PublicKey)
        );
    }
    let empty = evidence(|order| order.set("user_data", cbor::bytes(b"")));
    assert_eq!(empty.require_user_data(b""), Ok(()));
}

#[test]
fn bytes_are_compared_not_their_text() {
    // The base64 of fb ff fe is "+//+", in the other alphabet "-__-".
    let evidence = evidence(|order| order.set("nonce", cbor::bytes(&[0xfb, 0xff, 0xfe])));
    assert_eq!(evidence.require_nonce(&[0xfb, 0xff, 0xfe]), Ok(()));
    for text in [&b"+//+"[..], b"-__-", b"fbfffe"] {
        assert_eq!(evidence.require_nonce(text), refused(BindingError::Nonce));
    }
}

#[test]
fn a_key_counts_only_where_the_document_names_it() {
    let evidence = evidence(|order| order.set("public_key", cbor::bytes(b"the enclave's key")));
    assert_eq!(evidence.require_public_key(b"the enclave's key"), Ok(()));
    for other in [
        &b"another key"[..],
        b"the enclave's key\0",
        b"the enclave's ke",
    ] {
        let error = refused(BindingError::PublicKey);
        assert_eq!(evidence.require_public_key(other), error);
    }
    // In `user_data` it is not in `public_key`.
    let elsewhere = self::evidence(|order| {
        order.set("user_data", cbor::bytes(b"key"));
        order.set("public_key", cbor::NULL.to_vec());
    });
    assert_eq!(
        elsewhere.require_public_key(b"key"),
        refused(BindingError::PublicKey)
    );
}
