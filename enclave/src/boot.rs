//! From nothing to an enclave that serves: the [`node`] core first, then functions and the two servers.

use std::sync::Arc;

use nacre_protocol::control::EnclaveMetrics;
use nacre_protocol::sealed::SealingSecret;
use nacre_transport::Listener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::config::{Config, Limits};
use crate::counters::Counters;
use crate::egress::Egress;
use crate::functions::{EventLog, Functions};
use crate::http::BodyLimits;
use crate::identity::Identity;
use crate::jobs::Jobs;
use crate::node::{self, Booted, Front, Node};
use crate::nsm::NsmHandle;
use crate::receipts::Receipts;
use crate::usage::UsageMeter;
use crate::{control, server};

pub use crate::node::BootError;

/// A node that runs functions of whoever deploys them (DESIGN §3.1).
const SHARED_NODE: &[u8] = b"nacre/shared/v1";

/// What the parts of a running enclave share.
pub(crate) struct Enclave {
    pub(crate) node: Arc<Node>,
    pub(crate) receipts: Receipts,
    pub(crate) functions: Arc<Functions>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Limits,
    pub(crate) bodies: BodyLimits,
    pub(crate) jobs: Jobs,
    pub(crate) usage: Arc<UsageMeter>,
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
    let Booted {
        node,
        receipt_key,
        front,
        sealing_key,
    } = node::boot(nsm, SHARED_NODE).await?;

    let counters = Arc::new(Counters::default());
    let events = Arc::new(EventLog::new(Arc::clone(node.clock())));
    let egress = Egress::new(config.egress, Arc::clone(node.clock()))?;
    let functions = Functions::new(
        config.memory,
        config.workers,
        egress,
        events,
        Arc::clone(&counters),
    );
    let limits = config.limits;
    let mut bodies = BodyLimits::new(limits.max_body, limits.body_memory);
    bodies.idle = limits.body_idle;
    let receipts = Receipts::start(receipt_key.into_inner()).map_err(BootError::Thread)?;
    let usage = UsageMeter::new(node.identity().boot_id(), receipts.clone());
    let secret = SealingSecret::from_bytes(&Zeroizing::new(sealing_key.to_bytes()));
    let enclave = Arc::new(Enclave {
        node,
        receipts,
        functions: Arc::new(functions),
        counters,
        limits,
        bodies,
        jobs: Jobs::new(secret, limits.max_body),
        usage: Arc::new(usage),
    });
    let tls = Listener::bind(&config.tls).await?;
    let control = Listener::bind(&config.control).await?;
    Ok(RunningEnclave::start(enclave, front, tls, control))
}

impl Enclave {
    /// What the host's metrics are made of.
    pub(crate) fn metrics(&self) -> EnclaveMetrics {
        let serving = self.functions.serving();
        let functions = serving.iter().map(|function| function.metrics());
        EnclaveMetrics {
            memory_used_bytes: self.functions.budget().used(),
            functions: functions.collect(),
            ..self.counters.metrics()
        }
    }
}

impl RunningEnclave {
    fn start(enclave: Arc<Enclave>, front: Front, tls: Listener, control: Listener) -> Self {
        let (stop, stopping) = watch::channel(false);
        let (tls_address, control_address) =
            (tls.local_address().clone(), control.local_address().clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(
            Arc::clone(&enclave),
            front,
            tls,
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
        self.enclave.node.identity()
    }

    /// Accepts no more, answers what has begun, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}
