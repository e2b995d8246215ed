//! Real models in real workers: every type that v2 names, errors with codes, limits that hold.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod worker_support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use nacre_enclave::tensor::{DataType, Tensor};
use nacre_enclave::workers::{Worker, WorkerError};
use worker_support::{config, floats, integers, is_full_root, onnx, tensor};

async fn worker(model: Bytes) -> Worker {
    Worker::start(&config(), model).await.unwrap()
}

async fn refusal(model: impl Into<Bytes>) -> WorkerError {
    Worker::start(&config(), model.into()).await.unwrap_err()
}

#[tokio::test]
async fn all_walls_stand_around_a_root_enclaves_worker() {
    let worker = worker(onnx::arithmetic()).await;
    let missing = worker.isolation().missing();
    if is_full_root() {
        assert_eq!(missing, Vec::<&str>::new());
    }
    for always in ["no-new-privs", "rlimits", "landlock", "seccomp"] {
        assert!(!missing.contains(&always), "{missing:?}");
    }
    assert!(
        worker.isolation().landlock_abi >= 4,
        "{:?}",
        worker.isolation()
    );
}

#[tokio::test]
async fn the_model_says_what_it_takes() {
    let worker = worker(onnx::loops()).await;
    let spec = worker.spec();
    let names: Vec<_> = spec.inputs.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["n", "x"]);
    assert_eq!(spec.inputs[0].datatype, DataType::Int64);
    assert_eq!(spec.outputs[0].datatype, DataType::Fp32);
    let worker = self::worker(onnx::identity(onnx::FLOAT)).await;
    assert_eq!(worker.spec().inputs[0].shape, [-1]);
}

/// Two elements of each type, with bit patterns that no conversion would keep by chance.
fn samples() -> Vec<Tensor> {
    DataType::ALL
        .into_iter()
        .map(|datatype| match datatype.element_size() {
            None => tensor(
                "x",
                datatype,
                &[3],
                b"\x02\0\0\0\xc3\xa9\0\0\0\0\x01\0\0\0z".as_slice(),
            ),
            Some(_) if datatype == DataType::Bool => tensor("x", datatype, &[3], vec![1, 0, 1]),
            Some(size) => {
                let data: Vec<u8> = (0..size * 3).map(|i| (i * 37 + 3) as u8).collect();
                tensor("x", datatype, &[3], data)
            }
        })
        .collect()
}

#[tokio::test]
async fn every_type_of_v2_goes_in_and_out_unchanged() {
    for (input, ty) in samples().into_iter().zip(onnx::TYPES) {
        let mut worker = worker(onnx::identity(ty)).await;
        assert_eq!(worker.spec().inputs[0].datatype, input.datatype);
        let output = worker
            .infer(std::slice::from_ref(&input), None)
            .await
            .unwrap();
        let expected = Tensor {
            name: "y".into(),
            ..input.clone()
        };
        assert_eq!(output.outputs, [expected], "{}", input.datatype);
        let empty = tensor("x", input.datatype, &[0], Bytes::new());
        let output = worker.infer(&[empty], None).await.unwrap();
        assert_eq!(output.outputs[0].shape, [0], "{}", input.datatype);
        assert!(output.outputs[0].data.is_empty());
    }
}

#[tokio::test]
async fn outputs_come_as_asked() {
    let mut worker = worker(onnx::arithmetic()).await;
    let inputs = [floats("b", &[3.0, 4.0]), floats("a", &[1.0, 2.0])];
    let all = worker.infer(&inputs, None).await.unwrap();
    assert_eq!(
        all.outputs,
        [floats("sum", &[4.0, 6.0]), floats("product", &[3.0, 8.0])]
    );
    let some = worker
        .infer(&inputs, Some(&["product".to_owned()]))
        .await
        .unwrap();
    assert_eq!(some.outputs, [floats("product", &[3.0, 8.0])]);
    let turned = ["product".to_owned(), "sum".to_owned()];
    let both = worker.infer(&inputs, Some(&turned)).await.unwrap();
    assert_eq!(
        both.outputs,
        [floats("product", &[3.0, 8.0]), floats("sum", &[4.0, 6.0])]
    );
}

#[tokio::test]
async fn a_tensor_larger_than_any_buffer_goes_through() {
    let mut worker = worker(onnx::identity(onnx::FLOAT)).await;
    let values: Vec<f32> = (0..2_000_000).map(|i| i as f32).collect();
    let output = worker.infer(&[floats("x", &values)], None).await.unwrap();
    assert_eq!(output.outputs, [floats("y", &values)]);
}

#[tokio::test]
async fn several_threads_work_behind_the_walls() {
    let mut config = config();
    config.threads = 4;
    let mut worker = Worker::start(&config, onnx::arithmetic()).await.unwrap();
    let threads = std::fs::read_dir(format!("/proc/{}/task", worker.pid())).unwrap();
    // ONNX Runtime counts the calling thread as one of the four.
    assert_eq!(threads.count(), 4);
    let inputs = [floats("a", &[1.0, 2.0]), floats("b", &[3.0, 4.0])];
    let output = worker.infer(&inputs, None).await.unwrap();
    assert_eq!(output.outputs[0], floats("sum", &[4.0, 6.0]));
}

#[tokio::test]
async fn wrong_calls_have_codes_and_do_no_harm() {
    let mut worker = worker(onnx::arithmetic()).await;
    let (a, b) = (floats("a", &[1.0, 2.0]), floats("b", &[3.0, 4.0]));
    let wrong = [
        ("input-missing", vec![a.clone()]),
        (
            "input-unknown",
            vec![a.clone(), b.clone(), floats("c", &[1.0])],
        ),
        ("wrong-shape", vec![a.clone(), floats("b", &[1.0])]),
        ("wrong-type", vec![a.clone(), integers("b", &[2], &[1, 2])]),
        (
            "tensor-length",
            vec![a.clone(), tensor("b", DataType::Fp32, &[2], vec![0; 7])],
        ),
    ];
    for (code, inputs) in wrong {
        assert_eq!(worker.infer(&inputs, None).await.unwrap_err().code(), code);
    }
    let unknown = worker
        .infer(&[a.clone(), b.clone()], Some(&["z".to_owned()]))
        .await;
    assert_eq!(unknown.unwrap_err().code(), "output-unknown");
    let fine = worker.infer(&[a, b], None).await.unwrap();
    assert_eq!(fine.outputs[0], floats("sum", &[4.0, 6.0]));
}

#[tokio::test]
async fn bytes_have_to_be_text() {
    let mut worker = worker(onnx::identity(8)).await;
    for bad in [b"\x01\0\0\0\xff".as_slice(), b"\x01\0\0\0\0"] {
        let input = tensor("x", DataType::Bytes, &[1], bad);
        assert_eq!(
            worker.infer(&[input], None).await.unwrap_err().code(),
            "wrong-data"
        );
    }
    let input = tensor("x", DataType::Bytes, &[1], b"\x02\0\0\0ok".as_slice());
    assert_eq!(
        worker.infer(&[input], None).await.unwrap().outputs[0].data,
        b"\x02\0\0\0ok".as_slice()
    );
}

#[tokio::test]
async fn what_is_no_model_is_refused() {
    assert_eq!(
        refusal(b"not a model".as_slice()).await.code(),
        "model-invalid"
    );
    assert_eq!(refusal(Bytes::new()).await.code(), "model-invalid");
    let whole = onnx::arithmetic();
    assert_eq!(
        refusal(whole.slice(..whole.len() / 2)).await.code(),
        "model-invalid"
    );
    assert_eq!(refusal(onnx::sequence()).await.code(), "unsupported-type");
    assert_eq!(
        refusal(onnx::external_data("../etc/hostname")).await.code(),
        "model-invalid"
    );
    let mut small = config();
    small.memory_bytes = 1000;
    let error = Worker::start(&small, Bytes::from(vec![0; 1001]))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "model-too-large");
}

#[tokio::test]
async fn what_cannot_be_started_says_so() {
    let mut missing = config();
    missing.worker_bin = "/nonexistent/nacre-worker".into();
    let error = Worker::start(&missing, onnx::arithmetic())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "worker-unavailable");
    let mut missing = config();
    missing.onnxruntime = "/nonexistent/libonnxruntime.so".into();
    let error = Worker::start(&missing, onnx::arithmetic())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "worker-unavailable");
    assert!(
        error.to_string().contains("/nonexistent/libonnxruntime.so"),
        "{error}"
    );
}

#[tokio::test]
async fn memory_is_limited_and_the_worker_survives() {
    let mut worker = worker(onnx::zeros()).await;
    let small = worker
        .infer(&[integers("shape", &[1], &[3])], None)
        .await
        .unwrap();
    assert_eq!(small.outputs, [floats("y", &[0.0; 3])]);
    // 128 MB under a limit of 64.
    let error = worker
        .infer(&[integers("shape", &[1], &[32_000_000])], None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "memory-limit", "{error}");
    let again = worker
        .infer(&[integers("shape", &[1], &[2])], None)
        .await
        .unwrap();
    assert_eq!(again.outputs, [floats("y", &[0.0; 2])]);
}

#[tokio::test]
async fn an_input_beyond_the_memory_is_refused_and_the_worker_survives() {
    let mut worker = worker(onnx::identity(onnx::FLOAT)).await;
    let large = tensor("x", DataType::Fp32, &[25_000_000], vec![0; 100_000_000]);
    let error = worker.infer(&[large], None).await.unwrap_err();
    assert_eq!(error.code(), "memory-limit", "{error}");
    let small = worker.infer(&[floats("x", &[7.0])], None).await.unwrap();
    assert_eq!(small.outputs, [floats("y", &[7.0])]);
}

#[tokio::test]
async fn outputs_are_limited_and_the_worker_survives() {
    let mut config = config();
    config.max_output_bytes = 1000;
    let mut worker = Worker::start(&config, onnx::zeros()).await.unwrap();
    let error = worker
        .infer(&[integers("shape", &[1], &[251])], None)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "output-too-large");
    let fits = worker
        .infer(&[integers("shape", &[1], &[250])], None)
        .await
        .unwrap();
    assert_eq!(fits.outputs[0].data.len(), 1000);
}

#[tokio::test]
async fn what_takes_too_long_is_stopped() {
    let mut config = config();
    config.infer_timeout = Duration::from_millis(300);
    let mut worker = Worker::start(&config, onnx::loops()).await.unwrap();
    let quick = [
        integers("n", &[], &[5]),
        tensor("x", DataType::Fp32, &[], 1f32.to_le_bytes().to_vec()),
    ];
    let output = worker.infer(&quick, None).await.unwrap();
    assert_eq!(output.outputs[0].data, 6f32.to_le_bytes().as_slice());
    let endless = [integers("n", &[], &[i64::MAX]), quick[1].clone()];
    let started = Instant::now();
    let error = worker.infer(&endless, None).await.unwrap_err();
    assert_eq!(error.code(), "inference-timeout");
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// Not a promise of this test but a figure to look at: `cargo nextest run … --no-capture latency`.
#[tokio::test]
async fn latency_of_a_tiny_model() {
    let started = Instant::now();
    let mut worker = worker(onnx::arithmetic()).await;
    let start = started.elapsed();
    let inputs = [floats("b", &[3.0, 4.0]), floats("a", &[1.0, 2.0])];
    let mut times = Vec::new();
    for _ in 0..2000 {
        let started = Instant::now();
        let output = worker.infer(&inputs, None).await.unwrap();
        times.push(started.elapsed());
        assert_eq!(output.outputs.len(), 2);
    }
    times.sort();
    println!(
        "start {start:?}, infer p50 {:?}, p99 {:?}",
        times[1000], times[1980]
    );
    assert!(times[1000] < Duration::from_millis(5), "{:?}", times[1000]);
}
