//! The worker's life, from its first frame to the end of its socket.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use ort::session::SessionInputValue;

use super::runtime::{InputError, Model, Output, Runtime, read_input};
use super::sandbox::{self, Confinement};
use super::socket::{Socket, SocketError};
use super::wire::{Configure, Fault, FaultCode, Isolation, Message, TensorHead};

/// Serves one function over standard input until the supervisor closes it; the body of `nacre-worker`.
///
/// Nothing is logged after the first inference has arrived that could hold a caller's data.
pub fn main() -> ExitCode {
    match Worker::start().and_then(|worker| worker.map_or(Ok(()), Worker::serve)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The filter lets nothing through but this line and the end.
            let _ = writeln!(io::stderr(), "nacre-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why a worker ends before its socket is closed.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("the supervisor sent a frame out of turn")]
    OutOfTurn,
}

impl From<io::Error> for ServeError {
    fn from(error: io::Error) -> Self {
        ServeError::Socket(error.into())
    }
}

struct Worker {
    socket: Socket,
    model: Model,
    max_output_bytes: u64,
}

impl Worker {
    /// From configuration to loaded model; `None` where the supervisor went away or was told why not.
    fn start() -> Result<Option<Worker>, ServeError> {
        let separated = sandbox::separate();
        let mut socket = Socket::new();
        let Some((message, _)) = socket.receive()? else {
            return Ok(None);
        };
        let Message::Configure(configure) = message else {
            return Err(ServeError::OutOfTurn);
        };
        let (runtime, isolation) = match prepare(separated, &configure) {
            Ok(prepared) => prepared,
            Err(fault) => {
                socket.send(&Message::Refused(fault), &[])?;
                return Ok(None);
            }
        };
        socket.send(&Message::Ready(isolation), &[])?;

        let Some((message, length)) = socket.receive()? else {
            return Ok(None);
        };
        let Message::Load { .. } = message else {
            return Err(ServeError::OutOfTurn);
        };
        match load(&runtime, &mut socket, length)? {
            Ok(model) => {
                socket.send(&Message::Loaded(model.spec().clone()), &[])?;
                let max_output_bytes = configure.max_output_bytes;
                Ok(Some(Worker {
                    socket,
                    model,
                    max_output_bytes,
                }))
            }
            Err(fault) => {
                socket.send(&Message::Refused(fault), &[])?;
                Ok(None)
            }
        }
    }

    /// Answers inferences one after the other.
    fn serve(mut self) -> Result<(), ServeError> {
        while let Some((message, length)) = self.socket.receive()? {
            let Message::Infer {
                id,
                inputs,
                outputs,
            } = message
            else {
                return Err(ServeError::OutOfTurn);
            };
            let mut body = self.socket.body(length);
            let fault = match read_inputs(inputs, &mut body)? {
                Ok(inputs) => self.answer(id, inputs, outputs.as_deref())?,
                Err(fault) => {
                    io::copy(&mut body, &mut io::sink())?;
                    Some(fault)
                }
            };
            if let Some(fault) = fault {
                self.socket.send(&Message::Failed { id, fault }, &[])?;
            }
        }
        Ok(())
    }

    /// Computes and sends the result, or says why there is none.
    fn answer(
        &mut self,
        id: u64,
        inputs: Vec<(String, SessionInputValue<'static>)>,
        outputs: Option<&[String]>,
    ) -> Result<Option<Fault>, ServeError> {
        let socket = &mut self.socket;
        let limit = self.max_output_bytes;
        let sent = self
            .model
            .infer(inputs, outputs, |outputs, compute_micros| {
                send_outputs(socket, id, limit, outputs, compute_micros)
            });
        match sent {
            Ok(sent) => sent,
            Err(fault) => Ok(Some(fault)),
        }
    }
}

/// Everything that needs files, and then the walls: the part of a worker's life before it can be attacked.
pub fn prepare(separated: Isolation, configure: &Configure) -> Result<(Runtime, Isolation), Fault> {
    let runtime = Runtime::load(Path::new(&configure.onnxruntime), configure.threads)?;
    let confinement = Confinement {
        uid: configure.uid,
        memory_bytes: configure.memory_bytes,
        threads: configure.threads,
    };
    let separated = Isolation {
        pid_namespace: configure.pid_namespace && std::process::id() == 1,
        ..separated
    };
    let isolation = sandbox::confine(separated, &confinement)
        .map_err(|error| Fault::new(FaultCode::Isolation, error.to_string()))?;
    Ok((runtime, isolation))
}

fn load(
    runtime: &Runtime,
    socket: &mut Socket,
    length: u64,
) -> Result<Result<Model, Fault>, ServeError> {
    let mut body = socket.body(length);
    let mut model = Vec::new();
    let fits = usize::try_from(length).is_ok_and(|length| model.try_reserve_exact(length).is_ok());
    if !fits {
        io::copy(&mut body, &mut io::sink())?;
        let message = format!("the model's {length} bytes do not fit into the function's memory");
        return Ok(Err(Fault::new(FaultCode::MemoryLimit, message)));
    }
    if body.read_to_end(&mut model)? as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(runtime.model(&model))
}

type Inputs = Vec<(String, SessionInputValue<'static>)>;

fn read_inputs(
    heads: Vec<TensorHead>,
    body: &mut impl Read,
) -> Result<Result<Inputs, Fault>, ServeError> {
    let mut inputs = Vec::with_capacity(heads.len());
    for head in heads {
        match read_input(&head, body) {
            Ok(value) => inputs.push((head.name, value)),
            Err(InputError::Fault(fault)) => return Ok(Err(fault)),
            Err(InputError::Io(error)) => return Err(error.into()),
        }
    }
    Ok(Ok(inputs))
}

fn send_outputs(
    socket: &mut Socket,
    id: u64,
    limit: u64,
    outputs: Vec<Output<'_>>,
    compute_micros: u32,
) -> Result<Option<Fault>, ServeError> {
    let (heads, data): (Vec<_>, Vec<_>) = outputs
        .into_iter()
        .map(|output| (output.head, output.data))
        .unzip();
    let message = Message::Output {
        id,
        compute_micros,
        outputs: heads,
    };
    let length = message.body_len();
    if length > limit {
        let message = format!("the outputs take {length} bytes; {limit} are allowed");
        return Ok(Some(Fault::new(FaultCode::OutputTooLarge, message)));
    }
    let parts: Vec<&[u8]> = data.iter().map(AsRef::as_ref).collect();
    socket.send(&message, &parts)?;
    Ok(None)
}
