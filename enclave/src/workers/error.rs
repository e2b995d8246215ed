//! What can go wrong with a worker, in words for the caller and with a stable code.

use std::time::Duration;

use crate::tensor::{DataType, TensorError};
use crate::worker::wire::{Fault, FaultCode, WireError};

/// An error of a worker or of a call to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// ONNX Runtime does not take the model.
    #[error("the model cannot be loaded: {message}")]
    ModelInvalid {
        /// ONNX Runtime's words.
        message: String,
    },
    /// The model alone exceeds the function's memory.
    #[error("the model has {model} bytes, more than the function's memory of {limit}")]
    ModelTooLarge {
        /// Bytes of the model.
        model: u64,
        /// The function's memory.
        limit: u64,
    },
    /// An input or output of the model is no tensor of a type that v2 names.
    #[error("the model cannot be served: {message}")]
    UnsupportedType {
        /// Which one, and what it is.
        message: String,
    },
    /// An input of the model is missing from the call.
    #[error("input `{name}` is missing")]
    InputMissing {
        /// Its name.
        name: String,
    },
    /// The call has an input that the model has not.
    #[error("the model has no input `{name}`")]
    InputUnknown {
        /// The name given.
        name: String,
    },
    /// The call has an input twice.
    #[error("input `{name}` is given twice")]
    InputTwice {
        /// Its name.
        name: String,
    },
    /// The call asks for an output that the model has not.
    #[error("the model has no output `{name}`")]
    OutputUnknown {
        /// The name given.
        name: String,
    },
    /// The call asks for an output twice.
    #[error("output `{name}` is asked for twice")]
    OutputTwice {
        /// Its name.
        name: String,
    },
    /// An input's shape does not fit.
    #[error(
        "input `{name}` has shape {actual:?}; the model takes {expected:?}, −1 standing for any length"
    )]
    WrongShape {
        /// Name of the input.
        name: String,
        /// The model's shape.
        expected: Vec<i64>,
        /// The call's shape.
        actual: Vec<u64>,
    },
    /// An input's type does not fit.
    #[error("input `{name}` is {actual}; the model takes {expected}")]
    WrongType {
        /// Name of the input.
        name: String,
        /// The model's type.
        expected: DataType,
        /// The call's type.
        actual: DataType,
    },
    /// An input's data do not fit its type and shape.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An input's data cannot be given to the model.
    #[error("{message}")]
    WrongData {
        /// Which input, and why.
        message: String,
    },
    /// ONNX Runtime failed on these inputs.
    #[error("inference failed: {message}")]
    InferenceFailed {
        /// ONNX Runtime's words.
        message: String,
    },
    /// The outputs are larger than allowed.
    #[error("inference gave too much: {message}")]
    OutputTooLarge {
        /// How much.
        message: String,
    },
    /// Inference took longer than the function's limit, and was stopped.
    #[error("inference took longer than {limit:?} and was stopped")]
    InferenceTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The function's memory limit was reached.
    #[error("the function's memory limit was reached: {message}")]
    MemoryLimit {
        /// ONNX Runtime's words.
        message: String,
    },
    /// The worker died.
    #[error("the worker died: {reason}")]
    WorkerCrashed {
        /// How, as far as the supervisor knows.
        reason: String,
    },
    /// The worker said something it must not; it was stopped.
    #[error("the worker was stopped because it broke the protocol: {reason}")]
    WorkerProtocol {
        /// What it did.
        reason: String,
    },
    /// The worker was not ready in time.
    #[error("the model was not loaded within {limit:?}")]
    LoadTimeout {
        /// The limit.
        limit: Duration,
    },
    /// The worker could not be started.
    #[error("the worker cannot be started: {reason}")]
    WorkerUnavailable {
        /// Why.
        reason: String,
    },
    /// Walls that have to stand do not.
    #[error("the worker is not isolated well enough to run: {reason}")]
    Isolation {
        /// Which are missing.
        reason: String,
    },
    /// Too many calls wait already.
    #[error("the function has too many calls waiting")]
    Overloaded,
    /// The function is being removed.
    #[error("the function is stopping")]
    Stopping,
}

impl WorkerError {
    /// Stable code, for answers and logs.
    pub fn code(&self) -> &'static str {
        match self {
            WorkerError::ModelInvalid { .. } => "model-invalid",
            WorkerError::ModelTooLarge { .. } => "model-too-large",
            WorkerError::UnsupportedType { .. } => "unsupported-type",
            WorkerError::InputMissing { .. } => "input-missing",
            WorkerError::InputUnknown { .. } => "input-unknown",
            WorkerError::InputTwice { .. } => "input-twice",
            WorkerError::OutputUnknown { .. } => "output-unknown",
            WorkerError::OutputTwice { .. } => "output-twice",
            WorkerError::WrongShape { .. } => "wrong-shape",
            WorkerError::WrongType { .. } => "wrong-type",
            WorkerError::Tensor(error) => error.code(),
            WorkerError::WrongData { .. } => "wrong-data",
            WorkerError::InferenceFailed { .. } => "inference-failed",
            WorkerError::OutputTooLarge { .. } => "output-too-large",
            WorkerError::InferenceTimeout { .. } => "inference-timeout",
            WorkerError::MemoryLimit { .. } => "memory-limit",
            WorkerError::WorkerCrashed { .. } => "worker-crashed",
            WorkerError::WorkerProtocol { .. } => "worker-protocol",
            WorkerError::LoadTimeout { .. } => "load-timeout",
            WorkerError::WorkerUnavailable { .. } => "worker-unavailable",
            WorkerError::Isolation { .. } => "isolation-missing",
            WorkerError::Overloaded => "overloaded",
            WorkerError::Stopping => "stopping",
        }
    }

    /// Whether the call itself was at fault, so that asking again the same way is no use (HTTP 400).
    pub fn is_callers(&self) -> bool {
        matches!(
            self,
            WorkerError::InputMissing { .. }
                | WorkerError::InputUnknown { .. }
                | WorkerError::InputTwice { .. }
                | WorkerError::OutputUnknown { .. }
                | WorkerError::OutputTwice { .. }
                | WorkerError::WrongShape { .. }
                | WorkerError::WrongType { .. }
                | WorkerError::Tensor(_)
                | WorkerError::WrongData { .. }
                | WorkerError::InferenceFailed { .. }
        )
    }

    /// HTTP status of an answer that consists of this error.
    pub fn http_status(&self) -> u16 {
        match self {
            error if error.is_callers() => 400,
            WorkerError::Overloaded => 429,
            WorkerError::InferenceTimeout { .. } => 504,
            WorkerError::OutputTooLarge { .. } | WorkerError::MemoryLimit { .. } => 500,
            WorkerError::WorkerProtocol { .. } => 500,
            _ => 503,
        }
    }

    /// Whether the worker is gone after this error.
    pub(super) fn worker_is_lost(&self) -> bool {
        matches!(
            self,
            WorkerError::InferenceTimeout { .. }
                | WorkerError::WorkerCrashed { .. }
                | WorkerError::WorkerProtocol { .. }
        )
    }

    /// What may stand in a log about a worker that knows a caller's data: its words could hold some, even where
    /// only the supervisor puts them together.
    pub(super) fn for_log(&self) -> String {
        match self {
            WorkerError::WorkerCrashed { .. } | WorkerError::InferenceTimeout { .. } => {
                format!("{}: {self}", self.code())
            }
            _ => self.code().to_owned(),
        }
    }
}

impl From<Fault> for WorkerError {
    fn from(fault: Fault) -> Self {
        let message = fault.message;
        match fault.code {
            FaultCode::RuntimeUnavailable => WorkerError::WorkerUnavailable { reason: message },
            FaultCode::Isolation => WorkerError::Isolation { reason: message },
            FaultCode::ModelInvalid => WorkerError::ModelInvalid { message },
            FaultCode::UnsupportedType => WorkerError::UnsupportedType { message },
            FaultCode::MemoryLimit => WorkerError::MemoryLimit { message },
            FaultCode::WrongData => WorkerError::WrongData { message },
            FaultCode::InferenceFailed => WorkerError::InferenceFailed { message },
            FaultCode::OutputTooLarge => WorkerError::OutputTooLarge { message },
        }
    }
}

impl From<WireError> for WorkerError {
    fn from(error: WireError) -> Self {
        WorkerError::WorkerProtocol {
            reason: error.to_string(),
        }
    }
}
