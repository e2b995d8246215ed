//! What goes out comes back in; and no bytes panic.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;

use super::{decode_json, decode_mixed};
use crate::kserve::{InferHeaders, KserveError, ResponseHead, decode_infer, encode_infer_response};
use crate::tensor::{DataType, Tensor};

/// A valid tensor of any type and a shape of at most four dimensions, empty ones and scalars among them.
fn any_tensor(name: &'static str) -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(0u64..4, 0..5);
    (0..DataType::ALL.len(), shape).prop_flat_map(move |(datatype, shape)| {
        let datatype = DataType::ALL[datatype];
        let count = usize::try_from(shape.iter().product::<u64>()).unwrap();
        elements(datatype, count).prop_map(move |data| Tensor {
            name: name.into(),
            datatype,
            shape: shape.clone(),
            data: data.into(),
        })
    })
}

fn elements(datatype: DataType, count: usize) -> BoxedStrategy<Vec<u8>> {
    match datatype.element_size() {
        None => {
            let element = prop_oneof![
                "\\PC{0,6}".prop_map(String::into_bytes),
                ".{0,3}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..6),
            ];
            prop::collection::vec(element, count)
                .prop_map(|elements| {
                    let mut data = Vec::new();
                    for element in elements {
                        data.extend_from_slice(
                            &u32::try_from(element.len()).unwrap().to_le_bytes(),
                        );
                        data.extend(element);
                    }
                    data
                })
                .boxed()
        }
        Some(_) if datatype == DataType::Bool => prop::collection::vec(0u8..2, count).boxed(),
        Some(size) => prop::collection::vec(any::<u8>(), count * size).boxed(),
    }
}

const HEAD: ResponseHead<'static> = ResponseHead {
    model_name: "m",
    model_version: Some("1"),
    id: Some("i"),
};

/// An answer's JSON, its outputs made the inputs of a request.
fn as_request(header: &[u8]) -> String {
    std::str::from_utf8(header)
        .unwrap()
        .replacen("\"outputs\":[", "\"inputs\":[", 1)
}

/// `values`, flat, as lists inside lists.
fn nested(values: &[&RawValue], shape: &[u64]) -> String {
    let Some((length, inner)) = shape.split_first() else {
        return values[0].get().to_owned();
    };
    let step = usize::try_from(inner.iter().product::<u64>()).unwrap();
    let items: Vec<_> = (0..usize::try_from(*length).unwrap())
        .map(|index| nested(&values[index * step..(index + 1) * step], inner))
        .collect();
    format!("[{}]", items.join(", "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn binary_round_trip(tensors in (any_tensor("a"), any_tensor("b"), any_tensor("c"))) {
        let tensors = [tensors.0, tensors.1, tensors.2];
        let response = encode_infer_response(HEAD, &tensors, |_| true).unwrap();
        let length = response.inference_header_content_length.unwrap();
        let (header, binary) = response.body.split_at(length);
        let request = decode_mixed(&as_request(header), binary).unwrap();
        prop_assert_eq!(request.id.as_deref(), Some("i"));
        prop_assert_eq!(&request.inputs[..], &tensors[..]);
    }

    #[test]
    fn mixed_round_trip(json in any_tensor("j"), binary in any_tensor("b")) {
        let tensors = [json, binary];
        match encode_infer_response(HEAD, &tensors, |name| name == "b") {
            Ok(response) => {
                let length = response.inference_header_content_length.unwrap();
                let (header, binary) = response.body.split_at(length);
                let request = decode_mixed(&as_request(header), binary).unwrap();
                prop_assert_eq!(&request.inputs[..], &tensors[..]);
            }
            Err(error) => {
                prop_assert!(!representable(&tensors[0]));
                let is_expected = matches!(error, KserveError::NotRepresentable { .. });
                prop_assert!(is_expected);
            }
        }
    }

    #[test]
    fn nested_data_reads_as_flat_data_does(tensor in any_tensor("x").prop_filter("JSON", representable)) {
        let response = encode_infer_response(HEAD, std::slice::from_ref(&tensor), |_| false).unwrap();
        let flat = as_request(&response.body);
        prop_assert_eq!(&decode_json(&flat).unwrap().inputs[0], &tensor);
        let (_, data) = flat.split_once("\"data\":").unwrap();
        let data = data.strip_suffix("}]}").unwrap();
        let values: Vec<&RawValue> = serde_json::from_str(data).unwrap();
        let again = super::one(tensor.datatype.name(), &format!("{:?}", tensor.shape), &nested(&values, &tensor.shape));
        prop_assert_eq!(again.unwrap(), tensor);
    }

    #[test]
    fn every_fp32_is_exact(bits in any::<u32>()) {
        let value = f32::from_bits(bits);
        prop_assume!(value.is_finite());
        for text in [format!("{value}"), format!("{value:e}"), format!("{}", f64::from(value))] {
            let data = super::one("FP32", "[1]", &format!("[{text}]")).unwrap().data;
            prop_assert_eq!(&data[..], &value.to_le_bytes()[..]);
        }
    }

    #[test]
    fn every_fp64_is_exact(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        for text in [format!("{value}"), format!("{value:e}")] {
            let data = super::one("FP64", "[1]", &format!("[{text}]")).unwrap().data;
            prop_assert_eq!(&data[..], &value.to_le_bytes()[..]);
        }
    }

    #[test]
    fn integers_are_themselves_or_refused(value in any::<i64>(), shift in 0u32..64) {
        let value = value >> shift;
        let refused = super::one("INT16", "[1]", &format!("[{value}]"));
        match i16::try_from(value) {
            Ok(value) => prop_assert_eq!(&refused.unwrap().data[..], &value.to_le_bytes()[..]),
            Err(_) => prop_assert_eq!(refused.unwrap_err().code(), "value-out-of-range"),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), length in 0usize..220) {
        let _ = decode_infer(InferHeaders::default(), body.clone().into());
        let length = length.to_string();
        let headers = InferHeaders { content_type: None, inference_header_content_length: Some(&length) };
        let _ = decode_infer(headers, body.into());
    }

    #[test]
    fn near_requests_never_panic(
        datatype in 0..DataType::ALL.len(),
        shape in "\\[([0-9]{1,20},){0,3}[0-3]\\]",
        data in "[\\[\\]\\{\\}\",:0-9eE.+tfn\\\\ -]{0,24}",
    ) {
        let _ = super::one(DataType::ALL[datatype].name(), &shape, &data);
    }

    #[test]
    fn a_request_with_one_byte_changed_never_panics(tensor in any_tensor("x"), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let response = encode_infer_response(HEAD, &[tensor], |_| true).unwrap();
        let length = response.inference_header_content_length.unwrap();
        let json = as_request(&response.body[..length]);
        let mut body = [json.as_bytes(), &response.body[length..]].concat();
        let at = at.index(body.len());
        body[at] = byte;
        let length = json.len().to_string();
        let headers = InferHeaders { content_type: None, inference_header_content_length: Some(&length) };
        if let Ok(request) = decode_infer(headers, Bytes::from(body)) {
            for input in &request.inputs {
                prop_assert_eq!(input.validate(), Ok(()));
            }
        }
    }
}

/// Whether JSON can carry the tensor: no NaN, no infinity, and strings of UTF-8.
fn representable(tensor: &Tensor) -> bool {
    let data = &tensor.data;
    match tensor.datatype {
        DataType::Fp16 => data
            .as_chunks()
            .0
            .iter()
            .all(|raw| half::f16::from_le_bytes(*raw).is_finite()),
        DataType::Bf16 => data
            .as_chunks()
            .0
            .iter()
            .all(|raw| half::bf16::from_le_bytes(*raw).is_finite()),
        DataType::Fp32 => data
            .as_chunks()
            .0
            .iter()
            .all(|raw| f32::from_le_bytes(*raw).is_finite()),
        DataType::Fp64 => data
            .as_chunks()
            .0
            .iter()
            .all(|raw| f64::from_le_bytes(*raw).is_finite()),
        DataType::Bytes => crate::tensor::BytesElements::new(data)
            .all(|element| std::str::from_utf8(element.unwrap()).is_ok()),
        _ => true,
    }
}
