//! The real image in a Nitro Enclave of this EC2 instance.
//!
//! What this instance has is looked at first ([`resources`]), because the driver can only say that something is missing.
//! Then the driver ([`device`]) is taken through its steps, and the enclave's init is waited for ([`heartbeat`]). The
//! enclave lives as long as its descriptor: it ends with this process, however that ends.

mod device;
mod error;
mod heartbeat;
mod kernel;
mod resources;
mod start;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use nacre_protocol::vsock::{
    CONTROL_PORT, EGRESS_PORT, EXIT_STATUS_PORT, HEARTBEAT_PORT, TLS_PORT,
};
use nacre_transport::{Address, BindError, VSOCK_CID_ANY};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::timeout;

use super::image::CheckedImage;
use super::init_status::StatusListener;
use super::{HowEnded, LaunchError, LaunchedImage, Launcher, RunningEnclave};
use device::NitroDevice;
use kernel::KernelDevice;
use resources::Resources;
use start::{Started, start};

pub use device::Step;
pub use error::NitroError;

/// What a Nitro Enclave needs. Paths are absolute.
#[derive(Debug, Clone)]
pub struct NitroConfig {
    /// The image.
    pub eif: PathBuf,
    /// Its memory in bytes; what the image needs if none is given.
    pub memory_bytes: Option<u64>,
    /// Its processors: whole cores.
    pub cpus: u32,
    /// Its context id; the hypervisor's choice if none is given.
    pub cid: Option<u32>,
    /// Whether its console can be read and its measurements are zero.
    pub debug_mode: bool,
}

/// Boots Nitro Enclaves.
#[derive(Debug)]
pub struct NitroLauncher(Nitro<KernelDevice>);

impl NitroLauncher {
    /// Looks at nothing yet.
    pub fn new(config: NitroConfig) -> Self {
        Self(Nitro {
            config,
            device: Arc::new(KernelDevice),
            resources: Resources::of_this_machine(),
            wire: Wire::Vsock,
        })
    }
}

impl Launcher for NitroLauncher {
    fn kind(&self) -> &'static str {
        "nitro"
    }

    async fn launch(&self) -> Result<Box<dyn RunningEnclave>, LaunchError> {
        Ok(Box::new(self.0.boot().await?))
    }
}

/// How host and enclave reach each other.
#[derive(Debug, Clone)]
enum Wire {
    /// AF_VSOCK, as always on Nitro.
    Vsock,
    /// A socket that stands for one guest, as in the tests of a machine without vsock.
    #[cfg_attr(not(test), expect(dead_code, reason = "for tests"))]
    Hybrid(PathBuf),
}

impl Wire {
    fn address(&self, cid: u32, port: u32) -> Address {
        match self {
            Self::Vsock => Address::Vsock { cid, port },
            Self::Hybrid(socket) => Address::Hybrid {
                socket: socket.clone(),
                port,
            },
        }
    }

    /// Where the host listens.
    fn host(&self, port: u32) -> Address {
        self.address(VSOCK_CID_ANY, port)
    }
}

#[derive(Debug)]
struct Nitro<D> {
    config: NitroConfig,
    device: Arc<D>,
    resources: Resources,
    wire: Wire,
}

impl<D: NitroDevice> Nitro<D> {
    async fn boot(&self) -> Result<NitroEnclave<D>, LaunchError> {
        let config = &self.config;
        let image = CheckedImage::open(&config.eif, config.debug_mode).await?;
        let (launched, size) = (Arc::clone(&image.launched), image.launched.bytes);
        self.resources.check_cpus(config.cpus)?;
        let plan = self.resources.plan_memory(config.memory_bytes, size)?;

        let heartbeat = heartbeat::listen(&self.wire.host(HEARTBEAT_PORT)).await?;
        let (tell_cid, cid) = watch::channel(None);
        let status = self.listen_for_status(cid).await?;

        let (device, config) = (Arc::clone(&self.device), config.clone());
        let starting = tokio::task::spawn_blocking(move || start(&*device, &config, &plan, &image));
        let started = match starting.await {
            Ok(started) => started?,
            Err(gone) => std::panic::resume_unwind(gone.into_panic()),
        };
        let Started {
            vm,
            memory,
            cid,
            bytes,
        } = started;
        tell_cid.send_replace(Some(cid));
        let end = kernel::watch(vm.as_fd()).map_err(NitroError::NotWatched)?;
        tracing::info!(cid, memory_bytes = bytes, "the Nitro Enclave is started");

        let limit = heartbeat::patience(size, bytes);
        tokio::select! {
            heard = timeout(limit, heartbeat::heard(&heartbeat, cid)) => {
                heard.map_err(|_| NitroError::NoHeartbeat(limit))?;
            }
            _ = end.readable() => return Err(NitroError::EndedAtBoot.into()),
        }
        Ok(NitroEnclave {
            tls: self.wire.address(cid, TLS_PORT),
            control: self.wire.address(cid, CONTROL_PORT),
            egress: self.wire.host(EGRESS_PORT),
            image: launched,
            end,
            vm,
            memory,
            status,
        })
    }

    /// What init says in the end is good to know and no more: where another node of this host listens already, it is not
    /// heard.
    async fn listen_for_status(
        &self,
        guest: watch::Receiver<Option<u32>>,
    ) -> Result<Option<StatusListener>, LaunchError> {
        match StatusListener::bind(&self.wire.host(EXIT_STATUS_PORT), guest).await {
            Ok(listener) => Ok(Some(listener)),
            Err(error @ BindError::InUse(_)) => {
                tracing::warn!(%error, "how the enclave's program ends will not be known");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

struct NitroEnclave<D: NitroDevice> {
    tls: Address,
    control: Address,
    egress: Address,
    image: Arc<LaunchedImage>,
    // Dropped in this order: the enclave ends before its pages are anybody else's.
    end: AsyncFd<OwnedFd>,
    vm: D::Vm,
    memory: Vec<D::Memory>,
    status: Option<StatusListener>,
}

impl<D: NitroDevice> RunningEnclave for NitroEnclave<D> {
    fn tls(&self) -> &Address {
        &self.tls
    }

    fn control(&self) -> &Address {
        &self.control
    }

    fn egress(&self) -> Option<&Address> {
        Some(&self.egress)
    }

    fn image(&self) -> Option<&Arc<LaunchedImage>> {
        Some(&self.image)
    }

    fn ended(&mut self) -> BoxFuture<'_, HowEnded> {
        let (end, status) = (&self.end, &mut self.status);
        Box::pin(async move {
            // Nothing is ever to be read: it becomes readable by hanging up.
            let _ = end.readable().await;
            HowEnded {
                part: "Nitro Enclave".to_owned(),
                exit_code: None,
                signal: None,
                init: match status {
                    Some(status) => status.last_words().await,
                    None => None,
                },
            }
        })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Self {
                end, vm, memory, ..
            } = *self;
            drop(end);
            // The driver waits for the hypervisor.
            let ending = tokio::task::spawn_blocking(move || {
                drop(vm);
                drop(memory);
            });
            let _ = ending.await;
        })
    }
}

#[cfg(test)]
mod tests;
