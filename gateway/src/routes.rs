//! The table in use: its nodes with what is known of them, which outlives a table's replacement.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use nacre_protocol::ids::FunctionName;
use nacre_transport::Address;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::balance::{self, Candidate as _, Group};
use crate::health::{Health, HealthTiming};
use crate::node::{InFlight, Node};
use crate::probe::Prober;
use crate::table::Table;
use crate::waiting::Waiting;

/// The routes of a gateway; a handle to share.
#[derive(Debug, Clone)]
pub struct Routes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    timing: HealthTiming,
    prober: Prober,
    current: Mutex<Current>,
    changed: watch::Sender<()>,
    waiting: Waiting,
    rng: Mutex<StdRng>,
}

#[derive(Debug, Default)]
struct Current {
    functions: HashMap<FunctionName, Arc<Route>>,
    nodes: HashMap<Address, Known>,
}

/// A node with what ends its probing.
#[derive(Debug)]
struct Known {
    node: Arc<Node>,
    _probed: DropGuard,
}

/// The way to one function.
#[derive(Debug)]
pub(crate) struct Route(Vec<Group<Arc<Node>>>);

impl Route {
    /// Whether any node may get a connection.
    pub(crate) fn has_nodes(&self) -> bool {
        let mut weighty = self.0.iter().filter(|group| group.weight > 0);
        weighty.any(|group| !group.nodes.is_empty())
    }

    /// Whether there is a node beside this one and those that were tried.
    pub(crate) fn has_others(&self, tried: &[Arc<Node>], this: &Arc<Node>) -> bool {
        let mut nodes = self
            .0
            .iter()
            .filter(|group| group.weight > 0)
            .flat_map(|group| &group.nodes);
        nodes.any(|node| {
            !Arc::ptr_eq(node, this) && !tried.iter().any(|tried| Arc::ptr_eq(tried, node))
        })
    }
}

impl Routes {
    /// No routes yet. The seed decides which nodes are drawn.
    pub(crate) fn new(timing: HealthTiming, prober: Prober, seed: u64) -> Self {
        Self(Arc::new(Shared {
            timing,
            prober,
            current: Mutex::default(),
            changed: watch::Sender::new(()),
            waiting: Waiting::default(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }))
    }

    /// Replaces the table, for connections from now on. Nodes that stay keep their standing. Must be called within a
    /// Tokio runtime, where nodes are probed.
    pub fn replace(&self, table: &Table) {
        let mut current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut nodes = HashMap::new();
        let mut node = |address: Address| -> Arc<Node> {
            let known = nodes.entry(address).or_insert_with_key(|address| {
                let known = current.nodes.remove(address);
                known.unwrap_or_else(|| self.meet(address.clone()))
            });
            Arc::clone(&known.node)
        };
        let mut functions = HashMap::new();
        for (name, versions) in &table.functions {
            let groups = versions.iter().map(|version| {
                // A table holds none but addresses.
                let addresses = version.nodes.iter().flat_map(|node| node.address());
                Group {
                    weight: version.weight,
                    nodes: addresses.map(&mut node).collect(),
                }
            });
            functions.insert(name.clone(), Arc::new(Route(groups.collect())));
        }
        *current = Current { functions, nodes };
        drop(current);
        self.0.changed.send_replace(());
    }

    /// Those whose function has no node now.
    pub(crate) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    /// The way to a function, as soon as a node is there; `None`: there is no such function any more.
    pub(crate) async fn awake(&self, function: &FunctionName) -> Option<Arc<Route>> {
        let mut changed = self.0.changed.subscribe();
        let _waits = self.0.waiting.enter(function);
        loop {
            let route = self.to(function)?;
            if route.has_nodes() {
                return Some(route);
            }
            // This holds the sender.
            changed.changed().await.ok()?;
        }
    }

    /// The nodes that get no callers while others are there.
    pub fn out_of_rotation(&self) -> Vec<Address> {
        let current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let nodes = current.nodes.values().map(|known| &known.node);
        let out = nodes.filter(|node| !node.in_rotation());
        out.map(|node| node.address().clone()).collect()
    }

    /// How many nodes the table names, and how many of them are out of rotation.
    pub(crate) fn count(&self) -> (usize, usize) {
        let current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let nodes = current.nodes.values().map(|known| &known.node);
        let out = nodes.filter(|node| !node.in_rotation()).count();
        (current.nodes.len(), out)
    }

    /// How many functions the table names.
    pub(crate) fn functions(&self) -> usize {
        let current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        current.functions.len()
    }

    /// The way to a function, if there is such a function.
    pub(crate) fn to(&self, function: &FunctionName) -> Option<Arc<Route>> {
        let current = self
            .0
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        current.functions.get(function).cloned()
    }

    /// The next node to try, counted as having one connection more.
    pub(crate) fn choose(&self, route: &Route, tried: &[Arc<Node>]) -> Option<InFlight> {
        let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let may = |node: &Arc<Node>| !tried.iter().any(|tried| Arc::ptr_eq(tried, node));
        let node = balance::choose(&route.0, may, &mut *rng)?;
        Some(node.connection())
    }

    fn meet(&self, address: Address) -> Known {
        let share = {
            let mut rng = self.0.rng.lock().unwrap_or_else(PoisonError::into_inner);
            rng.random::<f64>()
        };
        let health = Health::new(self.0.timing, Instant::now(), share);
        let node = Node::new(address, health);
        let gone = CancellationToken::new();
        let probed = Arc::clone(&node).probe_until(gone.clone(), self.0.prober);
        tokio::spawn(probed);
        Known {
            node,
            _probed: gone.drop_guard(),
        }
    }
}
