//! What supervisor and worker say to each other, as bytes.
//!
//! A frame is a header of 16 bytes, then `meta`, then `body`:
//!
//! | bytes | field |
//! |---|---|
//! | 0 | kind |
//! | 1–3 | zero |
//! | 4–7 | length of `meta`, little-endian |
//! | 8–15 | length of `body`, little-endian |
//!
//! `meta` is decoded here, at once and within [`MAX_META`]; `body` is raw data whose parts `meta` has announced
//! (the model's bytes, or one tensor after the other), so that each part is read straight into the memory where it
//! is needed. Decoding is a pure function of the bytes: it never panics, and refuses what encoding cannot produce.

mod codec;

pub use codec::WireError;

use crate::tensor::{DataType, ModelSpec};
use codec::{Decoder, Encoder};

/// Version of this protocol; supervisor and worker are built together, so only equality is accepted.
pub const VERSION: u16 = 1;
/// Length of a frame's header.
pub const HEADER_LEN: usize = 16;
/// Most bytes of `meta` in a frame.
pub const MAX_META: usize = 1 << 20;
/// Most tensors in a request or a result, and most inputs or outputs of a model.
pub const MAX_TENSORS: usize = 512;
/// Longest name of a tensor.
pub const MAX_NAME: usize = 1024;
/// Most dimensions of a tensor.
pub const MAX_RANK: usize = 32;
/// Longest message in a [`Fault`]; longer ones are cut.
pub const MAX_MESSAGE: usize = 2048;
/// Longest path in [`Configure`].
const MAX_PATH: usize = 4096;

/// The fixed part in front of each frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    kind: u8,
    /// Bytes of `meta` that follow, at most [`MAX_META`].
    pub meta_len: usize,
    /// Bytes of `body` that follow `meta`.
    pub body_len: u64,
}

impl Header {
    /// Reads a header; `max_body` is the most that its reader will take as a body.
    pub fn decode(bytes: &[u8; HEADER_LEN], max_body: u64) -> Result<Header, WireError> {
        let [kind, z1, z2, z3, m0, m1, m2, m3, body @ ..] = *bytes;
        if [z1, z2, z3] != [0; 3] {
            return Err(WireError::Reserved);
        }
        let meta_len = u32::from_le_bytes([m0, m1, m2, m3]) as usize;
        if meta_len > MAX_META {
            return Err(WireError::MetaTooLong { length: meta_len });
        }
        let body_len = u64::from_le_bytes(body);
        if body_len > max_body {
            return Err(WireError::BodyTooLong {
                length: body_len,
                limit: max_body,
            });
        }
        Ok(Header {
            kind,
            meta_len,
            body_len,
        })
    }
}

/// One frame without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Supervisor → worker, the first frame.
    Configure(Configure),
    /// Worker → supervisor: ONNX Runtime is loaded, the walls stand.
    Ready(Isolation),
    /// Supervisor → worker: the model, as body.
    Load {
        /// Bytes of the model.
        len: u64,
    },
    /// Worker → supervisor: the model is ready.
    Loaded(ModelSpec),
    /// Worker → supervisor: configuration or model cannot be used; the worker exits.
    Refused(Fault),
    /// Supervisor → worker: compute; the tensors' data are the body.
    Infer {
        /// Comes back in the answer.
        id: u64,
        /// What the body holds, in order.
        inputs: Vec<TensorHead>,
        /// Names of the outputs wanted, `None` for all.
        outputs: Option<Vec<String>>,
    },
    /// Worker → supervisor: the outputs, whose data are the body.
    Output {
        /// Of the request.
        id: u64,
        /// Time in ONNX Runtime.
        compute_micros: u32,
        /// What the body holds, in order.
        outputs: Vec<TensorHead>,
    },
    /// Worker → supervisor: this inference failed; the worker lives on.
    Failed {
        /// Of the request.
        id: u64,
        /// Why.
        fault: Fault,
    },
}

/// How a worker is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configure {
    /// Path of libonnxruntime.
    pub onnxruntime: String,
    /// Most private memory the worker may use beyond what it needs before any model, in bytes.
    pub memory_bytes: u64,
    /// User and group id to become, where the worker is started as root.
    pub uid: Option<u32>,
    /// Most bytes of outputs that one inference may give.
    pub max_output_bytes: u64,
    /// Threads within an operator.
    pub threads: u16,
    /// Whether the supervisor has put the worker into its own PID namespace.
    pub pid_namespace: bool,
}

/// The walls around a worker, as it found them after putting them up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Isolation {
    /// Runs under a user and group id that nothing else has.
    pub own_uid: bool,
    /// No gain of rights by execve, ever.
    pub no_new_privs: bool,
    /// Memory, files, processes and core dumps are limited.
    pub rlimits: bool,
    /// Own network namespace, without an interface.
    pub network_namespace: bool,
    /// Own IPC namespace.
    pub ipc_namespace: bool,
    /// Own PID namespace: no other process has a number here.
    pub pid_namespace: bool,
    /// Own mount namespace, with an empty read-only root.
    pub empty_root: bool,
    /// Landlock ABI in force, 0 for none.
    pub landlock_abi: u8,
    /// The system call filter is in force on all threads.
    pub seccomp: bool,
}

impl Isolation {
    /// The walls that a production worker needs and this one lacks, by name.
    pub fn missing(&self) -> Vec<&'static str> {
        self.walls()
            .into_iter()
            .filter_map(|(name, stands)| (!stands).then_some(name))
            .collect()
    }

    /// The walls that stand, by name.
    pub fn standing(&self) -> Vec<&'static str> {
        self.walls()
            .into_iter()
            .filter_map(|(name, stands)| stands.then_some(name))
            .collect()
    }

    fn walls(&self) -> [(&'static str, bool); 9] {
        [
            ("own-uid", self.own_uid),
            ("no-new-privs", self.no_new_privs),
            ("rlimits", self.rlimits),
            ("network-namespace", self.network_namespace),
            ("ipc-namespace", self.ipc_namespace),
            ("pid-namespace", self.pid_namespace),
            ("empty-root", self.empty_root),
            ("landlock", self.landlock_abi > 0),
            ("seccomp", self.seccomp),
        ]
    }
}

/// A tensor whose data come in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHead {
    /// Name of the tensor.
    pub name: String,
    /// Type of its elements.
    pub datatype: DataType,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Bytes of its data.
    pub len: u64,
}

/// An error as the worker tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of error.
    pub code: FaultCode,
    /// In words, at most [`MAX_MESSAGE`] bytes; may hold the model's names and the caller's shapes.
    pub message: String,
}

impl Fault {
    /// A fault with its message cut to what a frame carries.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        }
        Fault { code, message }
    }
}

/// What kinds of errors a worker tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultCode {
    /// ONNX Runtime cannot be loaded or initialised.
    RuntimeUnavailable,
    /// A wall without which the worker does not run could not be put up.
    Isolation,
    /// The bytes are no model that ONNX Runtime takes.
    ModelInvalid,
    /// The model has an input or output that v2 has no type for.
    UnsupportedType,
    /// Memory ran out under the function's limit.
    MemoryLimit,
    /// An input's data cannot be used, such as `BYTES` that are not UTF-8.
    WrongData,
    /// ONNX Runtime refused the inputs or failed on them.
    InferenceFailed,
    /// The outputs exceed what one inference may give.
    OutputTooLarge,
}

impl FaultCode {
    const ALL: [FaultCode; 8] = [
        FaultCode::RuntimeUnavailable,
        FaultCode::Isolation,
        FaultCode::ModelInvalid,
        FaultCode::UnsupportedType,
        FaultCode::MemoryLimit,
        FaultCode::WrongData,
        FaultCode::InferenceFailed,
        FaultCode::OutputTooLarge,
    ];
}

const CONFIGURE: u8 = 1;
const LOAD: u8 = 2;
const INFER: u8 = 3;
const READY: u8 = 129;
const LOADED: u8 = 130;
const REFUSED: u8 = 131;
const OUTPUT: u8 = 132;
const FAILED: u8 = 133;

impl Message {
    /// Length of the body that goes with this message.
    pub fn body_len(&self) -> u64 {
        match self {
            Message::Load { len } => *len,
            Message::Infer { inputs: heads, .. } | Message::Output { outputs: heads, .. } => heads
                .iter()
                .fold(0u64, |sum, head| sum.saturating_add(head.len)),
            _ => 0,
        }
    }

    /// Header and `meta`. Fails where a limit of this protocol is exceeded.
    pub fn encode(&self) -> Result<Vec<u8>, WireError> {
        let mut encoder = Encoder::new();
        let kind = match self {
            Message::Configure(configure) => {
                encoder.configure(configure)?;
                CONFIGURE
            }
            Message::Ready(isolation) => {
                encoder.isolation(isolation);
                READY
            }
            Message::Load { .. } => LOAD,
            Message::Loaded(spec) => {
                encoder.specs(&spec.inputs)?;
                encoder.specs(&spec.outputs)?;
                LOADED
            }
            Message::Refused(fault) => {
                encoder.fault(fault)?;
                REFUSED
            }
            Message::Infer {
                id,
                inputs,
                outputs,
            } => {
                encoder.u64(*id);
                encoder.heads(inputs)?;
                encoder.names(outputs.as_deref())?;
                INFER
            }
            Message::Output {
                id,
                compute_micros,
                outputs,
            } => {
                encoder.u64(*id);
                encoder.u32(*compute_micros);
                encoder.heads(outputs)?;
                OUTPUT
            }
            Message::Failed { id, fault } => {
                encoder.u64(*id);
                encoder.fault(fault)?;
                FAILED
            }
        };
        encoder.finish(kind, self.body_len())
    }

    /// Reads the `meta` that `header` announced; all of it has to be used up, and its sizes have to add up to the
    /// header's body.
    pub fn decode(header: &Header, meta: &[u8]) -> Result<Message, WireError> {
        let mut decoder = Decoder::new(meta);
        let message = match header.kind {
            CONFIGURE => Message::Configure(decoder.configure()?),
            READY => Message::Ready(decoder.isolation()?),
            LOAD => Message::Load {
                len: header.body_len,
            },
            LOADED => Message::Loaded(ModelSpec {
                inputs: decoder.specs()?,
                outputs: decoder.specs()?,
            }),
            REFUSED => Message::Refused(decoder.fault()?),
            INFER => Message::Infer {
                id: decoder.u64()?,
                inputs: decoder.heads()?,
                outputs: decoder.names()?,
            },
            OUTPUT => Message::Output {
                id: decoder.u64()?,
                compute_micros: decoder.u32()?,
                outputs: decoder.heads()?,
            },
            FAILED => Message::Failed {
                id: decoder.u64()?,
                fault: decoder.fault()?,
            },
            kind => return Err(WireError::Kind { kind }),
        };
        decoder.finish()?;
        if message.body_len() != header.body_len {
            return Err(WireError::BodyLength);
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests;
