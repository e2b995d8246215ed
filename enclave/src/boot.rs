//! From nothing to an enclave that serves.
//!
//! The order matters: the module is asked for randomness before a key is made, and the register that tells the
//! verifier what kind of node this is (PCR16) is extended and locked before the first attestation.

use std::io;
use std::sync::Arc;

use nacre_transport::{BindError, Listener};
use rustls::ServerConfig;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::AttestedClock;
use crate::config::{Config, Limits};
use crate::counters::Counters;
use crate::freshness::Freshness;
use crate::functions::{EventLog, Functions};
use crate::http::BodyLimits;
use crate::identity::{Identity, KeyError, PrivateKeys};
use crate::nsm::{NsmError, NsmHandle};
use crate::receipts::Receipts;
use crate::tls::{Certificates, TlsError};
use crate::{control, server};

/// The register that says whose node this is (DESIGN §3.1).
const NODE_PCR: u16 = 16;
/// What a shared node extends it with, hashed.
const SHARED_NODE: &[u8] = b"nacre/shared/v1";

/// Why an enclave did not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The secure module does not do what it must.
    #[error(transparent)]
    Nsm(#[from] NsmError),
    /// The keys could not be made.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// No certificate or no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A listener could not be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[source] io::Error),
}

impl BootError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nsm(_) => "nsm-unavailable",
            Self::Keys(_) => "keys-unavailable",
            Self::Tls(_) => "tls-unavailable",
            Self::Bind(_) => "address-unavailable",
            Self::Thread(_) => "threads-unavailable",
        }
    }
}

/// What the parts of a running enclave share.
pub(crate) struct Enclave {
    pub(crate) identity: Arc<Identity>,
    pub(crate) freshness: Freshness,
    pub(crate) clock: Arc<AttestedClock>,
    pub(crate) receipts: Receipts,
    pub(crate) functions: Arc<Functions>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Limits,
    pub(crate) bodies: BodyLimits,
    /// Opens jobs that are sealed to this boot; held so that the statement never names a key that is gone.
    _sealing_key: x25519_dalek::StaticSecret,
}

/// An enclave that accepts connections. Must be [stopped](RunningEnclave::stop) to end in order.
pub struct RunningEnclave {
    enclave: Arc<Enclave>,
    tls: nacre_transport::Address,
    control: nacre_transport::Address,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// Boots an enclave with this module. When it returns, connections are accepted.
pub async fn boot(nsm: NsmHandle, config: Config) -> Result<RunningEnclave, BootError> {
    let module = nsm.describe().await?;
    let (identity, keys) = Identity::generate(&nsm.get_random().await?)?;
    let identity = Arc::new(identity);
    nsm.extend_pcr(NODE_PCR, Sha256::digest(SHARED_NODE).to_vec())
        .await?;
    nsm.lock_pcr(NODE_PCR).await?;
    tracing::info!(module = module.module_id, boot = %identity.boot_id(), "keys made, PCR16 locked");

    let clock = Arc::new(AttestedClock::default());
    let PrivateKeys { tls, receipt, hpke } = keys;
    let (certificates, next_certificate) =
        Certificates::issue_first(tls, nsm.clone(), Arc::clone(&identity), Arc::clone(&clock))
            .await?;
    let tls_config = Arc::new(certificates.server_config()?);

    let counters = Arc::new(Counters::default());
    let events = Arc::new(EventLog::new(Arc::clone(&clock)));
    let functions = Functions::new(config.memory, config.workers, events, Arc::clone(&counters));
    let limits = config.limits;
    let mut bodies = BodyLimits::new(limits.max_body, limits.body_memory);
    bodies.idle = limits.body_idle;
    let enclave = Arc::new(Enclave {
        freshness: Freshness::start(nsm, Arc::clone(&identity), Arc::clone(&clock)),
        identity,
        clock,
        receipts: Receipts::start(receipt).map_err(BootError::Thread)?,
        functions: Arc::new(functions),
        counters,
        limits,
        bodies,
        _sealing_key: hpke,
    });
    let tls = Listener::bind(&config.tls).await?;
    let control = Listener::bind(&config.control).await?;
    let mut running = RunningEnclave::start(enclave, tls, control, tls_config);
    running
        .tasks
        .spawn(certificates.keep_current(next_certificate));
    Ok(running)
}

impl RunningEnclave {
    fn start(
        enclave: Arc<Enclave>,
        tls: Listener,
        control: Listener,
        config: Arc<ServerConfig>,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let (tls_address, control_address) =
            (tls.local_address().clone(), control.local_address().clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(
            Arc::clone(&enclave),
            tls,
            config,
            stopping.clone(),
        ));
        tasks.spawn(control::serve(Arc::clone(&enclave), control, stopping));
        Self {
            enclave,
            tls: tls_address,
            control: control_address,
            stop,
            tasks,
        }
    }

    /// Where callers come in, with the port that the kernel chose.
    pub fn tls_address(&self) -> &nacre_transport::Address {
        &self.tls
    }

    /// Where the host comes in.
    pub fn control_address(&self) -> &nacre_transport::Address {
        &self.control
    }

    /// Who this boot is.
    pub fn identity(&self) -> &Identity {
        &self.enclave.identity
    }

    /// Accepts no more, answers what has begun, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // The two servers end by themselves; the certificate's task does not.
        self.tasks.join_next().await;
        self.tasks.join_next().await;
        self.tasks.shutdown().await;
    }
}
