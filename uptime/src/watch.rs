//! The watcher: probes every node once a slot, keeps what it got, commits and reveals.
//!
//! Four tasks, joined by bounded channels: one learns which nodes there are, one probes slot after slot, one writes down
//! what was seen, one posts commitments and reveals. A fifth tells a contract the same, where that is wanted. What must survive a crash goes through [`store::Store`], in this
//! order: evidence of a slot, then the slot's scores, then at the end of the epoch its sealed scores, and only then
//! the commitment leaves the machine. A slot that was not written down was not seen.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nacre_client::Trust;
use nacre_protocol::uptime::Schedule;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::error::WatchError;
use crate::seeds::WatcherKey;

mod api;
mod canary;
mod chained;
mod keep;
mod meters;
mod probe;
mod round;
pub mod store;
mod submit;
mod targets;

pub use api::ControlPlane;
pub use canary::Canary;
pub use chained::{Chain, ChainFailure, Said};
pub use meters::Meters;
pub use submit::Sink;
pub use targets::{Source, Target};

/// What a watcher is given.
#[derive(Debug)]
pub struct WatcherConfig {
    /// Its key.
    pub key: WatcherKey,
    /// Root and policy for nodes' enclaves.
    pub trust: Trust,
    /// How time is cut.
    pub schedule: Schedule,
    /// Where nodes are learned from.
    pub source: Source,
    /// Where commitments and reveals go.
    pub sink: Sink,
    /// The contract that is told the same.
    pub chain: Option<Box<dyn Chain>>,
    /// How many probes run at once.
    pub concurrency: usize,
    /// Where it is counted.
    pub meters: Arc<Meters>,
}

/// Watches until `stop`. The slot that runs then is not seen; what was written down stays, and is taken up again.
pub async fn run(
    config: WatcherConfig,
    store: store::Store,
    stop: CancellationToken,
) -> Result<(), WatchError> {
    let WatcherConfig {
        key,
        trust,
        schedule,
        source,
        sink,
        chain,
        concurrency,
        meters,
    } = config;
    let first = match targets::load(&source).await {
        // It may owe reveals, and will learn of the nodes when the control plane is back.
        Err(error @ WatchError::Unreachable { .. }) => {
            tracing::warn!(%error, "no nodes are known yet");
            Vec::new()
        }
        loaded => loaded?,
    };
    let (targets_tx, targets_rx) = watch::channel(Arc::new(first));
    // One slot is written down while the next is probed; a third waits rather than being forgotten.
    let (seen_tx, seen_rx) = mpsc::channel(1);
    let sealed = Arc::new(Notify::new());
    let store = store::Shared::new(store);

    let rounds = round::Rounds {
        key: key.clone(),
        schedule,
        trust,
        targets: targets_rx,
        permits: Arc::new(Semaphore::new(concurrency)),
        after: store.lock().last_slot(),
        meters: Arc::clone(&meters),
    };
    let speaker = chain.map(|chain| chained::Speaker {
        key: key.clone(),
        schedule,
        chain,
        store: store.clone(),
        meters: Arc::clone(&meters),
    });
    let submitter = submit::Submitter {
        key,
        schedule,
        sink,
        store: store.clone(),
        meters,
    };
    // Whoever fails ends all: a watcher that cannot write must not go on looking.
    let probing = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = rounds.run(&seen_tx) => {}
        }
        drop(seen_tx);
        Ok(())
    };
    let refreshing = targets::refresh(&source, schedule, targets_tx, &stop);
    let keeping = keep::run(store, schedule, seen_rx, Arc::clone(&sealed));
    let submitting = submitter.run(&sealed, &stop);
    let speaking = async {
        match &speaker {
            Some(speaker) => speaker.run(&stop).await,
            None => Ok(()),
        }
    };
    let all = async { tokio::try_join!(probing, keeping, submitting, speaking) };
    tokio::select! {
        done = all => done.map(|_| ()),
        never = refreshing => match never {},
    }
}

/// The watcher's own clock.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    u64::try_from(millis).unwrap_or(u64::MAX)
}
