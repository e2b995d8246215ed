//! Starting an enclave and noticing its end, whatever kind it is.

mod child;
mod image;
mod log;
mod process;
mod runtime_dir;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nacre_transport::Address;

pub use image::LaunchedImage;
pub use process::{ProcessConfig, ProcessLauncher};

/// A way to boot enclaves.
pub trait Launcher: Send + Sync {
    /// Boots a fresh enclave and waits until it is ready. Dropping the future leaves nothing running.
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
    fn ended(&mut self) -> BoxFuture<'_, String>;

    /// Ends it and everything that was started for it.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Why there is no enclave.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No place for its sockets.
    #[error("cannot make a private directory for the enclave's sockets: {0}")]
    RuntimeDir(#[source] io::Error),
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// Which.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended before it was ready.
    #[error("the {name} ended before it was ready ({status}){}", last_words(.last_line))]
    Exited {
        /// Which.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The last line of its standard error.
        last_line: String,
    },
    /// A program said something else than `ready`.
    #[error("the {name} printed {line:?} where its first line must be `ready`")]
    FirstLine {
        /// Which.
        name: &'static str,
        /// What it said.
        line: String,
    },
    /// A program took too long.
    #[error("the {name} was not ready within {}s{}", .limit.as_secs(), last_words(.last_line))]
    Deadline {
        /// Which.
        name: &'static str,
        /// The limit.
        limit: Duration,
        /// The last line of its standard error.
        last_line: String,
    },
}

fn last_words(line: &str) -> String {
    if line.is_empty() {
        String::new()
    } else {
        format!(": {line}")
    }
}
