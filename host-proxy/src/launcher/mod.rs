//! Starting an enclave and noticing its end, whatever kind it is.

mod child;
mod emulator;
mod error;
mod image;
mod init_status;
mod log;
mod nitro;
mod process;
mod runtime_dir;

use std::fmt;
use std::process::ExitStatus;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use nacre_transport::Address;
use serde::{Deserialize, Serialize};

pub use emulator::{EmulatorConfig, EmulatorLauncher};
pub use error::LaunchError;
pub use image::LaunchedImage;
pub use init_status::InitStatus;
pub(crate) use init_status::stable_code;
pub use nitro::{NitroConfig, NitroError, NitroLauncher, Step};
pub use process::{ProcessConfig, ProcessLauncher};

/// A way to boot enclaves.
pub trait Launcher: Send + Sync {
    /// What kind of enclave it boots: `process`, `emulator` or `nitro`.
    fn kind(&self) -> &'static str;

    /// Boots a fresh enclave and waits until it runs. Dropping the future leaves nothing running.
    fn launch(&self) -> impl Future<Output = Result<Box<dyn RunningEnclave>, LaunchError>> + Send;
}

/// A booted enclave.
pub trait RunningEnclave: Send {
    /// Where callers' TLS ends.
    fn tls(&self) -> &Address;

    /// Its control channel.
    fn control(&self) -> &Address;

    /// Where its connections to the outside arrive; `None` where it cannot ask for any.
    fn egress(&self) -> Option<&Address> {
        None
    }

    /// The image it was launched from; `None` where there is none.
    fn image(&self) -> Option<&Arc<LaunchedImage>> {
        None
    }

    /// Waits until it has ended by itself, and says how.
    fn ended(&mut self) -> BoxFuture<'_, HowEnded>;

    /// Ends it and everything that was started for it.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// How an enclave ended by itself. Nothing in it is of the enclave's own choice, but for the few words that
/// [`InitStatus`] knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HowEnded {
    /// Which part of it ended first, such as `enclave` or `NSM emulator`.
    pub part: String,
    /// The exit code of that part, where it is a process that exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The signal that killed that part, where it is a process that was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// What the enclave's init said of the program inside before it powered off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<InitStatus>,
}

impl HowEnded {
    /// A child process ended.
    pub(crate) fn process(part: &str, status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        Self {
            part: part.to_owned(),
            exit_code: status.code(),
            signal: status.signal(),
            init: None,
        }
    }
}

impl fmt::Display for HowEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} ended", self.part)?;
        if let Some(code) = self.exit_code {
            write!(f, ", exit code {code}")?;
        }
        if let Some(signal) = self.signal {
            write!(f, ", killed by signal {signal}")?;
        }
        match &self.init {
            Some(init) => write!(f, "; its init said: {init}"),
            None => Ok(()),
        }
    }
}
