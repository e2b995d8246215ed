use super::*;
use crate::tensor::TensorSpec;
use proptest::collection::vec;
use proptest::prelude::*;

fn decode(bytes: &[u8]) -> Result<Message, WireError> {
    let header = bytes.first_chunk().ok_or(WireError::Short)?;
    let header = Header::decode(header, u64::MAX)?;
    let meta = bytes
        .get(HEADER_LEN..)
        .and_then(|rest| rest.get(..header.meta_len))
        .ok_or(WireError::Short)?;
    Message::decode(&header, meta)
}

fn datatype() -> impl Strategy<Value = DataType> {
    (0..DataType::ALL.len()).prop_map(|index| DataType::ALL[index])
}

fn head() -> impl Strategy<Value = TensorHead> {
    (".{0,20}", datatype(), vec(0u64..50, 0..4), 0u64..100).prop_map(
        |(name, datatype, shape, extra)| {
            let count: u64 = shape.iter().product();
            let len = match datatype.element_size() {
                Some(size) => count * size as u64,
                None => count * 4 + extra,
            };
            TensorHead {
                name,
                datatype,
                shape,
                len,
            }
        },
    )
}

fn spec() -> impl Strategy<Value = TensorSpec> {
    (".{0,20}", datatype(), vec(-1i64..i64::MAX, 0..5)).prop_map(|(name, datatype, shape)| {
        TensorSpec {
            name,
            datatype,
            shape,
        }
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    (0..FaultCode::ALL.len(), ".{0,80}").prop_map(|(code, message)| Fault {
        code: FaultCode::ALL[code],
        message,
    })
}

fn isolation() -> impl Strategy<Value = Isolation> {
    (any::<[bool; 8]>(), any::<u8>()).prop_map(|(walls, landlock_abi)| Isolation {
        own_uid: walls[0],
        no_new_privs: walls[1],
        rlimits: walls[2],
        network_namespace: walls[3],
        ipc_namespace: walls[4],
        pid_namespace: walls[5],
        empty_root: walls[6],
        seccomp: walls[7],
        landlock_abi,
    })
}

fn configure() -> impl Strategy<Value = Configure> {
    let fields = (
        ".{0,40}",
        any::<u64>(),
        any::<Option<u32>>(),
        any::<u64>(),
        any::<u16>(),
        any::<bool>(),
    );
    fields.prop_map(
        |(onnxruntime, memory_bytes, uid, max_output_bytes, threads, pid_namespace)| Configure {
            onnxruntime,
            memory_bytes,
            uid,
            max_output_bytes,
            threads,
            pid_namespace,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        configure().prop_map(Message::Configure),
        isolation().prop_map(Message::Ready),
        any::<u64>().prop_map(|len| Message::Load { len }),
        (vec(spec(), 0..4), vec(spec(), 0..4))
            .prop_map(|(inputs, outputs)| Message::Loaded(ModelSpec { inputs, outputs })),
        fault().prop_map(Message::Refused),
        (
            any::<u64>(),
            vec(head(), 0..4),
            proptest::option::of(vec(".{0,20}", 0..4))
        )
            .prop_map(|(id, inputs, outputs)| Message::Infer {
                id,
                inputs,
                outputs
            }),
        (any::<u64>(), any::<u32>(), vec(head(), 0..4)).prop_map(
            |(id, compute_micros, outputs)| Message::Output {
                id,
                compute_micros,
                outputs
            }
        ),
        (any::<u64>(), fault()).prop_map(|(id, fault)| Message::Failed { id, fault }),
    ]
}

proptest! {
    #[test]
    fn every_message_survives_the_wire(message in message()) {
        let bytes = message.encode().unwrap();
        prop_assert_eq!(decode(&bytes), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..512)) {
        let _ = decode(&bytes);
    }

    #[test]
    fn arbitrary_meta_never_panics(kind in any::<u8>(), meta in vec(any::<u8>(), 0..512)) {
        let header = Header { kind, meta_len: meta.len(), body_len: 0 };
        let _ = Message::decode(&header, &meta);
    }

    /// What decodes is exactly what encoding writes: there is one form for each message.
    #[test]
    fn a_flipped_byte_is_refused_or_is_another_message(
        message in message(),
        index in any::<prop::sample::Index>(),
        flip in 1u8..,
    ) {
        let mut bytes = message.encode().unwrap();
        let index = index.index(bytes.len());
        bytes[index] ^= flip;
        if let Ok(other) = decode(&bytes) {
            prop_assert_ne!(&other, &message);
            let header = Header::decode(bytes.first_chunk().unwrap(), u64::MAX).unwrap();
            prop_assert_eq!(other.encode().unwrap(), &bytes[..HEADER_LEN + header.meta_len]);
        }
    }

    #[test]
    fn a_cut_or_longer_meta_is_refused(message in message(), extra in 1usize..9) {
        let bytes = message.encode().unwrap();
        let header = Header::decode(bytes.first_chunk().unwrap(), u64::MAX).unwrap();
        let mut meta = bytes[HEADER_LEN..].to_vec();
        meta.resize(meta.len() + extra, 0);
        prop_assert_eq!(Message::decode(&header, &meta), Err(WireError::Trailing));
        let whole = meta.len() - extra;
        if whole > 0 {
            prop_assert!(Message::decode(&header, &meta[..whole - 1]).is_err());
        }
    }
}

#[test]
fn limits_hold_in_the_header() {
    let mut bytes = Message::Load { len: 100 }.encode().unwrap();
    let header = bytes.first_chunk().unwrap();
    assert!(matches!(
        Header::decode(header, 99),
        Err(WireError::BodyTooLong {
            length: 100,
            limit: 99
        })
    ));
    bytes[7] = 0xff;
    assert!(matches!(
        Header::decode(bytes.first_chunk().unwrap(), 100),
        Err(WireError::MetaTooLong { .. })
    ));
}

#[test]
fn a_tensor_that_lies_about_its_length_is_refused() {
    let honest = TensorHead {
        name: "y".into(),
        datatype: DataType::Fp32,
        shape: vec![2],
        len: 8,
    };
    for lie in [
        TensorHead {
            len: 9,
            ..honest.clone()
        },
        TensorHead {
            shape: vec![u64::MAX, 2],
            ..honest.clone()
        },
        TensorHead {
            datatype: DataType::Bytes,
            shape: vec![3],
            ..honest.clone()
        },
    ] {
        let bytes = Message::Output {
            id: 1,
            compute_micros: 1,
            outputs: vec![lie],
        }
        .encode()
        .unwrap();
        assert!(matches!(
            decode(&bytes),
            Err(WireError::TensorLength { .. })
        ));
    }
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let fault = Fault::new(FaultCode::ModelInvalid, "é".repeat(MAX_MESSAGE));
    assert!(fault.message.len() <= MAX_MESSAGE);
    assert!(Message::Refused(fault).encode().is_ok());
}
