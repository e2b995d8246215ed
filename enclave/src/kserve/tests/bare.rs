//! Tensors without a word around them.

use bytes::Bytes;
use proptest::prelude::*;

use super::{le, tensor};
use crate::kserve::{InferHeaders, InferRequest, decode_bare, encode_bare, is_bare};
use crate::tensor::{DataType, ModelSpec, TensorSpec};

fn model(inputs: &[(&str, DataType, &[i64])]) -> ModelSpec {
    let spec = |(name, datatype, shape): &(&str, DataType, &[i64])| TensorSpec {
        name: (*name).to_owned(),
        datatype: *datatype,
        shape: shape.to_vec(),
    };
    ModelSpec {
        inputs: inputs.iter().map(spec).collect(),
        outputs: Vec::new(),
    }
}

fn decode(model: &ModelSpec, body: &[u8]) -> Result<InferRequest, String> {
    decode_bare(InferHeaders::default(), Bytes::copy_from_slice(body), model)
        .map_err(|error| format!("{}: {error}", error.code()))
}

#[test]
fn the_media_type_tells() {
    for given in [
        "application/vnd.nacre.tensors",
        "Application/VND.nacre.Tensors ; v=1",
    ] {
        assert!(is_bare(Some(given)), "{given}");
    }
    for given in [
        None,
        Some(""),
        Some("application/json"),
        Some("application/octet-stream"),
    ] {
        assert!(!is_bare(given), "{given:?}");
    }
}

#[test]
fn the_body_is_cut_as_the_model_says() {
    let model = model(&[
        ("image", DataType::Uint8, &[-1, 2, 2]),
        ("scale", DataType::Fp32, &[]),
    ]);
    let body = [&[1u8, 2, 3, 4, 5, 6, 7, 8][..], &le![0.5f32]].concat();
    let request = decode(&model, &body).unwrap();
    assert!(request.bare);
    assert_eq!(
        request.inputs,
        [
            tensor("image", DataType::Uint8, &[2, 2, 2], &body[..8]),
            tensor("scale", DataType::Fp32, &[], &body[8..]),
        ]
    );
    assert_eq!(request.check(&model), Ok(()));
}

#[test]
fn what_cannot_be_cut_is_refused() {
    let image = model(&[("image", DataType::Uint8, &[1, 2, 2])]);
    for body in [&[][..], &[0; 3], &[0; 5]] {
        let said = decode(&image, body).unwrap_err();
        let wanted = format!(
            "bare-tensors: the model's inputs take 4 bytes, the body has {}",
            body.len()
        );
        assert_eq!(said, wanted);
    }
    let batch = model(&[("x", DataType::Fp32, &[-1, 2])]);
    assert_eq!(
        decode(&batch, &[0; 12]).unwrap_err(),
        "bare-tensors: the model's inputs take 0 bytes and a multiple of 8, the body has 12"
    );
    for (model, code) in [
        (model(&[("x", DataType::Fp32, &[-1, -1])]), "bare-tensors"),
        (model(&[("x", DataType::Bytes, &[1])]), "bare-tensors"),
        (
            model(&[("x", DataType::Fp32, &[i64::MAX, i64::MAX])]),
            "bare-tensors",
        ),
        (model(&[("x", DataType::Uint8, &[-1, 0])]), "bare-tensors"),
        (model(&[("x", DataType::Bool, &[4])]), "tensor-data"),
    ] {
        let said = decode(&model, &[2; 4]).unwrap_err();
        assert!(said.starts_with(code), "{said}");
    }
}

#[test]
fn a_length_of_json_is_refused() {
    let headers = InferHeaders {
        content_type: None,
        inference_header_content_length: Some("0"),
    };
    let model = model(&[("x", DataType::Uint8, &[1])]);
    let error = decode_bare(headers, Bytes::from_static(&[0]), &model).unwrap_err();
    assert_eq!(error.code(), "invalid-header-length");
}

#[test]
fn outputs_follow_each_other_and_a_malformed_one_is_the_workers_fault() {
    let class = tensor("class", DataType::Uint8, &[1], &[7]);
    let score = tensor("score", DataType::Int16, &[1], &[1, 2]);
    let answer = encode_bare(&[class.clone(), score]).unwrap();
    assert_eq!(&answer.body[..], [7, 1, 2]);
    assert_eq!(answer.content_type, "application/vnd.nacre.tensors");
    assert_eq!(answer.inference_header_content_length, None);
    let short = tensor("score", DataType::Int16, &[1], &[1]);
    let error = encode_bare(&[class, short]).unwrap_err();
    assert_eq!(error.code(), "malformed-output");
}

proptest! {
    /// Whatever the model's shapes: what is taken fits the model, and its data is the body.
    #[test]
    fn no_byte_is_lost_or_made_up(
        shapes in prop::collection::vec(prop::collection::vec(-1i64..4, 0..4), 0..4),
        body in prop::collection::vec(0u8..2, 0..64),
    ) {
        let names = ["a", "b", "c", "d"];
        let inputs: Vec<_> = names.iter().zip(&shapes)
            .map(|(name, shape)| (*name, DataType::Uint8, &shape[..]))
            .collect();
        let model = model(&inputs);
        if let Ok(request) = decode(&model, &body) {
            prop_assert_eq!(request.check(&model), Ok(()));
            let data: Vec<u8> = request.inputs.iter().flat_map(|input| input.data.to_vec()).collect();
            prop_assert_eq!(data, body);
        }
    }
}
