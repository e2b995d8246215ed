//! What reaches the enclave: KServe requests from callers, frames from a worker that a hostile model may have taken over.
//!
//! Each function returns a refusal's code.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use bytes::Bytes;
use http::Method;
use nacre_enclave::kserve::{
    EncodedResponse, InferHeaders, InferRequest, KserveError, MAX_NAME, MAX_RANK, MAX_TENSORS,
    ModelAction, ResponseHead, Route, classify, decode_bare, decode_body, decode_infer,
    encode_bare, encode_infer_response, is_bare,
};
use nacre_enclave::tensor::{DataType, ModelSpec, Tensor, TensorSpec};
use nacre_enclave::worker::wire::{HEADER_LEN, Header, Message, WireError};
use serde_json::Value;

/// Longest body after decoding.
pub const BODY_LIMIT: usize = 64 * 1024;

const CLASSES: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Reads an inference request: three lines with the values of `content-encoding`, `content-type` and
/// `inference-header-content-length` (an empty one is absent), then the body as sent. Bare tensors are those of [`model`].
pub fn kserve_infer(data: &[u8]) -> Result<(), &'static str> {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let mut header = || -> Result<Option<&str>, &'static str> {
        let line = parts.next().ok_or("no-headers")?;
        let text = core::str::from_utf8(line).map_err(|_| "no-headers")?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    };
    let content_encoding = header()?;
    let headers = InferHeaders {
        content_type: header()?,
        inference_header_content_length: header()?,
    };
    let body = Bytes::copy_from_slice(parts.next().ok_or("no-headers")?);

    let decoded = decode_body(content_encoding, body, BODY_LIMIT)
        .inspect(|decoded| assert!(decoded.len() <= BODY_LIMIT))
        .and_then(|body| match is_bare(headers.content_type) {
            true => decode_bare(headers, body.clone(), &model()).inspect(|request| {
                assert_eq!(request.check(&model()), Ok(()));
                let again = encode_bare(&request.inputs).map(|answer| answer.body);
                assert_eq!(again, Ok(body));
            }),
            false => decode_infer(headers, body),
        });
    match decoded {
        Ok(request) => {
            check_request(&request);
            Ok(())
        }
        Err(error) => {
            check_error(&error.body(), error.code());
            assert!(error.status().is_client_error());
            Err(error.code())
        }
    }
}

/// Some pictures of four bytes, a number for all, and a yes or no.
fn model() -> ModelSpec {
    let input = |name: &str, datatype, shape: &[i64]| TensorSpec {
        name: name.to_owned(),
        datatype,
        shape: shape.to_vec(),
    };
    ModelSpec {
        inputs: vec![
            input("pictures", DataType::Uint8, &[-1, 2, 2]),
            input("number", DataType::Fp32, &[]),
            input("yes", DataType::Bool, &[1]),
        ],
        outputs: Vec::new(),
    }
}

fn check_request(request: &InferRequest) {
    assert!(request.inputs.len() <= MAX_TENSORS);
    let names: BTreeSet<_> = request.inputs.iter().map(|input| &input.name).collect();
    assert_eq!(names.len(), request.inputs.len());
    for input in &request.inputs {
        assert_eq!(input.validate(), Ok(()));
        assert!((1..=MAX_NAME).contains(&input.name.len()) && input.shape.len() <= MAX_RANK);
    }
    for output in request.outputs.iter().flatten() {
        assert_eq!(request.wants_binary(&output.name), output.binary);
        assert_eq!(request.wants_classes(&output.name), output.classes);
    }
    // As if the inputs were a model's outputs: what is chosen among them is a tensor.
    for output in &request.inputs {
        match classify(output, CLASSES, &["a: b".to_owned()]) {
            Ok(classes) => assert_eq!(classes.validate(), Ok(())),
            Err(error) => check_error(&error.body(), error.code()),
        }
    }
    // What was read is written, in both forms, and read again.
    match answered(&request.inputs, true) {
        Ok(answer) => assert_eq!(read_again(&answer), request.inputs),
        Err(error) => panic!("binary data carries everything: {error}"),
    }
    match answered(&request.inputs, false) {
        Ok(answer) => assert_eq!(read_again(&answer), request.inputs),
        Err(error) => assert!(matches!(error, KserveError::NotRepresentable { .. })),
    }
}

/// The inputs as if they were a model's outputs.
fn answered(tensors: &[Tensor], binary: bool) -> Result<EncodedResponse, KserveError> {
    let head = ResponseHead {
        model_name: "m",
        model_version: None,
        id: None,
    };
    encode_infer_response(head, tensors, |_| binary)
}

/// An answer read as a request: its outputs are the inputs.
fn read_again(answer: &EncodedResponse) -> Vec<Tensor> {
    let json_length = answer
        .inference_header_content_length
        .unwrap_or(answer.body.len());
    let (json, binary) = answer.body.split_at(json_length);
    let json = String::from_utf8_lossy(json).replacen("\"outputs\":[", "\"inputs\":[", 1);
    let length = json.len().to_string();
    let headers = InferHeaders {
        content_type: Some(answer.content_type),
        inference_header_content_length: answer.inference_header_content_length.map(|_| &*length),
    };
    match decode_infer(headers, [json.as_bytes(), binary].concat().into()) {
        Ok(request) => request.inputs,
        Err(error) => panic!("{json:?} cannot be read again: {error}"),
    }
}

/// Reads a request line, `METHOD path`: a name that is taken can be written and read again.
pub fn kserve_route(data: &[u8]) -> Result<(), &'static str> {
    let text = core::str::from_utf8(data).map_err(|_| "not-text")?;
    let (method, path) = text.split_once(' ').ok_or("no-method")?;
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "no-method")?;
    match Route::parse(&method, path) {
        Ok(route) => {
            if let Route::Model {
                name,
                version,
                action,
            } = &route
            {
                let names = version.iter().chain([name]);
                for name in names {
                    assert!((1..=MAX_NAME).contains(&name.len()));
                    assert!(!name.contains(char::is_control));
                }
                let path = written(name, version.as_deref(), *action);
                assert_eq!(Route::parse(&method, &path).as_ref(), Ok(&route), "{path}");
            }
            Ok(())
        }
        Err(error) => {
            check_error(&error.body(), error.code());
            assert!(error.status().is_client_error());
            Err(error.code())
        }
    }
}

fn written(name: &str, version: Option<&str>, action: ModelAction) -> String {
    let escaped = |name: &str| -> String { name.bytes().map(|b| format!("%{b:02x}")).collect() };
    let version = version.map(|version| format!("/versions/{}", escaped(version)));
    let action = match action {
        ModelAction::Metadata => "",
        ModelAction::Ready => "/ready",
        ModelAction::Config => "/config",
        ModelAction::Stats => "/stats",
        ModelAction::Infer => "/infer",
    };
    let name = escaped(name);
    format!("/v2/models/{name}{}{action}", version.unwrap_or_default())
}

/// An error's body is small, is JSON and has the code.
fn check_error(body: &[u8], code: &str) {
    assert!(body.len() <= 4096, "{} bytes of error", body.len());
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => assert!(json["code"] == code && json["error"].is_string()),
        Err(error) => panic!("an error's body is not JSON: {error}"),
    }
}

/// Reads a frame of the worker protocol, header and meta: what is taken has no second encoding.
pub fn worker_frame(data: &[u8]) -> Result<(), &'static str> {
    const MAX_BODY: u64 = 1 << 40;
    let (header, rest) = data.split_first_chunk::<HEADER_LEN>().ok_or("short")?;
    let decoded = Header::decode(header, MAX_BODY).and_then(|header| {
        assert!(header.body_len <= MAX_BODY);
        let meta = rest.get(..header.meta_len).ok_or(WireError::Short)?;
        Message::decode(&header, meta).map(|message| (message, meta))
    });
    match decoded {
        Ok((message, meta)) => {
            let again = message.encode();
            assert_eq!(again, Ok([header.as_slice(), meta].concat()));
            Ok(())
        }
        Err(error) => Err(match error {
            WireError::Reserved => "reserved",
            WireError::Kind { .. } => "kind",
            WireError::Version { .. } => "version",
            WireError::MetaTooLong { .. } => "meta-too-long",
            WireError::BodyTooLong { .. } => "body-too-long",
            WireError::BodyLength => "body-length",
            WireError::Short => "short",
            WireError::Trailing => "trailing",
            WireError::Limit { .. } => "limit",
            WireError::Text => "text",
            WireError::Value { .. } => "value",
            WireError::TensorLength { .. } => "tensor-length",
            _ => "other",
        }),
    }
}
