use proptest::prelude::*;
use serde::de::DeserializeOwned;

use super::*;
use crate::encoding::array_from_hex;

/// What an independent implementation makes of the same typed data; `vectors.py` says how.
const VECTORS: &str = include_str!("vectors.json");

fn key() -> SigningKey {
    SigningKey::from_slice(&[0x42; 32]).unwrap()
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    let text: String = read(value);
    array_from_hex(text.strip_prefix("0x").unwrap()).unwrap()
}

/// The claims and the domain out of typed data's JSON.
fn claims(typed: &Value) -> (VerifiedEnclave, ContractDomain) {
    let (message, domain) = (&typed["message"], &typed["domain"]);
    let enclave = VerifiedEnclave {
        root_id: bytes(&message["rootId"]),
        image_id: bytes(&message["imageId"]),
        receipt_key: read(&message["receiptKey"]),
        operator: read(&message["operator"]),
        user_data: bytes(&message["userData"]),
        timestamp_ms: read(&message["timestampMs"]),
        expires_ms: read(&message["expiresMs"]),
    };
    let domain = ContractDomain {
        chain_id: read(&domain["chainId"]),
        verifying_contract: read(&domain["verifyingContract"]),
    };
    (enclave, domain)
}

#[test]
fn agrees_with_another_implementation_of_eip712() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let (enclave, domain) = claims(&vector["typed"]);
        assert_eq!(hex0x(&enclave.digest(&domain)), vector["digest"]);
        let signature = enclave.sign(&domain, &key());
        assert_eq!(hex0x(&signature), vector["signature"]);
        let signer = enclave.signer(&domain, &signature);
        assert_eq!(signer.unwrap().to_string(), vector["signer"]);
        // The addresses of zeros have no letters, so that both sides write them alike; the others carry the checksum.
        assert_eq!(enclave.typed_data(&domain), vector["typed"]);
    }
}

/// Each field and each part of the domain, changed alone, is another digest.
#[test]
fn every_field_is_bound() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let (enclave, domain) = claims(&vectors[0]["typed"]);
    let address = EthAddress::from_bytes([9; 20]);
    let others = [
        VerifiedEnclave {
            root_id: [9; 32],
            ..enclave
        },
        VerifiedEnclave {
            image_id: [9; 32],
            ..enclave
        },
        VerifiedEnclave {
            receipt_key: address,
            ..enclave
        },
        VerifiedEnclave {
            operator: address,
            ..enclave
        },
        VerifiedEnclave {
            user_data: [9; 32],
            ..enclave
        },
        VerifiedEnclave {
            timestamp_ms: 9,
            ..enclave
        },
        VerifiedEnclave {
            expires_ms: 9,
            ..enclave
        },
    ];
    let signature = enclave.sign(&domain, &key());
    let signer = enclave.signer(&domain, &signature);
    for other in others {
        assert_ne!(other.signer(&domain, &signature), signer, "{other:?}");
    }
    let domains = [
        ContractDomain {
            chain_id: ChainId::try_from(9).unwrap(),
            ..domain
        },
        ContractDomain {
            verifying_contract: address,
            ..domain
        },
    ];
    for other in domains {
        assert_ne!(enclave.signer(&other, &signature), signer, "{other:?}");
    }
}

#[test]
fn a_chains_id_is_any_uint256_but_zero() {
    let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    let id: ChainId = most.parse().unwrap();
    assert_eq!((id.word(), id.to_string().as_str()), ([0xff; 32], most));
    for wrong in [
        "",
        "0",
        "01",
        "-1",
        "+1",
        "1 ",
        "0x1",
        "1e3",
        "1.0",
        "٣",
        &most.replace("935", "936"),
        &format!("{most}0"),
    ] {
        assert_eq!(wrong.parse::<ChainId>(), Err(ChainIdSyntaxError), "{wrong}");
    }
    for wrong in [
        "0",
        "-1",
        "1.5",
        "1e3",
        "null",
        "\"\"",
        "18446744073709551616",
    ] {
        assert!(serde_json::from_str::<ChainId>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_chains_id_is_a_json_number_where_every_reader_keeps_it() {
    for (json, written) in [
        ("1", "1"),
        ("\"1\"", "1"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "\"9007199254740992\""),
        ("18446744073709551615", "\"18446744073709551615\""),
        ("\"18446744073709551616\"", "\"18446744073709551616\""),
    ] {
        let id: ChainId = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), written);
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in ".{0,90}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = text.parse::<ChainId>();
        let _ = text.parse::<EthAddress>();
        let _ = serde_json::from_slice::<crate::verifier_api::VerifyRequest>(&bytes);
    }

    #[test]
    fn an_address_is_read_as_it_is_written(bytes in any::<[u8; 20]>()) {
        let address = EthAddress::from_bytes(bytes);
        prop_assert_eq!(address.to_string().parse(), Ok(address));
    }

    #[test]
    fn a_chains_id_keeps_its_digits(text in "[1-9][0-9]{0,76}") {
        let id: ChainId = text.parse().unwrap();
        prop_assert_eq!(id.to_string(), text);
    }

    #[test]
    fn a_small_chains_id_is_its_number(id in 1u64..) {
        let parsed: ChainId = id.to_string().parse().unwrap();
        prop_assert_eq!(ChainId::try_from(id), Ok(parsed));
        prop_assert_eq!(&parsed.word()[24..], id.to_be_bytes());
    }
}
