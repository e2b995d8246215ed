//! Which nodes there are, and what each is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nacre_client::Endpoint;
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::{BootId, FunctionName, NodeId};
use nacre_protocol::uptime::Schedule;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::api::ControlPlane;
use super::canary::Canary;
use crate::error::WatchError;

/// The most nodes that one watcher looks at.
pub(crate) const MAX_TARGETS: usize = 10_000;
/// Largest file of nodes that is read, bytes.
const MAX_FILE: u64 = 16 << 20;

/// Where nodes are learned from.
#[derive(Debug)]
pub enum Source {
    /// A file: `{"nodes": [{"id", "endpoint", "boot_id", "canary"}]}`; boot_id and canary (a function's name) may be left
    /// out. Read again in each slot.
    File {
        /// The file.
        path: PathBuf,
        /// The canaries it names.
        canaries: Vec<Canary>,
    },
    /// The control plane's list of nodes, asked again in each slot. A node that holds a ready lease on a canary's function
    /// is asked that canary.
    ControlPlane {
        /// Which.
        api: ControlPlane,
        /// The canaries.
        canaries: Vec<Canary>,
    },
}

/// A node to look at.
#[derive(Debug, Clone)]
pub struct Target {
    /// Which.
    pub node: NodeId,
    /// Where callers reach it.
    pub endpoint: Endpoint,
    /// The run of the enclave that is registered for it: another one's answer is not its.
    pub boot_id: Option<BootId>,
    /// What it is asked; its health where it runs none.
    pub canary: Option<Arc<Canary>>,
}

pub(crate) type Targets = Vec<Arc<Target>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodesFile {
    nodes: Vec<NodeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeEntry {
    id: NodeId,
    endpoint: String,
    #[serde(default)]
    boot_id: Option<BootId>,
    #[serde(default)]
    canary: Option<FunctionName>,
}

/// The nodes of this moment, each once.
pub(crate) async fn load(source: &Source) -> Result<Targets, WatchError> {
    let (entries, canaries) = match source {
        Source::File { path, canaries } => {
            let bytes = super::store::read_bounded(path, MAX_FILE)?;
            let file: NodesFile =
                serde_json::from_slice(&bytes).map_err(|e| WatchError::content(path, e))?;
            (file.nodes, canaries)
        }
        Source::ControlPlane { api, canaries } => (ask(api, canaries).await?, canaries),
    };
    if entries.len() > MAX_TARGETS {
        let what = format!("more than {MAX_TARGETS} nodes are too many for one watcher");
        return Err(WatchError::Usage(what));
    }
    let canaries: BTreeMap<_, _> = canaries
        .iter()
        .map(|canary| (canary.function.clone(), Arc::new(canary.clone())))
        .collect();
    let mut known = BTreeSet::new();
    let mut targets = Vec::with_capacity(entries.len());
    for entry in entries.into_iter().filter(|entry| known.insert(entry.id)) {
        let canary = match entry.canary {
            None => None,
            Some(name) => Some(canaries.get(&name).cloned().ok_or_else(|| {
                WatchError::Usage(format!("no canary for function {}", name.as_str()))
            })?),
        };
        targets.push(Arc::new(Target {
            node: entry.id,
            endpoint: entry.endpoint.parse()?,
            boot_id: entry.boot_id,
            canary,
        }));
    }
    Ok(targets)
}

/// The control plane's nodes, with the canary that each runs.
async fn ask(api: &ControlPlane, canaries: &[Canary]) -> Result<Vec<NodeEntry>, WatchError> {
    let mut runs: BTreeMap<NodeId, FunctionName> = BTreeMap::new();
    for canary in canaries {
        let Some(function) = api.function(&canary.function).await? else {
            continue;
        };
        let live = function.deployment.into_iter();
        let live = live.filter(|deployment| deployment.digest == canary.digest);
        let leases = live.flat_map(|deployment| deployment.leases);
        for lease in leases.filter(|lease| lease.state == FunctionState::Ready) {
            runs.insert(lease.node, canary.function.clone());
        }
    }
    let nodes = api.nodes().await?.into_iter();
    let entry = |node: nacre_protocol::api::Node| NodeEntry {
        canary: runs.get(&node.id).cloned(),
        id: node.id,
        endpoint: node.endpoint,
        boot_id: Some(node.boot_id),
    };
    Ok(nodes.map(entry).collect())
}

/// Keeps the list up to date. Where it cannot be had, the last one stays: a control plane that is gone does not blind
/// its watchers.
pub(crate) async fn refresh(
    source: &Source,
    schedule: Schedule,
    targets: watch::Sender<Arc<Targets>>,
    stop: &CancellationToken,
) -> Infallible {
    let mut every = interval(Duration::from_millis(schedule.slot_ms().into()));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if stop.is_cancelled() {
            return std::future::pending().await;
        }
        match load(source).await {
            Ok(list) => drop(targets.send_replace(Arc::new(list))),
            Err(error) => {
                tracing::warn!(code = error.code(), %error, "the nodes are not known anew")
            }
        }
    }
}
