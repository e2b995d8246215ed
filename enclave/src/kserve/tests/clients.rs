//! Requests as `tritonclient[http]` sends them: JSON without spaces, keys in its order, binary by default, and no
//! content type.

use std::io::Write;

use super::{le, tensor};
use crate::kserve::{InferHeaders, ModelAction, RequestedOutput, Route, decode_body, decode_infer};
use crate::tensor::DataType;

const BINARY: &str = concat!(
    r#"{"id":"1","inputs":[{"name":"input_ids","shape":[1,3],"datatype":"INT64","parameters":{"binary_data_size":24}},"#,
    r#"{"name":"text","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":13}}],"#,
    r#""outputs":[{"name":"last_hidden_state","parameters":{"binary_data":true}},{"name":"pooled","parameters":{"binary_data":false}}]}"#
);

#[test]
fn binary_inputs_and_named_outputs() {
    let mut body = BINARY.as_bytes().to_vec();
    body.extend(le![101i64, 2023i64, 102i64]);
    body.extend(b"\x02\0\0\0hi\x03\0\0\0you");
    let length = BINARY.len().to_string();
    let headers = InferHeaders {
        content_type: None,
        inference_header_content_length: Some(&length),
    };
    let request = decode_infer(headers, body.into()).unwrap();
    assert_eq!(request.id.as_deref(), Some("1"));
    assert_eq!(
        request.inputs,
        [
            tensor(
                "input_ids",
                DataType::Int64,
                &[1, 3],
                &le![101i64, 2023i64, 102i64]
            ),
            tensor("text", DataType::Bytes, &[2], b"\x02\0\0\0hi\x03\0\0\0you"),
        ]
    );
    let output = |name: &str, binary| RequestedOutput {
        name: name.into(),
        binary,
        classes: None,
    };
    assert_eq!(
        request.outputs,
        Some(vec![
            output("last_hidden_state", true),
            output("pooled", false)
        ])
    );
}

#[test]
fn json_inputs_and_all_outputs() {
    let body = r#"{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[5.099999904632568,3.5,1.399999976158142,0.20000000298023224]}],"parameters":{"binary_data_output":true}}"#;
    let request = decode_infer(InferHeaders::default(), body.into()).unwrap();
    assert_eq!(
        request.inputs,
        [tensor(
            "x",
            DataType::Fp32,
            &[1, 4],
            &le![5.1f32, 3.5f32, 1.4f32, 0.2f32]
        )]
    );
    assert!(request.outputs.is_none());
    assert!(request.wants_binary("anything"));
}

#[test]
fn compressed_bodies_keep_the_decoded_header_length() {
    let json = r#"{"inputs":[{"name":"x","shape":[2],"datatype":"INT8","parameters":{"binary_data_size":2}}],"parameters":{"binary_data_output":true}}"#;
    let body = [json.as_bytes(), &[1, 2]].concat();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&body).unwrap();
    let sent = encoder.finish().unwrap();

    let decoded = decode_body(Some("gzip"), sent.into(), 1 << 20).unwrap();
    let length = json.len().to_string();
    let headers = InferHeaders {
        content_type: Some("application/octet-stream"),
        inference_header_content_length: Some(&length),
    };
    let request = decode_infer(headers, decoded).unwrap();
    assert_eq!(request.inputs, [tensor("x", DataType::Int8, &[2], &[1, 2])]);
}

#[test]
fn the_paths_it_asks_for() {
    let model = |version: Option<&str>, action| Route::Model {
        name: "iris-regression".into(),
        version: version.map(Into::into),
        action,
    };
    for (method, path, route) in [
        ("GET", "/v2", Route::ServerMetadata),
        ("GET", "/v2/health/live", Route::Live),
        ("GET", "/v2/health/ready", Route::Ready),
        (
            "GET",
            "/v2/models/iris-regression",
            model(None, ModelAction::Metadata),
        ),
        (
            "GET",
            "/v2/models/iris-regression/ready",
            model(None, ModelAction::Ready),
        ),
        (
            "GET",
            "/v2/models/iris-regression/versions/1/ready",
            model(Some("1"), ModelAction::Ready),
        ),
        (
            "GET",
            "/v2/models/iris-regression/config",
            model(None, ModelAction::Config),
        ),
        (
            "GET",
            "/v2/models/iris-regression/versions/1/stats",
            model(Some("1"), ModelAction::Stats),
        ),
        (
            "POST",
            "/v2/models/iris-regression/infer",
            model(None, ModelAction::Infer),
        ),
        ("POST", "/v2/repository/index", Route::RepositoryIndex),
    ] {
        assert_eq!(
            Route::parse(&method.parse().unwrap(), path),
            Ok(route),
            "{path}"
        );
    }
}

/// tritonclient's `InferRequestedOutput("p", class_count=2)`.
#[test]
fn a_classification() {
    let body = r#"{"inputs":[],"outputs":[{"name":"p","parameters":{"classification":2,"binary_data":true}},{"name":"q","parameters":{"binary_data":true}}]}"#;
    let request = decode_infer(InferHeaders::default(), body.as_bytes().into()).unwrap();
    assert_eq!(request.wants_classes("p").map(usize::from), Some(2));
    assert_eq!(request.wants_classes("q"), None);
    assert!(request.wants_binary("p"));
}
