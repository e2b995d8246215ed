//! One worker process with one model, as the supervisor talks to it.

use std::io::{self, IoSlice};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::check::{check_inputs, check_outputs, wanted_outputs};
use super::process::{self, LogSink, Process, ending};
use super::{FIRST_UID, WorkerConfig, WorkerError};
use crate::tensor::{ModelSpec, Tensor};
use crate::worker::wire::{
    Configure, Fault, FaultCode, HEADER_LEN, Header, Isolation, Message, TensorHead, WireError,
};

/// A process that has loaded its model. Dropping it kills the process.
#[derive(Debug)]
pub struct Worker {
    link: Link,
    process: Process,
    spec: Arc<ModelSpec>,
    isolation: Isolation,
    infer_timeout: Duration,
    next_id: u64,
    /// An exchange has begun and not ended: the socket is of no more use.
    busy: bool,
}

/// What an inference gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferOutput {
    /// In the order asked for, or the model's.
    pub outputs: Vec<Tensor>,
    /// Time in ONNX Runtime as the worker measured it, but never more than the supervisor saw pass.
    pub compute_micros: u32,
}

impl Worker {
    /// Starts a process, checks its walls, gives it the model, and learns what the model takes.
    pub async fn start(config: &WorkerConfig, model: Bytes) -> Result<Worker, WorkerError> {
        let log: LogSink = Arc::new(|line| tracing::info!(target: "nacre::worker", "{line}"));
        Worker::start_logged(config, model, log).await
    }

    /// [`Worker::start`] with a place for what the process writes to its standard error before it serves.
    pub async fn start_logged(
        config: &WorkerConfig,
        model: Bytes,
        log: LogSink,
    ) -> Result<Worker, WorkerError> {
        if model.len() as u64 > config.memory_bytes {
            return Err(WorkerError::ModelTooLarge {
                model: model.len() as u64,
                limit: config.memory_bytes,
            });
        }
        let limit = config.load_timeout;
        timeout(limit, load(config, model, log))
            .await
            .map_err(|_| WorkerError::LoadTimeout { limit })?
    }

    /// The model's inputs and outputs.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The walls around the process.
    pub fn isolation(&self) -> &Isolation {
        &self.isolation
    }

    /// Process id, for diagnostics.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Computes `outputs`, or all of them. After an error that says the worker is gone, and after a call that was
    /// dropped before its end, the worker answers no more.
    pub async fn infer(
        &mut self,
        inputs: &[Tensor],
        outputs: Option<&[String]>,
    ) -> Result<InferOutput, WorkerError> {
        check_inputs(&self.spec, inputs)?;
        let spec = self.spec.clone();
        let wanted = wanted_outputs(&spec, outputs)?;
        if self.busy {
            self.process.kill();
            return Err(WorkerError::WorkerCrashed {
                reason: "its previous call was abandoned".to_owned(),
            });
        }
        let id = self.next_id;
        self.next_id += 1;
        let request = Message::Infer {
            id,
            inputs: inputs.iter().map(head).collect(),
            outputs: outputs.map(<[String]>::to_vec),
        };
        // What cannot be said in a frame fails here, with the worker untouched.
        let request = request.encode().map_err(|error| WorkerError::WrongData {
            message: error.to_string(),
        })?;
        self.process.turn_private();
        self.busy = true;
        let started = Instant::now();
        let exchange = async {
            self.link
                .send(&request, inputs.iter().map(|i| &i.data))
                .await?;
            let reply = self.link.receive().await?;
            answer(&mut self.link, reply, id, |heads| {
                check_outputs(&wanted, heads)
            })
            .await
        };
        match timeout(self.infer_timeout, exchange).await {
            Ok(Ok(reply)) => {
                self.busy = false;
                let elapsed = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
                reply.map(|mut output| {
                    output.compute_micros = output.compute_micros.min(elapsed);
                    output
                })
            }
            Ok(Err(LinkError::Gone)) => Err(crashed(&self.process).await),
            Ok(Err(LinkError::Worker(error))) => {
                self.process.kill();
                Err(error)
            }
            Err(_) => {
                self.process.kill();
                Err(WorkerError::InferenceTimeout {
                    limit: self.infer_timeout,
                })
            }
        }
    }

    pub(super) fn ended(&self) -> watch::Receiver<Option<ExitStatus>> {
        self.process.ended()
    }
}

fn head(tensor: &Tensor) -> TensorHead {
    TensorHead {
        name: tensor.name.clone(),
        datatype: tensor.datatype,
        shape: tensor.shape.clone(),
        len: tensor.data.len() as u64,
    }
}

/// From nothing to a loaded model.
async fn load(config: &WorkerConfig, model: Bytes, log: LogSink) -> Result<Worker, WorkerError> {
    let unavailable = |reason: String| WorkerError::WorkerUnavailable { reason };
    let started = process::start(&config.worker_bin, log)
        .await
        .map_err(|error| unavailable(format!("{}: {error}", config.worker_bin.display())))?;
    let process = started.process;
    let socket = UnixStream::from_std(started.socket).map_err(|e| unavailable(e.to_string()))?;
    let mut link = Link::new(socket, config.max_output_bytes);

    let onnxruntime = config
        .onnxruntime
        .to_str()
        .ok_or_else(|| unavailable("the path of ONNX Runtime is not UTF-8".to_owned()))?;
    let configure = Message::Configure(Configure {
        onnxruntime: onnxruntime.to_owned(),
        memory_bytes: config.memory_bytes,
        uid: FIRST_UID
            .checked_add(config.slot)
            .filter(|_| rustix::process::geteuid().is_root()),
        max_output_bytes: config.max_output_bytes,
        threads: config.threads,
        pid_namespace: started.pid_namespace,
    });
    let isolation = match link.ask(&configure, &Bytes::new(), &process).await? {
        Message::Ready(isolation) => isolation,
        other => return Err(refusal(other)),
    };
    let missing = isolation.missing();
    if config.require_full_isolation && !missing.is_empty() {
        return Err(WorkerError::Isolation {
            reason: format!("{} missing", missing.join(", ")),
        });
    }
    let request = Message::Load {
        len: model.len() as u64,
    };
    let spec = match link.ask(&request, &model, &process).await? {
        Message::Loaded(spec) => checked_spec(spec)?,
        other => return Err(refusal(other)),
    };
    Ok(Worker {
        link,
        process,
        spec: Arc::new(spec),
        isolation,
        infer_timeout: config.infer_timeout,
        next_id: 1,
        busy: false,
    })
}

/// Calls go by name, so names have to be unique.
fn checked_spec(spec: ModelSpec) -> Result<ModelSpec, WorkerError> {
    for side in [&spec.inputs, &spec.outputs] {
        for (index, tensor) in side.iter().enumerate() {
            if side[..index].iter().any(|other| other.name == tensor.name) {
                return Err(WorkerError::ModelInvalid {
                    message: format!("`{}` names two inputs or two outputs", tensor.name),
                });
            }
        }
    }
    Ok(spec)
}

fn refusal(message: Message) -> WorkerError {
    match message {
        Message::Refused(fault) => fault.into(),
        _ => out_of_turn(),
    }
}

fn out_of_turn() -> WorkerError {
    WorkerError::WorkerProtocol {
        reason: "it sent a frame out of turn".to_owned(),
    }
}

/// The worker closed its socket, so it is dead or dying: says how it ended, or ends it.
async fn crashed(process: &Process) -> WorkerError {
    const PATIENCE: Duration = Duration::from_millis(500);
    let mut ended = process.ended();
    let waited = timeout(PATIENCE, ended.wait_for(Option::is_some)).await;
    let reason = match waited {
        Ok(Ok(status)) => status.map_or_else(|| "ended".to_owned(), ending),
        Ok(Err(_)) | Err(_) => {
            process.kill();
            "it closed its socket".to_owned()
        }
    };
    WorkerError::WorkerCrashed { reason }
}

/// Reads what follows a reply to inference `id`: an error of the worker's, or outputs that `check` accepts.
async fn answer(
    link: &mut Link,
    reply: Message,
    id: u64,
    check: impl FnOnce(&[TensorHead]) -> Result<(), WorkerError>,
) -> Result<Result<InferOutput, WorkerError>, LinkError> {
    match reply {
        Message::Output {
            id: replied,
            compute_micros,
            outputs: heads,
        } if replied == id => {
            check(&heads)?;
            let mut outputs = Vec::with_capacity(heads.len());
            for head in heads {
                outputs.push(link.tensor(head).await?);
            }
            Ok(Ok(InferOutput {
                outputs,
                compute_micros,
            }))
        }
        Message::Failed { id: replied, fault } if replied == id => match fault {
            Fault {
                code:
                    FaultCode::WrongData
                    | FaultCode::InferenceFailed
                    | FaultCode::MemoryLimit
                    | FaultCode::OutputTooLarge,
                ..
            } => Ok(Err(fault.into())),
            _ => Err(out_of_turn().into()),
        },
        _ => Err(out_of_turn().into()),
    }
}

/// The supervisor's end of the socket.
#[derive(Debug)]
struct Link {
    socket: BufReader<UnixStream>,
    max_body: u64,
}

#[derive(Debug)]
enum LinkError {
    /// The socket failed: the worker is gone, and how it ended says more than the socket does.
    Gone,
    /// The worker is there, and wrong.
    Worker(WorkerError),
}

impl From<io::Error> for LinkError {
    fn from(_: io::Error) -> Self {
        LinkError::Gone
    }
}

impl From<WireError> for LinkError {
    fn from(error: WireError) -> Self {
        LinkError::Worker(error.into())
    }
}

impl From<WorkerError> for LinkError {
    fn from(error: WorkerError) -> Self {
        LinkError::Worker(error)
    }
}

impl Link {
    fn new(socket: UnixStream, max_body: u64) -> Self {
        Link {
            socket: BufReader::with_capacity(64 << 10, socket),
            max_body,
        }
    }

    /// One question and its answer, before the model serves.
    async fn ask(
        &mut self,
        message: &Message,
        body: &Bytes,
        process: &Process,
    ) -> Result<Message, WorkerError> {
        let frame = message
            .encode()
            .map_err(|error| WorkerError::WorkerUnavailable {
                reason: error.to_string(),
            })?;
        // A worker may refuse and close before it has taken everything: its answer counts more than the failure
        // to write.
        let sent = self.send(&frame, std::iter::once(body)).await;
        match (self.receive().await, sent) {
            (Ok(message), _) => Ok(message),
            (Err(LinkError::Worker(error)), _) => Err(error),
            (Err(LinkError::Gone), _) => Err(crashed(process).await),
        }
    }

    async fn send<'a>(
        &mut self,
        frame: &'a [u8],
        body: impl Iterator<Item = &'a Bytes>,
    ) -> io::Result<()> {
        let mut parts: Vec<IoSlice<'_>> = std::iter::once(frame)
            .chain(body.map(Bytes::as_ref))
            .map(IoSlice::new)
            .collect();
        let mut rest = parts.as_mut_slice();
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            let written = self.socket.get_mut().write_vectored(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Message, LinkError> {
        let mut header = [0; HEADER_LEN];
        self.socket.read_exact(&mut header).await?;
        let header = Header::decode(&header, self.max_body)?;
        let mut meta = vec![0; header.meta_len];
        self.socket.read_exact(&mut meta).await?;
        Ok(Message::decode(&header, &meta)?)
    }

    /// Reads one tensor's data into memory of its own and checks them.
    async fn tensor(&mut self, head: TensorHead) -> Result<Tensor, LinkError> {
        // The header's limit on the body bounds the sum of these.
        let length = usize::try_from(head.len).map_err(|_| out_of_turn())?;
        let mut data = BytesMut::with_capacity(length);
        let mut source = (&mut self.socket).take(head.len);
        while data.len() < length {
            if source.read_buf(&mut data).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        let tensor = Tensor {
            name: head.name,
            datatype: head.datatype,
            shape: head.shape,
            data: data.freeze(),
        };
        tensor
            .validate()
            .map_err(|error| WorkerError::WorkerProtocol {
                reason: format!("output: {error}"),
            })?;
        Ok(tensor)
    }
}
