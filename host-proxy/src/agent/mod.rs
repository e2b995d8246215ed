//! The node's agent: makes the enclave run what the control plane wants, and tells it how that went (DESIGN §6).
//!
//! For each boot of the enclave eight loops run side by side and meet only in [`Link`] and [`Boot`]:
//! registering ([`register`]), following the desired state ([`desired`]), reconciling ([`work`], whose decisions are the pure
//! [`reconcile`]), reading the enclave's events ([`journal`]), reporting ([`report`]), running jobs ([`jobs`]), bringing usage receipts ([`usage`])
//! and offering the enclave's receipt key to smart contracts ([`chain`]). None waits for another's success, so a lost
//! control plane stops nothing that runs, and the last desired state is kept and made so again in the enclave's next boot.

mod chain;
mod desired;
mod jobs;
mod journal;
mod leave;
mod loads;
mod platform;
pub mod reconcile;
mod register;
mod report;
mod usage;
mod work;

use std::sync::Arc;
use std::time::Duration;

use nacre_protocol::api::commands::NodeCommand;
use nacre_protocol::api::{DesiredState, ObservedFunction};
use nacre_protocol::control::EnclaveStatus;
use nacre_protocol::ids::BootId;
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, pause};
use crate::control::Control;
use crate::data::NodeIdentity;
use crate::metrics::Work;
use crate::supervisor::{EnclaveEndpoints, EnclaveState};
use journal::Journal;
use platform::{Platform, Session};

pub use chain::ChainOffer;
pub use platform::{ApiKey, PlatformError};

/// What an agent needs to know.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The control plane's base URL.
    pub control_plane: Url,
    /// An API key with the scope `nodes`: the node is registered for its organisation.
    pub api_key: Option<ApiKey>,
    /// Who the node is.
    pub identity: NodeIdentity,
    /// `host:port` where callers reach the enclave.
    pub endpoint: String,
    /// Where the node stands, in the operator's words.
    pub region: String,
    /// The ask for memory: micro-units per GiB-second.
    pub price: u64,
    /// The ask for processors: micro-units per CPU-second.
    pub cpu_price: u64,
    /// At which registries of smart contracts the enclave's receipt key is to work, and for whom.
    pub chain: Option<ChainOffer>,
    /// Where what is done is counted, for the metrics.
    pub work: Arc<Work>,
    /// Set when the node is to end in good order: it leaves the market, and then sets `stop`.
    pub leave: CancellationToken,
    /// How long leaving may take; zero: not at all.
    pub leave_within: Duration,
    /// Set when the node is to stop: it takes no more jobs, and [`run`] ends when those that it has are done.
    pub stop: CancellationToken,
}

/// Runs until it is dropped, until the node is to stop, or until the supervisor is gone. `settled` is told each launch whose enclave has come to run
/// what is desired, as far as it can.
pub async fn run(
    config: AgentConfig,
    mut enclave: watch::Receiver<EnclaveState>,
    settled: watch::Sender<Option<u64>>,
) -> Result<(), PlatformError> {
    let link = Link::new(config, settled)?;
    tokio::select! {
        () = leave::leave(&link) => {}
        () = follow_boots(&link, &mut enclave) => {}
    }
    Ok(())
}

async fn follow_boots(link: &Link, enclave: &mut watch::Receiver<EnclaveState>) {
    loop {
        let running = tokio::select! {
            biased;
            running = enclave.wait_for(Option::is_some) => running.map(|e| e.clone()),
            () = link.config.stop.cancelled() => return,
        };
        let Ok(current) = running else {
            return;
        };
        let Some(endpoints) = current else { continue };
        let same = |state: &EnclaveState| state.as_ref() == Some(&endpoints);
        tokio::select! {
            _ = enclave.wait_for(|state| !same(state)) => {}
            () = follow_boot(link, &endpoints) => {}
        }
        if link.config.stop.is_cancelled() {
            return;
        }
    }
}

/// Tells a control plane what the operator wants of a node.
pub async fn command(
    control_plane: &Url,
    identity: &NodeIdentity,
    command: NodeCommand,
) -> Result<(), PlatformError> {
    let platform = Platform::new(control_plane.clone(), None)?;
    platform.command(identity, command).await
}

/// Gives a node to the organisation of an API key.
pub async fn claim(
    control_plane: &Url,
    identity: &NodeIdentity,
    key: ApiKey,
) -> Result<(), PlatformError> {
    let platform = Platform::new(control_plane.clone(), Some(key))?;
    platform.claim(identity).await
}

/// What outlives a boot of the enclave.
struct Link {
    config: AgentConfig,
    platform: Platform,
    session: watch::Sender<Option<Session>>,
    desired: watch::Sender<Option<Arc<DesiredState>>>,
    settled: watch::Sender<Option<u64>>,
    /// The headers of the trace that the last desired state goes on with.
    cause: watch::Sender<HeaderMap>,
}

impl Link {
    fn new(
        config: AgentConfig,
        settled: watch::Sender<Option<u64>>,
    ) -> Result<Self, PlatformError> {
        Ok(Self {
            platform: Platform::new(config.control_plane.clone(), config.api_key.clone())?,
            session: watch::Sender::new(None),
            desired: watch::Sender::new(None),
            settled,
            cause: watch::Sender::default(),
            config,
        })
    }

    /// The session of this boot, as soon as there is one.
    async fn session_of(&self, boot: BootId) -> Session {
        let mut sessions = self.session.subscribe();
        let fits = |session: &&Session| session.boot == boot;
        loop {
            if let Some(session) = sessions.borrow_and_update().as_ref().filter(fits) {
                return session.clone();
            }
            if sessions.changed().await.is_err() {
                // `self` holds the sender.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Forgets a session if the control plane says that it does not know it.
    fn note_failure(&self, session: &Session, error: &PlatformError) {
        if error.ends_session() {
            self.session.send_if_modified(|current| {
                let same = current.as_ref().is_some_and(|s| s.token == session.token);
                if same {
                    tracing::warn!(%error, "the control plane does not know this node; registering again");
                    self.config.work.registered(false);
                    *current = None;
                }
                same
            });
        }
    }
}

/// One boot of the enclave, as the loops see it.
struct Boot {
    id: BootId,
    launch: u64,
    memory_bytes: u64,
    processors: u32,
    control: Control,
    observed: watch::Sender<Vec<ObservedFunction>>,
    journal: Journal,
}

/// Follows one boot until the enclave turns out to be another one.
async fn follow_boot(link: &Link, endpoints: &EnclaveEndpoints) {
    let control = Control::new(endpoints.control.clone());
    let status = first_status(&control).await;
    tracing::info!(boot = %status.boot_id, version = status.version, "following the enclave");
    let boot = Boot {
        id: status.boot_id,
        launch: endpoints.launch,
        memory_bytes: status.memory_bytes,
        processors: status.processors,
        control,
        observed: watch::Sender::new(Vec::new()),
        journal: Journal::default(),
    };
    let mut stopping = false;
    tokio::select! {
        () = work::reconcile(link, &boot) => {}
        () = journal::follow(&boot) => {}
        () = register::keep_registered(link, &boot) => {}
        () = desired::follow(link, &boot) => {}
        () = report::keep_reporting(link, &boot) => {}
        () = usage::follow(link, &boot) => {}
        () = chain::keep_offering(link, &boot) => {}
        () = jobs::run(link, &boot) => stopping = true,
    }
    if stopping {
        // Without the other loops a session that ends is not made anew: then the last receipts are lost.
        let _ = timeout(usage::LAST_WITHIN, usage::hand_over(link, &boot)).await;
        return;
    }
    tracing::warn!(boot = %boot.id, "the enclave is another one now");
}

async fn first_status(control: &Control) -> EnclaveStatus {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    loop {
        match control.status().await {
            Ok(status) => return status,
            Err(error) => {
                tracing::warn!(%error, "the enclave does not say what it runs");
                pause(backoff.next_jittered()).await;
            }
        }
    }
}

/// Between tries to reach the control plane: never more than a second, so that it finds its nodes again at once.
fn platform_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(1))
}
