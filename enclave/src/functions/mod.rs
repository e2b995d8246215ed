//! The functions that this enclave was told to run.
//!
//! The host names a digest; what it has sent under that digest is read as a bundle, its model is given to a worker,
//! and when the worker is ready the function takes its name's place, in one step: callers see the old one or the new
//! one, and never none. A function that cannot be loaded leaves the one before it where it is.

mod blobs;
mod events;
mod fetch;
mod function;
mod load;
mod memory;
mod slots;

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use nacre_protocol::control::{FunctionLoad, FunctionState, FunctionStatus};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use tokio::sync::{Mutex, mpsc};

pub use blobs::{Blob, BlobError, BlobStore, Upload};
pub use events::EventLog;
pub use function::{Function, Statistics};
pub use load::LoadError;
pub use memory::{InsufficientMemory, MemoryBudget, Reservation};

use crate::counters::Counters;
use crate::egress::Egress;
use crate::workers::{FunctionEvent, FunctionEventKind};
use slots::UidSlots;

/// Most functions at once, loading and failed ones included.
pub const MAX_FUNCTIONS: usize = 1024;
/// Worker events that may wait to be logged.
const WORKER_EVENTS: usize = 1024;

/// How workers are run.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Path of the `nacre-worker` program.
    pub worker_bin: PathBuf,
    /// Path of libonnxruntime.
    pub onnxruntime: PathBuf,
    /// Most bytes that one inference may answer.
    pub max_output_bytes: u64,
    /// Workers' user ids begin here (in slots of [`crate::workers::FIRST_UID`]); two enclaves on one machine must not
    /// share any.
    pub first_slot: u32,
    /// Refuse to run a worker without every wall around it, as production does.
    pub require_full_isolation: bool,
}

/// The functions, by name.
#[derive(Debug)]
pub struct Functions {
    places: RwLock<BTreeMap<FunctionName, Place>>,
    blobs: BlobStore,
    budget: MemoryBudget,
    settings: WorkerSettings,
    egress: Egress,
    uids: UidSlots,
    events: Arc<EventLog>,
    worker_events: mpsc::Sender<FunctionEvent>,
}

/// What one name stands for.
#[derive(Debug, Default)]
struct Place {
    serving: Option<Arc<Function>>,
    pending: Option<Pending>,
    /// Loading and deleting take turns, a name at a time.
    turn: Arc<Mutex<()>>,
}

/// What is to serve, and does not yet, or failed to.
#[derive(Debug)]
struct Pending {
    digest: Digest,
    failure: Option<String>,
}

impl Functions {
    /// No functions yet. Must be called inside the runtime: worker events are collected by a task.
    pub fn new(
        memory: u64,
        settings: WorkerSettings,
        egress: Egress,
        events: Arc<EventLog>,
        counters: Arc<Counters>,
    ) -> Self {
        let budget = MemoryBudget::new(memory);
        let (worker_events, from_workers) = mpsc::channel(WORKER_EVENTS);
        tokio::spawn(collect(from_workers, Arc::clone(&events), counters));
        Self {
            places: RwLock::default(),
            blobs: BlobStore::new(budget.clone()),
            budget,
            uids: UidSlots::starting_at(settings.first_slot),
            settings,
            egress,
            events,
            worker_events,
        }
    }

    /// The function that serves under this name.
    pub fn get(&self, name: &str) -> Option<Arc<Function>> {
        // A name that is none has no function.
        let name: FunctionName = name.parse().ok()?;
        self.read()
            .get(&name)
            .and_then(|place| place.serving.clone())
    }

    /// The function that serves and has this digest.
    pub fn get_by_digest(&self, digest: &Digest) -> Option<Arc<Function>> {
        self.read()
            .values()
            .filter_map(|place| place.serving.as_ref())
            .find(|function| function.digest == *digest)
            .cloned()
    }

    /// All that serve, by name.
    pub fn serving(&self) -> Vec<Arc<Function>> {
        self.read()
            .values()
            .filter_map(|place| place.serving.clone())
            .collect()
    }

    /// Whether every function that the enclave was told to run has answered its call to serve.
    pub fn all_ready(&self) -> bool {
        self.read().values().all(|place| {
            place
                .serving
                .as_ref()
                .is_some_and(|function| function.runner.is_ready())
        })
    }

    /// Every function. A name has two entries while a new version loads beside the one that serves, or has failed to.
    pub fn status(&self) -> Vec<FunctionStatus> {
        let places = self.read();
        let entries = places.iter().flat_map(|(name, place)| {
            let serving = place.serving.as_ref().map(|function| FunctionStatus {
                name: name.clone(),
                digest: function.digest,
                // While its worker is being replaced it does not answer; that passes.
                state: match function.runner.is_ready() {
                    true => FunctionState::Ready,
                    false => FunctionState::Loading,
                },
                lease: function.lease(),
                error: None,
                load: function.load(),
            });
            let pending = place.pending.as_ref().map(|pending| FunctionStatus {
                name: name.clone(),
                digest: pending.digest,
                state: match pending.failure {
                    Some(_) => FunctionState::Failed,
                    None => FunctionState::Loading,
                },
                lease: None,
                error: pending.failure.clone(),
                load: FunctionLoad::default(),
            });
            serving.into_iter().chain(pending)
        });
        entries.collect()
    }

    /// The blobs.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// The events.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// The memory that blobs and workers share.
    pub fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Takes a function away. Calls that it has begun are answered.
    pub async fn delete(&self, name: &FunctionName) {
        let Some(turn) = self.read().get(name).map(|place| Arc::clone(&place.turn)) else {
            return;
        };
        let _turn = turn.lock().await;
        let removed = self.write().remove(name);
        if let Some(place) = removed {
            self.events
                .push(name, "deleted", "the function was deleted");
            self.release_blobs(place.serving.as_deref());
        }
    }

    /// Drops the blobs that `gone` used and no function that is left does.
    fn release_blobs(&self, gone: Option<&Function>) {
        let Some(gone) = gone else { return };
        let candidates: Vec<_> = gone.blobs.iter().map(|blob| blob.digest()).collect();
        let in_use: HashSet<_> = self
            .serving()
            .iter()
            .flat_map(|function| {
                function
                    .blobs
                    .iter()
                    .map(|blob| blob.digest())
                    .collect::<Vec<_>>()
            })
            .collect();
        self.blobs.release(&candidates, &in_use);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<FunctionName, Place>> {
        self.places.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<FunctionName, Place>> {
        self.places.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the workers' events on to the log, until the last worker and the registry have gone.
async fn collect(
    mut from_workers: mpsc::Receiver<FunctionEvent>,
    events: Arc<EventLog>,
    counters: Arc<Counters>,
) {
    while let Some(event) = from_workers.recv().await {
        if event.kind == FunctionEventKind::Started {
            counters.worker_started();
        }
        if let Ok(name) = event.function.parse() {
            events.push(&name, event.kind.name(), &event.message);
        }
    }
}
