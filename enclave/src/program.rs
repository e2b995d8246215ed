//! What our programs inside enclaves share at their outermost: the two modes, the log, signals, and how they end.
//!
//! *Nitro* mode is the real one. *Process* mode (cargo feature `process-mode`) is for development beside the NSM emulator;
//! it listens on this machine only, refuses to run inside an enclave, and leaves with its parent.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use nacre_protocol::vsock::TLS_PORT;
use nacre_transport::{Address, VSOCK_CID_ANY};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::node::BootError;
use crate::nsm::{Device, NsmHandle};

/// Where a program runs: `C` is asked for in both modes, `P` in process mode only.
#[derive(Debug, Subcommand)]
pub enum Mode<C: Args, P: Args> {
    /// Run inside a Nitro Enclave, with /dev/nsm; TLS is vsock port 443
    Nitro(C),
    /// Run as a plain process beside the NSM emulator. No enclave protects it
    #[cfg(feature = "process-mode")]
    Process {
        /// Socket of the NSM emulator
        #[arg(long, value_name = "PATH")]
        nsm_socket: std::path::PathBuf,
        /// Where callers come in: unix:PATH or tcp://127.0.0.1:PORT
        #[arg(long, value_name = "ADDRESS")]
        tls: Address,
        /// What only this mode asks for.
        #[command(flatten)]
        more: P,
        /// What both modes ask for.
        #[command(flatten)]
        common: C,
    },
    /// Without process mode `P` has no place of its own.
    #[cfg(not(feature = "process-mode"))]
    #[command(skip)]
    Never(std::convert::Infallible, std::marker::PhantomData<P>),
}

/// The module, the public address, and how long to stay.
pub struct Place {
    /// The secure module.
    pub nsm: NsmHandle,
    /// Where callers come in.
    pub tls: Address,
    /// Whether this is an enclave.
    pub production: bool,
}

/// Why a program ended, with a stable code.
#[derive(Debug)]
pub struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    /// A refusal with its code.
    pub fn new(code: &'static str, message: impl ToString) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }
}

impl From<BootError> for Refusal {
    fn from(error: BootError) -> Self {
        Self::new(error.code(), error)
    }
}

/// Logs to standard error, runs `program` to its end on a runtime of its own, and says how it ended.
pub fn run<F: Future<Output = Result<(), Refusal>>>(program: impl FnOnce() -> F) -> ExitCode {
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Refusal::new("threads-unavailable", error));
    match runtime.and_then(|runtime| runtime.block_on(program())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            // Standard error is the one place that a parent looks at when this program ends.
            tracing::error!(code = refusal.code, "{}", refusal.message);
            ExitCode::FAILURE
        }
    }
}

impl<C: Args, P: Args> Mode<C, P> {
    /// Finds the module, and gives the arguments back: those of both modes, and in process mode its own. `listening` names
    /// the addresses among them, which in process mode nobody may reach from another machine.
    ///
    /// # Errors
    ///
    /// In Nitro mode, where there is no device; in process mode, where this is an enclave after all, or an address could be
    /// reached.
    #[cfg_attr(
        not(feature = "process-mode"),
        expect(unused_variables, reason = "only process mode asks")
    )]
    pub fn place(
        self,
        program: &str,
        listening: impl Fn(&C, &P) -> Vec<Address>,
    ) -> Result<(Place, C, Option<P>), Refusal> {
        match self {
            Self::Nitro(common) => {
                let device =
                    Device::open().map_err(|error| Refusal::new("nsm-unavailable", error))?;
                let place = Place {
                    nsm: handle(device)?,
                    tls: vsock(TLS_PORT),
                    production: true,
                };
                Ok((place, common, None))
            }
            #[cfg(feature = "process-mode")]
            Self::Process {
                nsm_socket,
                tls,
                more,
                common,
            } => {
                let listening = listening(&common, &more);
                let place = beside_the_emulator(program, nsm_socket, tls, &listening)?;
                Ok((place, common, Some(more)))
            }
        }
    }
}

#[cfg(feature = "process-mode")]
fn beside_the_emulator(
    program: &str,
    nsm_socket: std::path::PathBuf,
    tls: Address,
    listening: &[Address],
) -> Result<Place, Refusal> {
    use crate::nsm::{DEVICE, EmulatorSocket};

    tracing::warn!("PROCESS MODE: no enclave protects this process");
    if std::path::Path::new(DEVICE).exists() {
        let message = format!("{DEVICE} is here: inside an enclave, run `{program} nitro`");
        return Err(Refusal::new("process-mode-inside-enclave", message));
    }
    for address in [&tls].into_iter().chain(listening) {
        if !address.is_loopback() {
            let message =
                format!("process mode listens on Unix sockets and loopback only, not on {address}");
            return Err(Refusal::new("process-mode-loopback-only", message));
        }
    }
    Ok(Place {
        nsm: handle(EmulatorSocket::new(nsm_socket))?,
        tls,
        production: false,
    })
}

/// A vsock port to listen on.
pub fn vsock(port: u32) -> Address {
    Address::Vsock {
        cid: VSOCK_CID_ANY,
        port,
    }
}

/// What ends a program from outside. Made before the program says that it is ready, so that no signal is missed.
pub struct Ending {
    terminate: Signal,
    interrupt: Signal,
    leaves_with_parent: bool,
}

impl Ending {
    /// Handles signals from now on; in process mode the end of standard input, too.
    ///
    /// # Errors
    ///
    /// Where signals cannot be handled.
    pub fn prepare(place: &Place) -> Result<Self, Refusal> {
        let handled =
            |kind| signal(kind).map_err(|error| Refusal::new("signals-unavailable", error));
        Ok(Self {
            terminate: handled(SignalKind::terminate())?,
            interrupt: handled(SignalKind::interrupt())?,
            leaves_with_parent: !place.production,
        })
    }

    /// Says `ready`, and returns when the program is to end.
    pub async fn ready_until(mut self) {
        // Whoever does not read its child's output has not waited for it either.
        let _ = writeln!(std::io::stdout(), "ready");
        let leaves_with_parent = self.leaves_with_parent;
        let parent_gone = async {
            if leaves_with_parent {
                stdin_closed().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("told to end"),
            _ = self.interrupt.recv() => tracing::info!("interrupted"),
            () = parent_gone => tracing::info!("the parent has gone"),
        }
    }
}

fn handle(module: impl crate::nsm::Nsm) -> Result<NsmHandle, Refusal> {
    NsmHandle::start(module).map_err(|error| Refusal::new("threads-unavailable", error))
}

/// Waits for the end of standard input, on a thread that nobody waits for.
async fn stdin_closed() {
    use std::io::Read as _;

    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while matches!(stdin.read(&mut ignored), Ok(1..)) {}
        let _ = closed.send(());
    });
    let _ = wait.await;
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("NACRE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // An enclave's console is a terminal to the kernel, but nobody said of which kind.
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("TERM").is_some())
        .with_env_filter(filter)
        .init();
}
