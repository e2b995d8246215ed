//! Answers.

use half::{bf16, f16};
use serde_json::{Value, json};

use super::{le, tensor};
use crate::kserve::{
    EncodedResponse, JSON, KserveError, OCTET_STREAM, ResponseHead, encode_infer_response,
};
use crate::tensor::{DataType, Tensor};

const HEAD: ResponseHead<'static> = ResponseHead {
    model_name: "iris",
    model_version: Some("1"),
    id: Some("a\"b"),
};

fn encode(outputs: &[Tensor], binary: &[&str]) -> Result<EncodedResponse, KserveError> {
    encode_infer_response(HEAD, outputs, |name| binary.contains(&name))
}

/// The text of the one output's `data`.
fn data(datatype: DataType, data: &[u8]) -> Result<String, KserveError> {
    let size = datatype.element_size().unwrap();
    let output = tensor(
        "y",
        datatype,
        &[u64::try_from(data.len() / size).unwrap()],
        data,
    );
    let response = encode(&[output], &[])?;
    let text = String::from_utf8(response.body.to_vec()).unwrap();
    let (_, data) = text.split_once("\"data\":").unwrap();
    Ok(data.strip_suffix("}]}").unwrap().to_owned())
}

#[test]
fn json_only() {
    let response = encode(
        &[tensor("y", DataType::Int16, &[1, 2], &le![1i16, -2i16])],
        &[],
    )
    .unwrap();
    assert_eq!(
        response.body,
        r#"{"model_name":"iris","model_version":"1","id":"a\"b","outputs":[{"name":"y","datatype":"INT16","shape":[1,2],"data":[1,-2]}]}"#
    );
    assert_eq!(
        (
            response.content_type,
            response.inference_header_content_length
        ),
        (JSON, None)
    );
    let head = ResponseHead {
        model_name: "m",
        model_version: None,
        id: None,
    };
    let response = encode_infer_response(head, &[], |_| true).unwrap();
    assert_eq!(response.body, r#"{"model_name":"m","outputs":[]}"#);
    assert_eq!(response.inference_header_content_length, None);
}

#[test]
fn binary_and_json_mixed() {
    let outputs = [
        tensor("a", DataType::Fp32, &[2], &le![1f32, f32::NAN]),
        tensor("b", DataType::Bool, &[], &[1]),
        tensor("c", DataType::Bytes, &[1], b"\x02\0\0\0\xff\xfe"),
    ];
    let response = encode(&outputs, &["a", "c"]).unwrap();
    assert_eq!(response.content_type, OCTET_STREAM);
    let length = response.inference_header_content_length.unwrap();
    let (header, binary) = response.body.split_at(length);
    assert_eq!(
        serde_json::from_slice::<Value>(header).unwrap()["outputs"],
        json!([
            {"name": "a", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
            {"name": "b", "datatype": "BOOL", "shape": [], "data": [true]},
            {"name": "c", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}},
        ])
    );
    assert_eq!(binary, [&outputs[0].data[..], &outputs[2].data].concat());
}

#[test]
fn numbers_are_shortest_and_whole() {
    let text = |datatype, bytes: Vec<u8>| data(datatype, &bytes).unwrap();
    assert_eq!(text(DataType::Bool, vec![1, 0]), "[true,false]");
    assert_eq!(text(DataType::Uint8, le![255u8, 0u8]), "[255,0]");
    assert_eq!(text(DataType::Uint16, le![u16::MAX]), "[65535]");
    assert_eq!(text(DataType::Uint32, le![u32::MAX]), "[4294967295]");
    assert_eq!(
        text(DataType::Uint64, le![u64::MAX]),
        "[18446744073709551615]"
    );
    assert_eq!(text(DataType::Int8, le![i8::MIN]), "[-128]");
    assert_eq!(text(DataType::Int16, le![i16::MIN]), "[-32768]");
    assert_eq!(text(DataType::Int32, le![i32::MIN]), "[-2147483648]");
    assert_eq!(
        text(DataType::Int64, le![i64::MIN]),
        "[-9223372036854775808]"
    );
    assert_eq!(
        text(DataType::Fp16, le![f16::from_f32(0.1), f16::MAX]),
        "[0.099975586,65504.0]"
    );
    assert_eq!(text(DataType::Bf16, le![bf16::from_f32(0.5)]), "[0.5]");
    assert_eq!(
        text(DataType::Fp32, le![0.1f32, -0.0f32, 16777216f32]),
        "[0.1,-0.0,16777216.0]"
    );
    assert_eq!(
        text(DataType::Fp64, le![0.1f64, 1f64 / 3f64]),
        "[0.1,0.3333333333333333]"
    );
}

#[test]
fn strings_are_escaped() {
    let output = tensor(
        "y",
        DataType::Bytes,
        &[3],
        b"\x02\0\0\0a\"\x00\0\0\0\x03\0\0\0\xc3\xa9\n",
    );
    let response = encode(&[output], &[]).unwrap();
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["outputs"][0]["data"], json!(["a\"", "", "é\n"]));
}

#[test]
fn what_json_cannot_carry_asks_for_binary() {
    for (datatype, bytes, index) in [
        (DataType::Fp16, le![f16::ONE, f16::NAN], 1),
        (DataType::Bf16, le![bf16::NEG_INFINITY], 0),
        (DataType::Fp32, le![1f32, 2f32, f32::INFINITY], 2),
        (DataType::Fp64, le![f64::NAN], 0),
    ] {
        let error = data(datatype, &bytes).unwrap_err();
        assert_eq!(error.code(), "not-representable");
        assert!(error.to_string().contains("\"binary_data\": true"));
        assert!(matches!(error, KserveError::NotRepresentable { index: i, .. } if i == index));
    }
    let output = tensor("y", DataType::Bytes, &[1], b"\x01\0\0\0\xff");
    assert_eq!(
        encode(&[output], &[]).unwrap_err().code(),
        "not-representable"
    );
}

#[test]
fn malformed_outputs_are_the_servers_fault() {
    for output in [
        tensor("y", DataType::Fp32, &[2], &[0; 7]),
        tensor("y", DataType::Fp32, &[u64::MAX, 2], &[]),
        tensor("y", DataType::Bool, &[1], &[2]),
        tensor("y", DataType::Bytes, &[1], b"\xff\xff\xff\xff"),
    ] {
        for binary in [&["y"][..], &[]] {
            let error = encode(std::slice::from_ref(&output), binary).unwrap_err();
            assert_eq!(error.code(), "malformed-output");
            assert_eq!(error.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
}
