//! Requests against what the model takes.

use super::decode_json;
use crate::tensor::{DataType, ModelSpec, TensorSpec};

fn check(json: &str) -> Result<(), String> {
    let spec = |name: &str, datatype, shape: &[i64]| TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
    };
    let model = ModelSpec {
        inputs: vec![
            spec("a", DataType::Fp32, &[-1, 2]),
            spec("b", DataType::Int8, &[]),
        ],
        outputs: vec![spec("y", DataType::Fp32, &[-1])],
    };
    decode_json(json)
        .unwrap()
        .check(&model)
        .map_err(|error| format!("{}: {error}", error.code()))
}

const A: &str = r#"{"name":"a","datatype":"FP32","shape":[1,2],"data":[1,2]}"#;
const B: &str = r#"{"name":"b","datatype":"INT8","shape":[],"data":[1]}"#;

#[test]
fn a_request_that_fits() {
    assert_eq!(check(&format!(r#"{{"inputs":[{A},{B}]}}"#)), Ok(()));
    assert_eq!(
        check(&format!(
            r#"{{"inputs":[{B},{A}],"outputs":[{{"name":"y"}}]}}"#
        )),
        Ok(())
    );
    let empty = r#"{"name":"a","datatype":"FP32","shape":[0,2],"data":[]}"#;
    assert_eq!(check(&format!(r#"{{"inputs":[{empty},{B}]}}"#)), Ok(()));
}

#[test]
fn requests_that_do_not() {
    let with_a = |a: &str| format!(r#"{{"inputs":[{a},{B}]}}"#);
    for (json, expected) in [
        (
            format!(r#"{{"inputs":[{A}]}}"#),
            "missing-input: input `b` is missing",
        ),
        (
            with_a(&A.replace("\"a\"", "\"c\"")),
            "unknown-tensor: the model has no input `c`",
        ),
        (
            with_a(&A.replace("FP32", "FP64")),
            "wrong-datatype: input `a` is FP64, the model takes FP32",
        ),
        (
            with_a(&A.replace("[1,2],", "[2],")),
            "wrong-shape: input `a` has shape [2], the model takes [-1, 2] (-1: any length)",
        ),
        (
            with_a(&A.replace("[1,2],", "[2,1],")),
            "wrong-shape: input `a` has shape [2, 1], the model takes [-1, 2] (-1: any length)",
        ),
        (
            format!(r#"{{"inputs":[{A},{B}],"outputs":[{{"name":"z"}}]}}"#),
            "unknown-tensor: the model has no output `z`",
        ),
    ] {
        assert_eq!(check(&json).unwrap_err(), expected);
    }
}
