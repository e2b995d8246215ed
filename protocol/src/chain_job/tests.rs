use k256::ecdsa::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::eip712::EthAddress;
use crate::verified_enclave::{ChainId, ContractDomain};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn point_of(key: &SigningKey) -> [u8; 64] {
    let point = key.verifying_key().to_sec1_point(false);
    point.as_bytes()[1..].try_into().unwrap()
}

fn terms() -> ChainTerms {
    ChainTerms {
        chain_id: ChainId::try_from(31_337).unwrap(),
        contract: EthAddress::from_bytes([0x11; 20]),
        job: ChainJobId::from_word([0x22; 32]),
        payee: EthAddress::from_bytes([0x33; 20]),
    }
}

fn result() -> ChainResult {
    ChainResult {
        terms: terms(),
        function: Digest::from_bytes([0x44; 32]),
        input_hash: Digest::of(b"input"),
        output_hash: Digest::of(b"output"),
        status: ChainStatus::Answered,
        executed_ms: 1_790_000_000_000,
    }
}

const CARRIED: fn() -> CarriedHashes = || CarriedHashes {
    input: Digest::of(b"input"),
    output: Digest::of(b"output"),
    status: 200,
};

/// Values that an independent EIP-712 implementation (Python's eth-account 0.14) gives for the same typed data and key.
#[test]
fn a_wallet_library_hashes_and_signs_the_same() {
    assert_eq!(
        hex::encode(result().digest()),
        "cefceafa9821108fe816cd713895a596e2b371b07ce841d363db6390a143e522"
    );
    assert_eq!(
        hex::encode(result().sign(&key(7)).signature),
        "dbd7c93af81c8604aa844d070773663108f6587c054fbe18998489da544b0958059d9aac1a9f4e799fbacfdf6f9bb5cbdf9179b7169dfa9d1fd88eb60ce8e8d81c"
    );
}

#[test]
fn what_was_signed_is_what_is_checked() {
    let signed = result().sign(&key(7));
    let function = result().function;
    let verify = |terms, function, carried: CarriedHashes| {
        signed.verify(&point_of(&key(7)), terms, function, &carried)
    };
    assert_eq!(verify(terms(), function, CARRIED()), Ok(()));
    assert_eq!(
        signed.signer(terms(), function),
        Some(EthAddress::of_key(key(7).verifying_key()))
    );
    let input = CarriedHashes {
        input: Digest::from_bytes([0; 32]),
        ..CARRIED()
    };
    assert_eq!(
        verify(terms(), function, input),
        Err(ChainResultError::Input)
    );
    for carried in [
        CarriedHashes {
            output: Digest::from_bytes([0; 32]),
            ..CARRIED()
        },
        CarriedHashes {
            status: 400,
            ..CARRIED()
        },
    ] {
        assert_eq!(
            verify(terms(), function, carried),
            Err(ChainResultError::Output)
        );
    }
    assert_eq!(
        signed.verify(&point_of(&key(8)), terms(), function, &CARRIED()),
        Err(ChainResultError::Signature)
    );
}

#[test]
fn a_result_for_one_job_is_none_for_another() {
    let signed = result().sign(&key(7));
    let others = [
        ChainTerms {
            chain_id: ChainId::try_from(1).unwrap(),
            ..terms()
        },
        ChainTerms {
            contract: EthAddress::from_bytes([0; 20]),
            ..terms()
        },
        ChainTerms {
            job: ChainJobId::from_word([0; 32]),
            ..terms()
        },
        ChainTerms {
            payee: EthAddress::from_bytes([0; 20]),
            ..terms()
        },
    ];
    let refused = Err(ChainResultError::Signature);
    for other in others {
        let verified = signed.verify(&point_of(&key(7)), other, result().function, &CARRIED());
        assert_eq!(verified, refused, "{other}");
    }
    let function = Digest::from_bytes([0; 32]);
    assert_eq!(
        signed.verify(&point_of(&key(7)), terms(), function, &CARRIED()),
        refused
    );
}

#[test]
fn terms_have_four_parts() {
    let text = terms().to_string();
    assert_eq!(text.parse(), Ok(terms()));
    let json = serde_json::to_string(&terms()).unwrap();
    assert_eq!(serde_json::from_str::<ChainTerms>(&json).unwrap(), terms());
    for wrong in [
        "",
        &format!("{text}:"),
        &format!("0{text}"),
        &text.replacen("31337", "0", 1),
        &text.replacen("31337:", "", 1),
        &text.replacen("0x22", "22", 1),
        &text.replacen("0x22", "0x222", 1),
        &text.replacen("0x11", "0x1", 1),
    ] {
        assert_eq!(
            wrong.parse::<ChainTerms>(),
            Err(ChainTermsSyntaxError),
            "{wrong}"
        );
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        input_hash: [u8; 32], output_hash: [u8; 32], refused: bool, executed_ms: u64, at: prop::sample::Index, bit in 0_u8..8
    ) {
        let (input_hash, output_hash) = (Digest::from_bytes(input_hash), Digest::from_bytes(output_hash));
        let status = if refused { ChainStatus::Refused } else { ChainStatus::Answered };
        let signed = ChainResult { input_hash, output_hash, status, executed_ms, ..result() }.sign(&key(7));
        let bytes = signed.encode();
        prop_assert_eq!(SignedChainResult::decode(&bytes), Ok(signed));
        prop_assert_eq!(SignedChainResult::from_header(&signed.to_header()), Ok(signed));
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << bit;
        if let Ok(other) = SignedChainResult::decode(&changed) {
            prop_assert_eq!(other.encode(), changed);
            let carried = CarriedHashes { input: input_hash, output: output_hash, status: if refused { 400 } else { 200 } };
            prop_assert!(other.verify(&point_of(&key(7)), terms(), result().function, &carried).is_err());
        }
        for end in 0..bytes.len() {
            prop_assert!(SignedChainResult::decode(&bytes[..end]).is_err());
        }
    }
}

/// By Python's hashlib over the fields as they are listed.
#[test]
fn a_sealed_jobs_id_follows_from_who_asks_where_and_from_the_result_key() {
    let contract = terms().domain();
    let (requester, function) = (EthAddress::from_bytes([0x22; 20]), Digest::of(b"f"));
    let of = |contract: &ContractDomain, requester: [u8; 20], key| {
        let requester = EthAddress::from_bytes(requester);
        sealed_terms(contract, &requester, function, 1_790_000_000, &[key; 32]).job
    };
    let terms = sealed_terms(&contract, &requester, function, 1_790_000_000, &[9; 32]);
    assert_eq!(
        terms.job.to_string(),
        "job_7bcadfdc9a2ea567461a31dd74f36369"
    );
    assert_eq!(
        (terms.function, terms.deadline_ms),
        (function, 1_790_000_000_000)
    );
    let mut elsewhere = contract;
    elsewhere.chain_id = ChainId::try_from(1).unwrap();
    assert_ne!(of(&elsewhere, [0x22; 20], 9), terms.job);
    elsewhere = contract;
    elsewhere.verifying_contract = EthAddress::from_bytes([0x12; 20]);
    assert_ne!(of(&elsewhere, [0x22; 20], 9), terms.job);
    assert_ne!(of(&contract, [0x23; 20], 9), terms.job);
    assert_ne!(of(&contract, [0x22; 20], 8), terms.job);
}
