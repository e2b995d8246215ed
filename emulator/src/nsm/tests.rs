//! The module against AWS's own request and response types.

use aws_nitro_enclaves_nsm_api::api::{
    AttestationDoc, Digest, ErrorCode as AwsError, Request, Response,
};
use coset::{CborSerializable as _, CoseSign1};
use proptest::prelude::*;
use rand::SeedableRng as _;

use super::*;
use crate::testing::DevNsm;

const NOW: u64 = 1_790_000_000_000;

fn module() -> Nsm {
    let mut rng = StdRng::seed_from_u64(7);
    let root = Root::generate(&mut rng, NOW).unwrap();
    let identity = InstanceIdentity::on_instance("i-0123456789abcdef0", &mut rng, NOW).unwrap();
    let pcrs =
        BootPcrs::of_image([[1; 48], [2; 48], [3; 48]]).with_instance(identity.instance_id());
    Nsm::new(NsmConfig { identity, pcrs }, root, rng, NOW).unwrap()
}

fn encode(request: &Request) -> Vec<u8> {
    let mut bytes = Vec::new();
    coset::cbor::into_writer(request, &mut bytes).unwrap();
    bytes
}

fn ask(module: &mut Nsm, request: &Request) -> Response {
    coset::cbor::from_reader(&module.handle(&encode(request), NOW)[..]).unwrap()
}

fn attestation(
    user_data: Option<usize>,
    nonce: Option<usize>,
    public_key: Option<usize>,
) -> Request {
    let field = |length: Option<usize>| length.map(|length| vec![7; length].into());
    Request::Attestation {
        user_data: field(user_data),
        nonce: field(nonce),
        public_key: field(public_key),
    }
}

#[test]
fn it_describes_itself() {
    let mut module = module();
    let Response::DescribeNSM {
        version_major: 1,
        version_minor: 0,
        version_patch: 0,
        module_id,
        max_pcrs: 32,
        locked_pcrs,
        digest: Digest::SHA384,
    } = ask(&mut module, &Request::DescribeNSM)
    else {
        panic!("not a description");
    };
    assert_eq!(locked_pcrs, (0..16).collect());
    let (instance, enclave) = module_id.split_once("-enc").unwrap();
    assert_eq!(instance, "i-0123456789abcdef0");
    // AWS numbers an enclave by the millisecond it starts in and four more digits.
    assert_eq!(enclave.len(), 16);
    assert_eq!(u64::from_str_radix(&enclave[..12], 16), Ok(NOW));
}

#[test]
fn boot_registers_are_set_and_locked() {
    let mut module = module();
    for index in 0..32 {
        let Response::DescribePCR { lock, data } =
            ask(&mut module, &Request::DescribePCR { index })
        else {
            panic!("no PCR{index}");
        };
        assert_eq!(lock, index < 16);
        match index {
            0..=2 => assert_eq!(data, [index as u8 + 1; 48]),
            4 => assert_ne!(data, [0; 48]),
            _ => assert_eq!(data, [0; 48], "PCR{index}"),
        }
    }
    for index in 0..16 {
        let extend = Request::ExtendPCR {
            index,
            data: vec![1],
        };
        assert!(matches!(
            ask(&mut module, &extend),
            Response::Error(AwsError::ReadOnlyIndex)
        ));
        assert!(matches!(
            ask(&mut module, &Request::LockPCR { index }),
            Response::Error(AwsError::ReadOnlyIndex)
        ));
    }
}

#[test]
fn a_register_is_extended_until_it_is_locked() {
    let mut module = module();
    let extend = Request::ExtendPCR {
        index: 16,
        data: b"function".to_vec(),
    };
    let Response::ExtendPCR { data } = ask(&mut module, &extend) else {
        panic!("not extended")
    };
    // hashlib.sha384(b'\0' * 48 + b'function')
    let expected = "39526f6c8c75bc486ed3891fef2a2477ffd80af37392013982a261d49a3b71aec6052bf0cb64815c3f461ca0871aac6c";
    assert_eq!(hex::encode(&data), expected);
    assert!(matches!(
        ask(&mut module, &Request::LockPCR { index: 16 }),
        Response::LockPCR
    ));
    assert!(matches!(
        ask(&mut module, &extend),
        Response::Error(AwsError::ReadOnlyIndex)
    ));
    assert!(matches!(
        ask(&mut module, &Request::LockPCR { index: 16 }),
        Response::Error(AwsError::ReadOnlyIndex)
    ));
    let Response::DescribePCR { lock: true, data } =
        ask(&mut module, &Request::DescribePCR { index: 16 })
    else {
        panic!("not locked");
    };
    assert_eq!(hex::encode(data), expected);
}

#[test]
fn ranges_are_locked_from_zero() {
    let mut module = module();
    assert!(matches!(
        ask(&mut module, &Request::LockPCRs { range: 33 }),
        Response::Error(AwsError::InvalidIndex)
    ));
    assert!(matches!(
        ask(&mut module, &Request::LockPCRs { range: 32 }),
        Response::LockPCRs
    ));
    assert!(matches!(
        ask(&mut module, &Request::LockPCRs { range: 32 }),
        Response::LockPCRs
    ));
    let Response::DescribeNSM { locked_pcrs, .. } = ask(&mut module, &Request::DescribeNSM) else {
        panic!()
    };
    assert_eq!(locked_pcrs, (0..32).collect());
    let Response::Attestation { document } = ask(&mut module, &attestation(None, None, None))
    else {
        panic!()
    };
    assert_eq!(payload(&document).pcrs.len(), 32);
}

#[test]
fn there_is_no_register_beyond_31() {
    let mut module = module();
    for request in [
        Request::DescribePCR { index: 32 },
        Request::ExtendPCR {
            index: u16::MAX,
            data: vec![],
        },
        Request::LockPCR { index: 32 },
    ] {
        assert!(
            matches!(
                ask(&mut module, &request),
                Response::Error(AwsError::InvalidIndex)
            ),
            "{request:?}"
        );
    }
}

#[test]
fn randomness_looks_as_the_kernel_expects() {
    let mut module = module();
    let first = module.handle(&encode(&Request::GetRandom), NOW);
    // The head that drivers/misc/nsm.c compares: {"GetRandom": {"random": bytes(256)}}.
    assert_eq!(
        &first[..22],
        b"\xa1\x69GetRandom\xa1\x66random\x59\x01\x00"[..]
            .get(..22)
            .unwrap()
    );
    assert_eq!(first.len(), 22 + 256);
    assert_ne!(first, module.handle(&encode(&Request::GetRandom), NOW));
}

#[test]
fn a_document_carries_what_was_asked_for() {
    let mut module = module();
    let Response::Attestation { document } =
        ask(&mut module, &attestation(Some(32), None, Some(0)))
    else {
        panic!()
    };
    let payload = payload(&document);
    assert_eq!(payload.module_id, module.module_id());
    assert_eq!(payload.digest, Digest::SHA384);
    assert_eq!(payload.timestamp, NOW);
    assert_eq!(
        payload.pcrs.keys().copied().collect::<Vec<_>>(),
        (0..16).collect::<Vec<_>>()
    );
    assert_eq!(
        payload.user_data.as_deref().map(Vec::as_slice),
        Some(&[7; 32][..])
    );
    assert_eq!(payload.nonce, None);
    assert_eq!(
        payload.public_key.as_deref().map(Vec::as_slice),
        Some(&[][..])
    );
    assert_eq!(payload.cabundle[0], module.chain().root().der());
    assert_eq!(payload.certificate, module.chain().leaf());
}

#[test]
fn fields_hold_up_to_1024_bytes_each() {
    let mut module = module();
    // AWS's own check on real hardware asks for three fields of 1024 bytes.
    let largest = attestation(Some(1024), Some(1024), Some(1024));
    let Response::Attestation { document } = ask(&mut module, &largest) else {
        panic!("refused")
    };
    assert!(document.len() < MAX_RESPONSE);
    for over in [
        attestation(Some(1025), None, None),
        attestation(None, Some(1025), None),
        attestation(None, None, Some(1025)),
    ] {
        assert!(matches!(
            ask(&mut module, &over),
            Response::Error(AwsError::InputTooLarge)
        ));
    }
}

#[test]
fn requests_hold_up_to_4096_bytes() {
    let mut module = module();
    let around = encode(&Request::ExtendPCR {
        index: 16,
        data: vec![0; 1000],
    })
    .len()
        - 1000;
    let fits = Request::ExtendPCR {
        index: 16,
        data: vec![0; MAX_REQUEST - around],
    };
    assert_eq!(encode(&fits).len(), MAX_REQUEST);
    assert!(matches!(
        ask(&mut module, &fits),
        Response::ExtendPCR { .. }
    ));
    let over = Request::ExtendPCR {
        index: 16,
        data: vec![0; MAX_REQUEST - around + 1],
    };
    assert!(matches!(
        ask(&mut module, &over),
        Response::Error(AwsError::InputTooLarge)
    ));
}

#[test]
fn a_time_without_certificates_is_an_internal_error() {
    let mut module = module();
    let before_the_root = NOW - 2 * 3600 * 1000;
    let answer = module.handle(&encode(&attestation(None, None, None)), before_the_root);
    assert_eq!(answer, b"\xa1\x65Error\x6dInternalError");
}

#[test]
fn the_same_seed_makes_the_same_document() {
    let document = |seed| DevNsm::seeded(seed, [[1; 48]; 3], NOW).attest(Default::default(), NOW);
    assert_eq!(document(1), document(1));
    assert_ne!(document(1), document(2));
}

/// What a register bank must do, written as simply as can be.
#[derive(Default)]
struct Model {
    extensions: std::collections::BTreeMap<u16, Vec<Vec<u8>>>,
    locked: std::collections::BTreeSet<u16>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn registers_follow_the_model(steps in proptest::collection::vec((0u8..3, 0u16..36, proptest::collection::vec(any::<u8>(), 0..40)), 0..60)) {
        let mut module = module();
        let mut model = Model { locked: (0..16).collect(), ..Model::default() };
        for (operation, index, data) in steps {
            let open = index < 32 && !model.locked.contains(&index);
            match operation {
                0 => {
                    let answer = ask(&mut module, &Request::ExtendPCR { index, data: data.clone() });
                    prop_assert_eq!(matches!(answer, Response::ExtendPCR { .. }), open);
                    if open {
                        model.extensions.entry(index).or_default().push(data);
                    }
                }
                1 => {
                    let answer = ask(&mut module, &Request::LockPCR { index });
                    prop_assert_eq!(matches!(answer, Response::LockPCR), open);
                    if open {
                        model.locked.insert(index);
                    }
                }
                _ => {
                    let answer = ask(&mut module, &Request::LockPCRs { range: index });
                    prop_assert_eq!(matches!(answer, Response::LockPCRs), index <= 32);
                    if index <= 32 {
                        model.locked.extend(0..index);
                    }
                }
            }
        }
        for index in 16..32 {
            let expected = model.extensions.get(&index).into_iter().flatten().fold([0; 48], |old, data| extended(&old, data));
            let Response::DescribePCR { lock, data } = ask(&mut module, &Request::DescribePCR { index }) else { panic!() };
            prop_assert_eq!(lock, model.locked.contains(&index));
            prop_assert_eq!(data, expected);
        }
    }
}

fn payload(document: &[u8]) -> AttestationDoc {
    let envelope = CoseSign1::from_slice(document).unwrap();
    AttestationDoc::from_binary(&envelope.payload.unwrap()).unwrap()
}
