//! Requests that are wrong as a whole, and the limits.

use http::StatusCode;

use super::{decode_json, one};
use crate::kserve::{
    InferHeaders, KserveError, MAX_ID, MAX_NAME, MAX_PARAMETERS, MAX_RANK, MAX_TENSORS,
    ParameterValue, decode_infer, error_body,
};

const X: &str = r#"{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}"#;

fn code(json: &str) -> &'static str {
    let error = decode_json(json).unwrap_err();
    assert_eq!(error.status(), StatusCode::BAD_REQUEST);
    error.code()
}

#[test]
fn what_is_not_json() {
    for text in [
        "",
        " ",
        "{",
        "nonsense",
        "{\"inputs\":[}",
        "{\"inputs\":[]}x",
        "\u{feff}{\"inputs\":[]}",
    ] {
        assert_eq!(code(text), "malformed-json", "{text:?}");
    }
    let error =
        decode_infer(InferHeaders::default(), (&b"{\"id\":\"\xff\"}"[..]).into()).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().contains("byte 7")),
        ("malformed-json", true)
    );
}

#[test]
fn what_is_json_but_no_request() {
    for text in [
        "[]",
        "null",
        "7",
        "[null,null,[],null]",
        r#"{"inputs":{}}"#,
        r#"{"inputs":[7]}"#,
        r#"{"inputs":[["x","UINT8",[1],[1],null]]}"#,
        r#"{"inputs":[],"inputs":[]}"#,
        r#"{"inputs":[],"id":7}"#,
        r#"{"inputs":[{"name":"x","name":"y"}]}"#,
        r#"{"inputs":[],"parameters":[]}"#,
        r#"{"inputs":[],"parameters":{"a":1,"a":2}}"#,
        r#"{"inputs":[],"outputs":[["y"]]}"#,
    ] {
        assert_eq!(code(text), "invalid-request", "{text}");
    }
}

#[test]
fn deep_nesting_is_harmless() {
    let deep = "[".repeat(100_000);
    assert_eq!(
        one("UINT8", "[1]", &deep).unwrap_err().code(),
        "malformed-json"
    );
    let closed = deep + &"]".repeat(100_000);
    assert_eq!(
        one("UINT8", "[1]", &closed).unwrap_err().code(),
        "tensor-nesting"
    );
    assert_eq!(
        one("UINT8", &closed, "[1]").unwrap_err().code(),
        "invalid-shape"
    );
    assert!(decode_json(&format!(r#"{{"inputs":[{X}],"unknown":{closed}}}"#)).is_ok());
}

#[test]
fn missing_fields_are_named() {
    for (json, words) in [
        ("{}", "the request has no `inputs`"),
        (r#"{"inputs":null}"#, "the request has no `inputs`"),
        (r#"{"inputs":[{}]}"#, "input 0 has no `name`"),
        (
            r#"{"inputs":[{"name":"x"}]}"#,
            "input `x` has no `datatype`",
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FP32"}]}"#,
            "input `x` has no `shape`",
        ),
        (
            r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1]}]}"#,
            "input `x` has no `data`",
        ),
        (r#"{"inputs":[],"outputs":[{}]}"#, "output 0 has no `name`"),
    ] {
        let error = decode_json(json).unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            ("missing-field", words)
        );
    }
}

#[test]
fn datatypes_and_shapes() {
    for datatype in ["", "fp32", "FP8", "STRING", "TYPE_FP32"] {
        assert_eq!(
            one(datatype, "[1]", "[1]").unwrap_err().code(),
            "unknown-datatype"
        );
    }
    for shape in [
        "7",
        "[-1]",
        "[1.0]",
        "[\"1\"]",
        "[[1]]",
        "{}",
        "[18446744073709551616]",
    ] {
        assert_eq!(
            one("UINT8", shape, "[1]").unwrap_err().code(),
            "invalid-shape",
            "{shape}"
        );
    }
    let ones = |rank| format!("[{}]", vec!["1"; rank].join(","));
    assert!(one("UINT8", &ones(MAX_RANK), "[1]").is_ok());
    assert_eq!(
        one("UINT8", &ones(MAX_RANK + 1), "[1]").unwrap_err().code(),
        "too-many"
    );
}

#[test]
fn huge_claimed_shapes_are_refused_without_memory() {
    for shape in [
        "[18446744073709551615]",
        "[9223372036854775807]",
        "[4294967296,4294967296]",
        "[0,9223372036854775807,9223372036854775807]",
        "[3037000500,3037000500]",
    ] {
        for datatype in ["UINT8", "FP64", "BYTES"] {
            let error = one(datatype, shape, "[]").unwrap_err();
            assert_eq!(error.code(), "invalid-shape", "{datatype} {shape}");
        }
    }
    // Within 64 bits, far beyond any memory: were it reserved, this would abort.
    for datatype in ["UINT8", "FP64"] {
        let error = one(datatype, "[1048576,1048576,1024]", "[1,2,3]").unwrap_err();
        assert!(
            matches!(error, KserveError::ElementCount { found: 3, .. }),
            "{error}"
        );
    }
    assert_eq!(
        one("BYTES", "[1152921504606846975]", "[]")
            .unwrap_err()
            .code(),
        "tensor-length"
    );
}

#[test]
fn names_ids_and_duplicates() {
    let named = |name: &str| {
        decode_json(&format!(
            r#"{{"inputs":[{}]}}"#,
            X.replace("\"x\"", &format!("\"{name}\""))
        ))
    };
    assert!(named(&"n".repeat(MAX_NAME)).is_ok());
    for name in ["", &"n".repeat(MAX_NAME + 1)] {
        assert_eq!(named(name).unwrap_err().code(), "invalid-name");
    }
    let with_id =
        |length| decode_json(&format!(r#"{{"inputs":[],"id":"{}"}}"#, "i".repeat(length)));
    assert_eq!(with_id(MAX_ID).unwrap().id.unwrap().len(), MAX_ID);
    assert_eq!(with_id(MAX_ID + 1).unwrap_err().code(), "invalid-name");
    assert_eq!(
        code(&format!(r#"{{"inputs":[{X},{X}]}}"#)),
        "duplicate-tensor"
    );
    assert_eq!(
        code(r#"{"inputs":[],"outputs":[{"name":"y"},{"name":"y"}]}"#),
        "duplicate-tensor"
    );
}

#[test]
fn lists_are_limited() {
    let inputs = |count: usize| {
        let inputs: Vec<_> = (0..count)
            .map(|index| X.replace("\"x\"", &format!("\"x{index}\"")))
            .collect();
        decode_json(&format!(r#"{{"inputs":[{}]}}"#, inputs.join(",")))
    };
    assert_eq!(inputs(MAX_TENSORS).unwrap().inputs.len(), MAX_TENSORS);
    let error = inputs(MAX_TENSORS + 2).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the request has 258 inputs, more than the limit of 256"
    );
    let outputs = vec!["{}"; MAX_TENSORS + 1].join(",");
    assert_eq!(
        code(&format!(r#"{{"inputs":[],"outputs":[{outputs}]}}"#)),
        "too-many"
    );

    let parameters = |count: usize| {
        let parameters: Vec<_> = (0..count)
            .map(|index| format!("\"p{index}\":{index}"))
            .collect();
        decode_json(&format!(
            r#"{{"inputs":[],"parameters":{{{}}}}}"#,
            parameters.join(",")
        ))
    };
    assert_eq!(
        parameters(MAX_PARAMETERS).unwrap().parameters.len(),
        MAX_PARAMETERS
    );
    assert_eq!(
        parameters(MAX_PARAMETERS + 1).unwrap_err().code(),
        "too-many"
    );
}

#[test]
fn content_types() {
    let with = |content_type| {
        let headers = InferHeaders {
            content_type: Some(content_type),
            inference_header_content_length: None,
        };
        decode_infer(headers, (&b"{\"inputs\":[]}"[..]).into())
    };
    for content_type in [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/octet-stream",
    ] {
        assert!(with(content_type).is_ok(), "{content_type}");
    }
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "",
        "application/jsonp",
    ] {
        let error = with(content_type).unwrap_err();
        assert_eq!(error.code(), "unsupported-media-type");
        assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

#[test]
fn parameters_that_would_change_the_answer() {
    for parameter in [
        "shared_memory_region",
        "shared_memory_byte_size",
        "shared_memory_offset",
    ] {
        let json = X.replace(
            "\"data\"",
            &format!("\"parameters\":{{\"{parameter}\":1}},\"data\""),
        );
        assert_eq!(
            code(&format!(r#"{{"inputs":[{json}]}}"#)),
            "unsupported-parameter"
        );
    }
    let json = r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"shared_memory_region":1}}]}"#;
    assert_eq!(code(json), "unsupported-parameter");
    for count in ["0", "-1", "1.5", "\"3\"", "true"] {
        let json = format!(
            r#"{{"inputs":[],"outputs":[{{"name":"y","parameters":{{"classification":{count}}}}}]}}"#
        );
        assert_eq!(code(&json), "invalid-parameter");
    }
    for json in [
        r#"{"inputs":[],"parameters":{"binary_data_output":1}}"#,
        r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"binary_data":"yes"}}]}"#,
    ] {
        assert_eq!(code(json), "invalid-parameter");
    }
}

#[test]
fn unknown_fields_and_parameters_are_ignored() {
    let json = r#"{"model":"m","future":[{"a":[1]}],"parameters":{"headers":{"a":[{}]},"list":[1,[]],"b":true,"i":-3,"u":18446744073709551615,"f":0.5,"s":"t"},
        "inputs":[{"layout":{"x":1},"name":"x","shape":[1],"datatype":"UINT8","data":[1],"parameters":{"hint":0.5}}],
        "outputs":[{"name":"y","future":null,"parameters":{"hint":"z","none":null}}]}"#;
    let request = decode_json(json).unwrap();
    let value = |name: &str| request.parameters[name].clone();
    assert_eq!(value("headers"), ParameterValue::Other);
    assert_eq!(value("list"), ParameterValue::Other);
    assert_eq!(value("b"), ParameterValue::Bool(true));
    assert_eq!(value("i"), ParameterValue::Integer(-3));
    assert_eq!(value("u"), ParameterValue::Integer(u64::MAX.into()));
    assert_eq!(value("f"), ParameterValue::Float(0.5));
    assert_eq!(value("s"), ParameterValue::String("t".into()));
    assert!(!request.wants_binary("y"));
}

#[test]
fn outputs_choose_binary_each_or_all() {
    let request = |outputs: &str, default: bool| {
        decode_json(&format!(
            r#"{{"inputs":[],"parameters":{{"binary_data_output":{default}}}{outputs}}}"#
        ))
        .unwrap()
    };
    let all = request("", true);
    assert_eq!(
        (all.outputs.is_none(), all.wants_binary("any")),
        (true, true)
    );
    assert!(request(r#","outputs":[]"#, false).outputs.is_none());
    let outputs = r#","outputs":[{"name":"a","parameters":{"binary_data":true}},{"name":"b","parameters":{"binary_data":false}},{"name":"c"}]"#;
    for default in [true, false] {
        let request = request(outputs, default);
        let wants = ["a", "b", "c"].map(|name| request.wants_binary(name));
        assert_eq!(wants, [true, false, default]);
    }
}

#[test]
fn error_bodies_have_the_protocols_shape() {
    let error = one("UINT8", "[1]", "[\"a\\\"\"]").unwrap_err();
    let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
    assert_eq!(body["code"], "wrong-value");
    assert_eq!(body["error"], error.to_string());
    assert_eq!(
        error_body("a-b", "c \"d\"\n"),
        r#"{"error":"c \"d\"\n","code":"a-b"}"#
    );
}

#[test]
fn errors_stay_short_whatever_the_request_says() {
    let long = "\u{1}é".repeat(5_000).replace('\u{1}', "\\u0001");
    for json in [
        format!(r#"{{"inputs":"{long}"}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"{long}","shape":[1],"data":[1]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":"{long}","data":[1]}}]}}"#),
        format!(r#"{{"inputs":[{{"name":"x","datatype":"FP32","shape":[1],"data":["{long}"]}}]}}"#),
    ] {
        assert!(decode_json(&json).unwrap_err().to_string().len() < 600);
    }
}
