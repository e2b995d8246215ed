//! Keeps one enclave running and says where it is.

use std::sync::Arc;
use std::time::Duration;

use nacre_transport::Address;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::{RestartDelay, pause};
use crate::launcher::{LaunchError, LaunchedImage, Launcher, RunningEnclave};

/// How often the very first enclave may fail to come up before the node gives up: a wrong path or library does not
/// mend itself.
const FIRST_TRIES: u32 = 3;

/// Where the enclave is; `None` while there is none.
pub type EnclaveState = Option<Arc<EnclaveEndpoints>>;

/// How to reach one run of an enclave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnclaveEndpoints {
    /// Counts the launches of this process; another number is another run.
    pub launch: u64,
    /// Where callers' TLS ends.
    pub tls: Address,
    /// The control channel.
    pub control: Address,
    /// Where this run asks for connections to the outside, if it can: listen here to serve them.
    pub egress: Option<Address>,
    /// What was launched, where that is an image with measurements of its own.
    pub image: Option<Arc<LaunchedImage>>,
}

/// Launches an enclave, launches the next whenever one ends, and stops the last one when told to.
///
/// Returns an error only if no enclave ever came up.
pub async fn supervise(
    launcher: impl Launcher,
    state: watch::Sender<EnclaveState>,
    stop: CancellationToken,
) -> Result<(), LaunchError> {
    let mut delay = RestartDelay::new();
    let mut ever_ready = false;
    for launch in 1.. {
        let launched = tokio::select! {
            launched = launcher.launch() => launched,
            () = stop.cancelled() => return Ok(()),
        };
        let ready_at = Instant::now();
        let wait = match launched {
            Ok(enclave) => {
                ever_ready = true;
                tracing::info!(launch, "the enclave is ready");
                run_until_it_ends(enclave, launch, &state, &stop).await;
                if stop.is_cancelled() {
                    return Ok(());
                }
                delay.after_run(ready_at.elapsed())
            }
            Err(error) if !ever_ready && launch >= u64::from(FIRST_TRIES) => return Err(error),
            Err(error) => {
                tracing::error!(launch, %error, "the enclave did not come up");
                delay.after_run(Duration::ZERO)
            }
        };
        tokio::select! {
            () = pause(wait) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
    Ok(())
}

async fn run_until_it_ends(
    mut enclave: Box<dyn RunningEnclave>,
    launch: u64,
    state: &watch::Sender<EnclaveState>,
    stop: &CancellationToken,
) {
    state.send_replace(Some(Arc::new(EnclaveEndpoints {
        launch,
        tls: enclave.tls().clone(),
        control: enclave.control().clone(),
        egress: enclave.egress().cloned(),
        image: enclave.image().cloned(),
    })));
    tokio::select! {
        why = enclave.ended() => tracing::error!(launch, why, "the enclave ended; starting it again"),
        () = stop.cancelled() => {}
    }
    state.send_replace(None);
    enclave.stop().await;
}
