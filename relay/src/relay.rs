//! The loop: follow the chain, do what each job needs, tend the outbox.
//!
//! Work that waits for others (platform, enclaves) runs in tasks beside the loop, one a job at a time, and as many as are
//! allowed. What each of them did is in the database before the next look; nothing is remembered that a restart would miss.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nacre_chain::error::ChainError;
use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::eip712::EthAddress;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{MissedTickBehavior, interval};

use crate::account::{Account, SigningError};
use crate::draw::keys::KeysError;
use crate::follow::{FollowError, Follower, now_ms};
use crate::job::{Event, JobState, Next, Present};
use crate::meters::Meters;
use crate::node::Node;
use crate::platform::{Platform, PlatformError};
use crate::prove::{ProofError, Prover};
use crate::request::Contract;
use crate::store::{BlockRef, JobRow, Store, StoreError, commit};
use crate::worth::Terms;

mod answer;
mod begin;
mod duties;
mod input;
mod mine;
mod send;

pub use duties::Operator;

/// How a relay works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In how many blocks' depth a request counts; 1 is the head itself.
    pub confirmations: u64,
    /// In which depth nothing is reorganised any more.
    pub final_depth: u64,
    /// The first block to read where nothing was followed yet.
    pub first: Option<u64>,
    /// How often the node is asked for its head.
    pub poll: Duration,
    /// Jobs that are with the platform at once.
    pub parallel: usize,
    /// Who is paid.
    pub payee: EthAddress,
    /// Whose enclaves answer through this platform; empty: unknown, and nobody's turn is waited for before a job is run.
    pub operators: Vec<EthAddress>,
    /// Longest input that is fetched from the platform's store, bytes.
    pub max_input: usize,
    /// For how many blocks an input is waited for whose hash alone was asked for.
    pub input_wait: u64,
    /// What is worth it.
    pub terms: Terms,
    /// Most that is spent on gas in an hour, wei.
    pub hourly: u128,
    /// After how many blocks a transaction that waits offers more.
    pub patience: u64,
}

/// Something that a relay needs did not work; it is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node.
    #[error("{code}: {0}", code = .0.code())]
    Chain(#[from] ChainError),
    /// The node, while the chain was followed.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// An answer.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The account's key.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The draw's secrets.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Work beside the loop broke off.
    #[error("interrupted: work beside the loop broke off")]
    Interrupted,
}

impl RelayError {
    /// Whether going on could do harm: another relay may have the database.
    fn is_fatal(&self) -> bool {
        matches!(self, Self::Store(StoreError::LockLost))
    }
}

/// A relay at work.
#[derive(Debug)]
pub struct Relay {
    /// Its memory.
    pub store: Store,
    /// The chain.
    pub node: Node,
    /// Who sends.
    pub account: Account,
    /// Where jobs run.
    pub platform: Platform,
    /// Who checks answers.
    pub prover: Prover,
    /// Whose requests.
    pub contract: Contract,
    /// How.
    pub settings: Settings,
    /// What is counted.
    pub meters: Meters,
    /// Its part in the draw, where its account is an operator's.
    pub operator: Option<Operator>,
}

/// Jobs that one look takes up at most.
const LOOK: u32 = 4_096;

impl Relay {
    /// Works until `stop`; what is on its way then is found again by the next start.
    ///
    /// # Errors
    ///
    /// Another relay may have the database.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()>) -> Result<(), RelayError> {
        let mut stop = std::pin::pin!(stop);
        let mut poll = interval(self.settings.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hands = Hands::new(self.settings.parallel);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = poll.tick() => {}
                () = hands.moved.notified() => {}
            }
            let looked = tokio::select! {
                () = &mut stop => return Ok(()),
                looked = self.look(&hands) => looked,
            };
            match looked {
                Ok(()) => self.meters.looked(now_ms()),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    self.meters.failures.inc();
                    tracing::warn!(%error, "tried again soon");
                }
            }
        }
    }

    async fn look(self: &Arc<Self>, hands: &Hands) -> Result<(), RelayError> {
        self.store.still_owned().await?;
        let follower = Follower {
            contract: self.contract,
            first: self.settings.first,
            final_depth: self.settings.final_depth,
        };
        let progress = follower.advance(&self.store, &self.node).await?;
        self.meters.followed(&progress);
        let Some(head) = progress.head else {
            return Ok(());
        };
        if progress.behind > 0 {
            hands.moved.notify_one();
        }
        let present = self.present(&head);
        // Links have little time, and nothing changes of the draw but in a new block.
        if hands.served.load(Ordering::Relaxed) != head.number {
            match self.serve(&present).await {
                Ok(()) => hands.served.store(head.number, Ordering::Relaxed),
                Err(error) => {
                    self.meters.failures.inc();
                    tracing::warn!(%error, "the draw is looked at again soon");
                }
            }
        }
        self.work(hands, &present).await?;
        // Nothing becomes of a transaction but in a new block.
        if hands.tended.load(Ordering::Relaxed) != head.number {
            self.tend(&present).await?;
            hands.tended.store(head.number, Ordering::Relaxed);
        }
        let mut tx = self.store.read().await?;
        self.meters.census(JobRow::census(&mut tx).await?);
        Ok(())
    }

    fn present(&self, head: &BlockRef) -> Present {
        Present {
            head: head.number,
            now: head.time,
            confirmations: self.settings.confirmations,
            final_depth: self.settings.final_depth,
        }
    }

    /// Takes up every job that needs something.
    async fn work(self: &Arc<Self>, hands: &Hands, present: &Present) -> Result<(), RelayError> {
        let mut tx = self.store.read().await?;
        let due = JobRow::due(&mut tx, now_ms(), present, LOOK).await?;
        drop(tx);
        let mut ready = Vec::new();
        for row in due {
            let id = row.asked.id;
            match row.state.next(present, row.asked.job.request.deadline) {
                Next::Wait => {}
                Next::Drop(reason) => {
                    self.tell(&id, Event::Dropped(reason)).await?;
                }
                Next::Finish => {
                    let mut tx = self.store.write().await?;
                    JobRow::finish(&mut tx, &id).await?;
                    commit(tx).await?;
                }
                Next::LayIn => self.with_hands(
                    hands,
                    row,
                    |relay, row, present| async move { relay.begin(&row, &present).await },
                    *present,
                ),
                Next::Ask => self.with_hands(
                    hands,
                    row,
                    |relay, row, present| async move { relay.answer(&row, &present).await },
                    *present,
                ),
                Next::Send => ready.push(row),
            }
        }
        if !ready.is_empty() {
            self.send_all(ready, present).await?;
        }
        Ok(())
    }

    /// Does something about a job beside the loop, if nothing is being done about it and hands are free.
    fn with_hands<F>(
        self: &Arc<Self>,
        hands: &Hands,
        row: JobRow,
        what: impl FnOnce(Arc<Self>, JobRow, Present) -> F + Send + 'static,
        present: Present,
    ) where
        F: Future<Output = Result<(), RelayError>> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&hands.free).try_acquire_owned() else {
            return;
        };
        let id = row.asked.id;
        if !lock(&hands.busy).insert(id) {
            return;
        }
        let (relay, busy, moved) = (
            Arc::clone(self),
            Arc::clone(&hands.busy),
            Arc::clone(&hands.moved),
        );
        tokio::spawn(async move {
            if let Err(error) = what(Arc::clone(&relay), row, present).await {
                relay.meters.failures.inc();
                tracing::warn!(job = %id, %error, "tried again in a while");
                if let Err(error) = relay.later(&id, AFTER_FAILURE).await {
                    tracing::error!(job = %id, %error, "the database does not take it");
                }
            }
            lock(&busy).remove(&id);
            drop(permit);
            moved.notify_one();
        });
    }

    /// Tells a job what happened to it.
    async fn tell(&self, id: &ChainJobId, event: Event) -> Result<Option<JobState>, RelayError> {
        let mut tx = self.store.write().await?;
        let state = JobRow::on(&mut tx, id, event, now_ms()).await?;
        commit(tx).await?;
        if let Event::Dropped(reason) | Event::TryAgain(reason) = event {
            tracing::info!(job = %id, %reason, "not answered");
        }
        Ok(state)
    }

    /// Looks at a job not before a while has passed.
    async fn later(&self, id: &ChainJobId, wait: Duration) -> Result<(), RelayError> {
        let due = now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let mut tx = self.store.write().await?;
        JobRow::wait_until(&mut tx, id, due).await?;
        Ok(commit(tx).await?)
    }
}

/// Before a job is taken up again whose platform, node or enclave failed.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// What is being done beside the loop.
#[derive(Debug)]
struct Hands {
    free: Arc<Semaphore>,
    busy: Arc<Mutex<HashSet<ChainJobId>>>,
    /// Something was done.
    moved: Arc<Notify>,
    /// The head at which the outbox was tended last.
    tended: AtomicU64,
    /// The head at which the draw was looked at last.
    served: AtomicU64,
}

impl Hands {
    fn new(number: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(number.max(1))),
            busy: Arc::default(),
            moved: Arc::default(),
            tended: AtomicU64::new(u64::MAX),
            served: AtomicU64::new(u64::MAX),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
