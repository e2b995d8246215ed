//! A function under load and under fire: workers die, and callers hardly notice.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod worker_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nacre_enclave::tensor::{DataType, Tensor};
use nacre_enclave::workers::{
    FunctionEvent, FunctionEventKind, FunctionRunner, WorkerConfig, WorkerError,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use worker_support::{config, floats, integers, is_running, onnx, tensor};

async fn runner(
    config: WorkerConfig,
    model: Bytes,
) -> (Arc<FunctionRunner>, mpsc::Receiver<FunctionEvent>) {
    let (sender, events) = mpsc::channel(64);
    let runner = FunctionRunner::start("f", config, model, sender)
        .await
        .unwrap();
    (Arc::new(runner), events)
}

async fn event(events: &mut mpsc::Receiver<FunctionEvent>, kind: FunctionEventKind) -> String {
    let next = async {
        loop {
            let event = events.recv().await.unwrap();
            assert_eq!(&*event.function, "f");
            if event.kind == kind {
                return event.message;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), next)
        .await
        .unwrap()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

fn pair() -> Vec<Tensor> {
    vec![floats("a", &[1.0, 2.0]), floats("b", &[3.0, 4.0])]
}

fn counting(n: i64) -> Vec<Tensor> {
    let x = tensor("x", DataType::Fp32, &[], 0f32.to_le_bytes().to_vec());
    vec![integers("n", &[], &[n]), x]
}

#[tokio::test]
async fn a_worker_killed_idle_is_replaced_before_anyone_calls() {
    let (runner, mut events) = runner(config(), onnx::arithmetic()).await;
    event(&mut events, FunctionEventKind::Started).await;
    let first = runner.pid().await.unwrap();
    let killed = Instant::now();
    kill(first);
    let lost = event(&mut events, FunctionEventKind::WorkerLost).await;
    assert!(lost.contains("killed by signal 9"), "{lost}");
    event(&mut events, FunctionEventKind::Started).await;
    println!("replaced in {:?}", killed.elapsed());
    assert!(runner.is_ready());
    assert_ne!(runner.pid().await, Some(first));
    let output = runner.infer(pair(), None).await.unwrap();
    assert_eq!(output.outputs[0], floats("sum", &[4.0, 6.0]));
}

#[tokio::test]
async fn a_call_whose_worker_is_killed_is_answered_by_the_next() {
    let (runner, mut events) = runner(config(), onnx::loops()).await;
    event(&mut events, FunctionEventKind::Started).await;
    let pid = runner.pid().await.unwrap();
    let call = tokio::spawn({
        let runner = runner.clone();
        async move { runner.infer(counting(1_000_000), None).await }
    });
    busy(pid).await;
    kill(pid);
    let output = call.await.unwrap().unwrap();
    assert_eq!(
        output.outputs[0].data,
        1_000_000f32.to_le_bytes().as_slice()
    );
    event(&mut events, FunctionEventKind::WorkerLost).await;
}

/// Waits until the process has computed for a while.
async fn busy(pid: u32) {
    let ticks = || -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.split_whitespace().nth(13).unwrap().parse().unwrap()
    };
    let before = ticks();
    while ticks() < before + 5 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_load_cost_no_answer() {
    let (runner, _events) = runner(config(), onnx::arithmetic()).await;
    let until = Instant::now() + Duration::from_secs(2);
    let calls: Vec<_> = (0..8u16)
        .map(|caller| {
            let runner = runner.clone();
            tokio::spawn(async move {
                let (mut answers, mut errors) = (0u32, Vec::new());
                let a = f32::from(caller);
                while Instant::now() < until {
                    let inputs = vec![floats("a", &[a, 1.0]), floats("b", &[1.0, 2.0])];
                    match runner.infer(inputs, None).await {
                        Ok(output) => {
                            assert_eq!(output.outputs[0], floats("sum", &[a + 1.0, 3.0]));
                            assert_eq!(output.outputs[1], floats("product", &[a, 2.0]));
                            answers += 1;
                        }
                        Err(error) => errors.push(error),
                    }
                }
                (answers, errors)
            })
        })
        .collect();
    let mut kills = 0;
    let mut pace = tokio::time::interval(Duration::from_millis(150));
    while Instant::now() < until {
        if let Some(pid) = runner.pid().await {
            kill(pid);
            kills += 1;
        }
        pace.tick().await;
    }
    let (mut answers, mut errors) = (0, Vec::new());
    for call in calls {
        let (some, wrong) = call.await.unwrap();
        answers += some;
        errors.extend(wrong);
    }
    println!("{kills} kills, {answers} right answers, errors {errors:?}");
    assert!(kills >= 5 && answers > 100);
    assert!(
        errors.iter().all(|error| error.code() == "worker-crashed"),
        "{errors:?}"
    );
    runner.infer(pair(), None).await.unwrap();
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_alone() {
    let mut config = config();
    config.infer_timeout = Duration::from_millis(300);
    let (runner, mut events) = runner(config, onnx::loops()).await;
    let pid = runner.pid().await.unwrap();
    let error = runner.infer(counting(i64::MAX), None).await.unwrap_err();
    assert_eq!(error.code(), "inference-timeout");
    let output = runner.infer(counting(3), None).await.unwrap();
    assert_eq!(output.outputs[0].data, 3f32.to_le_bytes().as_slice());
    assert!(!is_running(pid));
    let lost = event(&mut events, FunctionEventKind::WorkerLost).await;
    assert!(lost.starts_with("inference-timeout"), "{lost}");
}

#[tokio::test]
async fn calls_beyond_the_queue_are_turned_away() {
    let mut config = config();
    config.max_queue = 2;
    config.infer_timeout = Duration::from_secs(1);
    let (runner, _events) = runner(config, onnx::loops()).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let runner = runner.clone();
            tokio::spawn(async move { runner.infer(counting(i64::MAX), None).await })
        })
        .collect();
    // On one thread, the three have taken their places when this has yielded once.
    tokio::task::yield_now().await;
    let turned_away = Instant::now();
    assert_eq!(
        runner.infer(counting(1), None).await,
        Err(WorkerError::Overloaded)
    );
    assert!(turned_away.elapsed() < Duration::from_millis(100));
    let mut codes = Vec::new();
    for call in waiting {
        codes.push(call.await.unwrap().unwrap_err().code());
    }
    assert_eq!(codes[0], "inference-timeout");
    assert!(codes[1..].contains(&"overloaded"), "{codes:?}");
    runner.infer(counting(1), None).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_goes_away_costs_no_worker() {
    let (runner, _events) = runner(config(), onnx::loops()).await;
    let pid = runner.pid().await.unwrap();
    let call = tokio::spawn({
        let runner = runner.clone();
        async move { runner.infer(counting(1_000_000), None).await }
    });
    busy(pid).await;
    call.abort();
    let output = runner.infer(counting(2), None).await.unwrap();
    assert_eq!(output.outputs[0].data, 2f32.to_le_bytes().as_slice());
    assert_eq!(runner.pid().await, Some(pid));
}

#[tokio::test]
async fn a_dropped_function_leaves_no_process() {
    let (runner, mut events) = runner(config(), onnx::loops()).await;
    let pid = runner.pid().await.unwrap();
    let call = tokio::spawn({
        let runner = runner.clone();
        async move { runner.infer(counting(i64::MAX), None).await }
    });
    busy(pid).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    drop(runner);
    event(&mut events, FunctionEventKind::Stopped).await;
    let gone = async {
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            tokio::task::yield_now().await;
        }
        // Every task that could send an event has ended.
        while events.recv().await.is_some() {}
    };
    tokio::time::timeout(Duration::from_secs(2), gone)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_model_that_loads_no_more_is_tried_again_at_growing_distances() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("nacre-worker");
    let link = |to: &str| {
        let _ = std::fs::remove_file(&program);
        std::os::unix::fs::symlink(to, &program).unwrap();
    };
    link(env!("CARGO_BIN_EXE_nacre-worker"));
    let config = WorkerConfig {
        worker_bin: program.clone(),
        ..config()
    };
    let (runner, mut events) = runner(config, onnx::arithmetic()).await;
    let pid = runner.pid().await.unwrap();
    link("/nonexistent");
    kill(pid);
    let failed = event(&mut events, FunctionEventKind::RestartFailed).await;
    assert_eq!(failed, "worker-unavailable; next attempt in 100ms");
    let failed = event(&mut events, FunctionEventKind::RestartFailed).await;
    assert_eq!(failed, "worker-unavailable; next attempt in 200ms");
    assert!(!runner.is_ready());
    let error = runner.infer(pair(), None).await.unwrap_err();
    assert_eq!(error.code(), "worker-unavailable");
    link(env!("CARGO_BIN_EXE_nacre-worker"));
    event(&mut events, FunctionEventKind::Started).await;
    runner.infer(pair(), None).await.unwrap();
}

/// A figure to look at, as in `worker_models`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_through_the_runner() {
    let (runner, _events) = runner(config(), onnx::arithmetic()).await;
    // As a connection's task does, on a thread of the runtime.
    let calls = tokio::spawn(async move {
        let mut times = Vec::new();
        for _ in 0..2000 {
            let started = Instant::now();
            runner.infer(pair(), None).await.unwrap();
            times.push(started.elapsed());
        }
        times.sort();
        times
    });
    let times = calls.await.unwrap();
    println!("runner p50 {:?}, p99 {:?}", times[1000], times[1980]);
    assert!(times[1000] < Duration::from_millis(5), "{:?}", times[1000]);
}
