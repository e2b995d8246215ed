//! Metadata bodies, field by field as clients read them.

use serde_json::{Value, json};

use crate::kserve::{
    ModelStatistics, live, model_config, model_metadata, model_ready, model_statistics, ready,
    repository_index, server_metadata,
};
use crate::tensor::{DataType, ModelSpec, TensorSpec};

fn value(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn model() -> ModelSpec {
    let spec = |name: &str, datatype, shape: &[i64]| TensorSpec {
        name: name.into(),
        datatype,
        shape: shape.to_vec(),
    };
    ModelSpec {
        inputs: vec![spec("rows", DataType::Fp32, &[-1, 4])],
        outputs: vec![
            spec("label", DataType::Bytes, &[-1]),
            spec("p", DataType::Bf16, &[]),
        ],
    }
}

#[test]
fn server_and_health() {
    assert_eq!(
        server_metadata("0.1.0"),
        r#"{"name":"nacre","version":"0.1.0","extensions":["binary_tensor_data","classification","model_configuration","model_repository","statistics"]}"#
    );
    assert_eq!(live(true), r#"{"live":true}"#);
    assert_eq!(ready(false), r#"{"ready":false}"#);
    assert_eq!(model_ready("iris", true), r#"{"name":"iris","ready":true}"#);
}

#[test]
fn models() {
    assert_eq!(
        value(&model_metadata("iris", "1", &model())),
        json!({
            "name": "iris", "versions": ["1"], "platform": "onnxruntime_onnx",
            "inputs": [{"name": "rows", "datatype": "FP32", "shape": [-1, 4]}],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "p", "datatype": "BF16", "shape": []},
            ],
        })
    );
    assert_eq!(
        value(&model_config("iris", &model())),
        json!({
            "name": "iris", "platform": "onnxruntime_onnx", "max_batch_size": 0,
            "input": [{"name": "rows", "data_type": "TYPE_FP32", "dims": [-1, 4]}],
            "output": [
                {"name": "label", "data_type": "TYPE_STRING", "dims": [-1]},
                {"name": "p", "data_type": "TYPE_BF16", "dims": []},
            ],
        })
    );
}

#[test]
fn statistics() {
    let statistics = ModelStatistics {
        success_count: 3,
        success_ns: 30,
        fail_count: 1,
        fail_ns: 5,
        queue_ns: 6,
        compute_ns: 21,
        execution_count: 2,
        last_inference_ms: 1_700_000_000_000,
    };
    assert_eq!(
        value(&model_statistics("iris", "1", &statistics)),
        json!({"model_stats": [{
            "name": "iris", "version": "1", "last_inference": 1_700_000_000_000u64,
            "inference_count": 3, "execution_count": 2,
            "inference_stats": {
                "success": {"count": 3, "ns": 30},
                "fail": {"count": 1, "ns": 5},
                "queue": {"count": 3, "ns": 6},
                "compute_infer": {"count": 3, "ns": 21},
            },
            "batch_stats": [],
        }]})
    );
}

#[test]
fn index() {
    assert_eq!(
        value(&repository_index([("a", "1"), ("b", "2")])),
        json!([
            {"name": "a", "version": "1", "state": "READY", "reason": ""},
            {"name": "b", "version": "2", "state": "READY", "reason": ""},
        ])
    );
    assert_eq!(repository_index([]), "[]");
}
