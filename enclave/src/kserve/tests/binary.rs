//! The binary tensor extension.

use super::{decode_json, decode_mixed, le, tensor};
use crate::kserve::{InferHeaders, decode_infer};
use crate::tensor::DataType;

fn header(datatype: DataType, shape: &[u64], size: usize) -> String {
    format!(
        r#"{{"inputs":[{{"name":"x","shape":{shape:?},"datatype":"{datatype}","parameters":{{"binary_data_size":{size}}}}}]}}"#
    )
}

#[test]
fn every_datatype() {
    let two: [(DataType, Vec<u8>); 14] = [
        (DataType::Bool, vec![1, 0]),
        (DataType::Uint8, le![7u8, 255u8]),
        (DataType::Uint16, le![7u16, u16::MAX]),
        (DataType::Uint32, le![7u32, u32::MAX]),
        (DataType::Uint64, le![7u64, u64::MAX]),
        (DataType::Int8, le![-7i8, i8::MAX]),
        (DataType::Int16, le![-7i16, i16::MAX]),
        (DataType::Int32, le![-7i32, i32::MAX]),
        (DataType::Int64, le![-7i64, i64::MAX]),
        (DataType::Fp16, le![half::f16::NAN, half::f16::ONE]),
        (DataType::Bf16, le![half::bf16::INFINITY, half::bf16::ONE]),
        (DataType::Fp32, le![f32::NAN, 0.1f32]),
        (DataType::Fp64, le![f64::NEG_INFINITY, 0.1f64]),
        (DataType::Bytes, b"\x00\0\0\0\x02\0\0\0\xff\xfe".to_vec()),
    ];
    for (datatype, data) in two {
        let request = decode_mixed(&header(datatype, &[2], data.len()), &data).unwrap();
        assert_eq!(request.inputs, [tensor("x", datatype, &[2], &data)]);
        // One element too many for the data.
        let error = decode_mixed(&header(datatype, &[3], data.len()), &data).unwrap_err();
        assert_eq!(error.code(), "tensor-length", "{datatype}");
    }
}

#[test]
fn binary_and_json_inputs_mix_in_any_order() {
    let json = r#"{"inputs":[
        {"name":"a","shape":[2],"datatype":"INT16","parameters":{"binary_data_size":4}},
        {"name":"b","shape":[2],"datatype":"INT16","data":[3,4]},
        {"parameters":{"binary_data_size":0,"other":"ignored"},"name":"c","shape":[0],"datatype":"FP32"},
        {"name":"d","shape":[],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}"#;
    let request = decode_mixed(json, &[1, 0, 2, 0, 9]).unwrap();
    assert_eq!(
        request.inputs,
        [
            tensor("a", DataType::Int16, &[2], &[1, 0, 2, 0]),
            tensor("b", DataType::Int16, &[2], &[3, 0, 4, 0]),
            tensor("c", DataType::Fp32, &[0], &[]),
            tensor("d", DataType::Uint8, &[], &[9]),
        ]
    );
}

#[test]
fn binary_tensors_share_the_bodys_memory() {
    let json = header(DataType::Uint8, &[1000], 1000);
    let body = bytes::Bytes::from([json.as_bytes(), &[5; 1000]].concat());
    let length = json.len().to_string();
    let headers = InferHeaders {
        content_type: None,
        inference_header_content_length: Some(&length),
    };
    let request = decode_infer(headers, body.clone()).unwrap();
    assert_eq!(request.inputs[0].data.as_ptr(), body[json.len()..].as_ptr());
}

#[test]
fn sizes_must_add_up_to_the_body() {
    let json = header(DataType::Uint8, &[4], 4);
    for binary in [&[1u8, 2, 3][..], &[1, 2, 3, 4, 5], &[]] {
        assert_eq!(
            decode_mixed(&json, binary).unwrap_err().code(),
            "binary-length"
        );
    }
    // Sizes that overflow when added.
    let input = |name| {
        format!(
            r#"{{"name":"{name}","shape":[1],"datatype":"UINT8","parameters":{{"binary_data_size":{}}}}}"#,
            u64::MAX
        )
    };
    let json = format!(
        r#"{{"inputs":[{},{},{}]}}"#,
        input("a"),
        input("b"),
        input("c")
    );
    assert_eq!(
        decode_mixed(&json, &[1]).unwrap_err().code(),
        "binary-length"
    );
    // JSON only, with bytes after it.
    let json = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}]}"#;
    assert_eq!(
        decode_mixed(json, &[0]).unwrap_err().code(),
        "binary-length"
    );
    assert!(decode_mixed(json, &[]).is_ok());
}

#[test]
fn the_header_length_is_checked() {
    let body = header(DataType::Uint8, &[1], 1) + "\u{1}";
    for length in [
        "",
        "abc",
        "-1",
        "+5",
        "1.0",
        "0",
        "99999",
        "99999999999999999999999",
    ] {
        let headers = InferHeaders {
            content_type: None,
            inference_header_content_length: Some(length),
        };
        let error = decode_infer(headers, body.clone().into()).unwrap_err();
        assert_eq!(error.code(), "invalid-header-length", "{length}");
    }
    let without = decode_json(&header(DataType::Uint8, &[1], 1)).unwrap_err();
    assert_eq!(without.code(), "invalid-header-length");
    assert!(without.to_string().contains("is missing"));
    // A length that ends inside the JSON.
    let headers = InferHeaders {
        content_type: None,
        inference_header_content_length: Some("20"),
    };
    assert_eq!(
        decode_infer(headers, body.into()).unwrap_err().code(),
        "malformed-json"
    );
}

#[test]
fn the_size_is_a_number_and_data_is_given_once() {
    for size in ["-1", "1.0", "\"1\"", "true", "1e0"] {
        let json = format!(
            r#"{{"inputs":[{{"name":"x","shape":[1],"datatype":"UINT8","parameters":{{"binary_data_size":{size}}}}}]}}"#
        );
        assert_eq!(
            decode_mixed(&json, &[1]).unwrap_err().code(),
            "invalid-parameter",
            "{size}"
        );
    }
    let json = r#"{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1],"parameters":{"binary_data_size":1}}]}"#;
    assert_eq!(
        decode_mixed(json, &[1]).unwrap_err().code(),
        "conflicting-data"
    );
}

#[test]
fn the_content_is_checked() {
    let error = decode_mixed(&header(DataType::Bool, &[2], 2), &[1, 2]).unwrap_err();
    assert_eq!(error.code(), "tensor-data");
    for data in [&b"\x05\0\0\0abc"[..], b"\xff\xff\xff\xffabc", b"\0\0\0"] {
        let error = decode_mixed(&header(DataType::Bytes, &[1], data.len()), data).unwrap_err();
        assert_eq!(error.code(), "tensor-data");
    }
}
