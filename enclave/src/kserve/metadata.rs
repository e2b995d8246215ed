//! The protocol's other bodies: server, models, readiness, and the Triton extensions that common clients ask for
//! (model configuration, statistics, repository index).

use bytes::Bytes;
use serde::Serialize;

use super::json_write::to_bytes;
use crate::tensor::{DataType, ModelSpec, TensorSpec};

const SERVER: &str = "nacre";
const PLATFORM: &str = "onnxruntime_onnx";
const EXTENSIONS: [&str; 5] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "statistics",
];

/// `GET /v2`.
pub fn server_metadata(version: &str) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        version: &'a str,
        extensions: &'a [&'a str],
    }
    to_bytes(&Body {
        name: SERVER,
        version,
        extensions: &EXTENSIONS,
    })
}

/// `GET /v2/health/live`. The status says the same: 200 or 503.
pub fn live(live: bool) -> Bytes {
    #[derive(Serialize)]
    struct Body {
        live: bool,
    }
    to_bytes(&Body { live })
}

/// `GET /v2/health/ready`. The status says the same: 200 or 503.
pub fn ready(ready: bool) -> Bytes {
    #[derive(Serialize)]
    struct Body {
        ready: bool,
    }
    to_bytes(&Body { ready })
}

/// `GET /v2/models/{name}/ready`. The status says the same: 200 or 503.
pub fn model_ready(name: &str, ready: bool) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        ready: bool,
    }
    to_bytes(&Body { name, ready })
}

/// `GET /v2/models/{name}`.
pub fn model_metadata(name: &str, version: &str, model: &ModelSpec) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        versions: [&'a str; 1],
        platform: &'a str,
        inputs: Vec<Described<'a>>,
        outputs: Vec<Described<'a>>,
    }
    #[derive(Serialize)]
    struct Described<'a> {
        name: &'a str,
        datatype: &'a str,
        shape: &'a [i64],
    }
    fn describe(tensors: &[TensorSpec]) -> Vec<Described<'_>> {
        tensors
            .iter()
            .map(|tensor| Described {
                name: &tensor.name,
                datatype: tensor.datatype.name(),
                shape: &tensor.shape,
            })
            .collect()
    }
    to_bytes(&Body {
        name,
        versions: [version],
        platform: PLATFORM,
        inputs: describe(&model.inputs),
        outputs: describe(&model.outputs),
    })
}

/// `GET /v2/models/{name}/config` (Triton's model configuration extension). Shapes are whole, hence
/// `max_batch_size` 0.
pub fn model_config(name: &str, model: &ModelSpec) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        platform: &'a str,
        max_batch_size: u32,
        input: Vec<Described<'a>>,
        output: Vec<Described<'a>>,
    }
    #[derive(Serialize)]
    struct Described<'a> {
        name: &'a str,
        data_type: String,
        dims: &'a [i64],
    }
    fn describe(tensors: &[TensorSpec]) -> Vec<Described<'_>> {
        tensors
            .iter()
            .map(|tensor| Described {
                name: &tensor.name,
                data_type: config_type(tensor.datatype),
                dims: &tensor.shape,
            })
            .collect()
    }
    to_bytes(&Body {
        name,
        platform: PLATFORM,
        max_batch_size: 0,
        input: describe(&model.inputs),
        output: describe(&model.outputs),
    })
}

fn config_type(datatype: DataType) -> String {
    match datatype {
        DataType::Bytes => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{}", other.name()),
    }
}

/// Counts of a model's inferences since its worker came up; times are sums in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelStatistics {
    /// Requests that were answered.
    pub success_count: u64,
    /// From a request's arrival to its answer, those that were answered.
    pub success_ns: u64,
    /// Requests that failed in the model.
    pub fail_count: u64,
    /// From a request's arrival to its failure.
    pub fail_ns: u64,
    /// Waiting for the model.
    pub queue_ns: u64,
    /// Computing.
    pub compute_ns: u64,
    /// Runs of the model; fewer than requests where several were answered by one run.
    pub execution_count: u64,
    /// When the last request came, in milliseconds since 1970; 0 where none has.
    pub last_inference_ms: u64,
}

/// `GET /v2/models/{name}/stats` (Triton's statistics extension).
pub fn model_statistics(name: &str, version: &str, statistics: &ModelStatistics) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        model_stats: [Model<'a>; 1],
    }
    #[derive(Serialize)]
    struct Model<'a> {
        name: &'a str,
        version: &'a str,
        last_inference: u64,
        inference_count: u64,
        execution_count: u64,
        inference_stats: Stages,
        batch_stats: [(); 0],
    }
    #[derive(Serialize)]
    struct Stages {
        success: Stage,
        fail: Stage,
        queue: Stage,
        compute_infer: Stage,
    }
    #[derive(Serialize)]
    struct Stage {
        count: u64,
        ns: u64,
    }
    let answered = |ns| Stage {
        count: statistics.success_count,
        ns,
    };
    to_bytes(&Body {
        model_stats: [Model {
            name,
            version,
            last_inference: statistics.last_inference_ms,
            inference_count: statistics.success_count,
            execution_count: statistics.execution_count,
            inference_stats: Stages {
                success: answered(statistics.success_ns),
                fail: Stage {
                    count: statistics.fail_count,
                    ns: statistics.fail_ns,
                },
                queue: answered(statistics.queue_ns),
                compute_infer: answered(statistics.compute_ns),
            },
            batch_stats: [],
        }],
    })
}

/// `POST /v2/repository/index` (Triton's model repository extension): the models that are ready, as name and version.
pub fn repository_index<'a>(models: impl IntoIterator<Item = (&'a str, &'a str)>) -> Bytes {
    #[derive(Serialize)]
    struct Entry<'a> {
        name: &'a str,
        version: &'a str,
        state: &'a str,
        reason: &'a str,
    }
    let entries: Vec<_> = models
        .into_iter()
        .map(|(name, version)| Entry {
            name,
            version,
            state: "READY",
            reason: "",
        })
        .collect();
    to_bytes(&entries)
}
