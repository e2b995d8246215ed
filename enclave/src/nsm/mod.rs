//! The Nitro Secure Module: what signs attestation documents and keeps the platform registers.
//!
//! The device answers one request at a time and takes tens of milliseconds for a document, so it is asked from one
//! thread of its own ([`NsmHandle`]); everything else awaits the answer. Who asks for documents in numbers goes
//! through [`crate::freshness`], which asks once for many.

use std::io;
use std::time::Duration;

use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use tokio::sync::{mpsc, oneshot};

mod device;
pub mod document;
#[cfg(feature = "process-mode")]
mod socket;

pub use device::{DEVICE, Device};
#[cfg(feature = "process-mode")]
pub use socket::EmulatorSocket;

/// How long one request may take before its caller is told that the module does not answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest request that the module takes (AWS NSM driver).
pub const MAX_REQUEST: usize = 4096;
/// Longest response that the module gives (AWS NSM driver).
pub const MAX_RESPONSE: usize = 12288;

/// Requests that may wait for the thread; the enclave itself has a handful at most.
const QUEUE: usize = 64;

/// A secure module. Calls block.
pub trait Nsm: Send + 'static {
    /// Sends one request and reads its response. A response of [`Response::Error`] is an answer, not an `Err`.
    fn call(&mut self, request: Request) -> Result<Response, NsmError>;
}

/// Why the module gave no useful answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NsmError {
    /// There is no device, or it cannot be opened.
    #[error("{DEVICE} cannot be opened: this is not a Nitro Enclave, or the driver is missing")]
    NoDevice,
    /// The connection to the emulator failed.
    #[error("the secure module's socket: {0}")]
    Io(#[from] io::Error),
    /// The module refused.
    #[error("the secure module refused: {0}")]
    Refused(String),
    /// The answer is not one to the question.
    #[error("the secure module's answer is malformed: {0}")]
    Malformed(String),
    /// No answer in time.
    #[error("the secure module did not answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout,
    /// The thread that asks the module has ended.
    #[error("the secure module's thread has ended")]
    Stopped,
}

/// What an attestation document is to vouch for.
#[derive(Debug, Clone, Default)]
pub struct AttestationRequest {
    /// At most 1024 bytes.
    pub user_data: Option<Vec<u8>>,
    /// At most 1024 bytes.
    pub nonce: Option<Vec<u8>>,
    /// At most 1024 bytes.
    pub public_key: Option<Vec<u8>>,
}

/// What the module says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NsmDescription {
    /// Name of the module, which names instance and enclave.
    pub module_id: String,
    /// How many registers there are.
    pub max_pcrs: u16,
    /// Those that cannot be extended any more.
    pub locked_pcrs: Vec<u16>,
}

/// The way to the module's thread. Clones share it; the thread ends with the last of them.
#[derive(Debug, Clone)]
pub struct NsmHandle {
    calls: mpsc::Sender<Call>,
}

#[derive(Debug)]
struct Call {
    request: Request,
    answer: oneshot::Sender<Result<Response, NsmError>>,
}

impl NsmHandle {
    /// Starts the module's thread.
    pub fn start(mut module: impl Nsm) -> io::Result<Self> {
        let (calls, mut waiting) = mpsc::channel::<Call>(QUEUE);
        std::thread::Builder::new()
            .name("nsm".to_owned())
            .spawn(move || {
                while let Some(call) = waiting.blocking_recv() {
                    // Who has given up waiting needs no answer, and the module is spared the work.
                    if !call.answer.is_closed() {
                        let _ = call.answer.send(module.call(call.request));
                    }
                }
            })?;
        Ok(Self { calls })
    }

    /// Asks for a signed attestation document.
    pub async fn attest(&self, wanted: AttestationRequest) -> Result<Vec<u8>, NsmError> {
        let request = Request::Attestation {
            user_data: wanted.user_data.map(Into::into),
            nonce: wanted.nonce.map(Into::into),
            public_key: wanted.public_key.map(Into::into),
        };
        match self.call(request).await? {
            Response::Attestation { document } => Ok(document),
            other => Err(unexpected("Attestation", &other)),
        }
    }

    /// Asks which module this is.
    pub async fn describe(&self) -> Result<NsmDescription, NsmError> {
        match self.call(Request::DescribeNSM).await? {
            Response::DescribeNSM {
                module_id,
                max_pcrs,
                locked_pcrs,
                ..
            } => Ok(NsmDescription {
                module_id,
                max_pcrs,
                locked_pcrs: locked_pcrs.into_iter().collect(),
            }),
            other => Err(unexpected("DescribeNSM", &other)),
        }
    }

    /// Extends a register: SHA384(old ‖ data). Returns its new value.
    pub async fn extend_pcr(&self, index: u16, data: Vec<u8>) -> Result<Vec<u8>, NsmError> {
        match self.call(Request::ExtendPCR { index, data }).await? {
            Response::ExtendPCR { data } => Ok(data),
            other => Err(unexpected("ExtendPCR", &other)),
        }
    }

    /// Locks a register until the enclave ends.
    pub async fn lock_pcr(&self, index: u16) -> Result<(), NsmError> {
        match self.call(Request::LockPCR { index }).await? {
            Response::LockPCR => Ok(()),
            other => Err(unexpected("LockPCR", &other)),
        }
    }

    /// Random bytes from the module, 256 of them on real hardware.
    pub async fn get_random(&self) -> Result<Vec<u8>, NsmError> {
        match self.call(Request::GetRandom).await? {
            Response::GetRandom { random } if random.len() >= 32 => Ok(random),
            Response::GetRandom { .. } => {
                Err(NsmError::Malformed("fewer than 32 random bytes".to_owned()))
            }
            other => Err(unexpected("GetRandom", &other)),
        }
    }

    async fn call(&self, request: Request) -> Result<Response, NsmError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            let call = Call { request, answer };
            self.calls.send(call).await.map_err(|_| NsmError::Stopped)?;
            answered.await.map_err(|_| NsmError::Stopped)?
        };
        tokio::time::timeout(CALL_TIMEOUT, exchange)
            .await
            .map_err(|_| NsmError::Timeout)?
    }
}

fn unexpected(asked: &str, response: &Response) -> NsmError {
    match response {
        Response::Error(code) => NsmError::Refused(format!("{asked}: {}", name(code))),
        _ => NsmError::Malformed(format!("another answer than {asked}'s")),
    }
}

fn name(code: &ErrorCode) -> String {
    format!("{code:?}")
}
