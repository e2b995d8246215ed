//! Tells a contract (`UptimeOracle`) what the watcher commits to and reveals, so that it counts on a chain too.
//!
//! Nothing of it is kept on disk: the sealed scores say what is to be said, and the contract knows what it heard. So a watcher
//! that dies at any moment goes on where the contract stands, and says nothing twice.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nacre_protocol::eip712::{EthAddress, Word};
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{Epoch, Schedule, WatcherId, commitment, scores_root};
use nacre_protocol::verified_enclave::ContractDomain;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::meters::Meters;
use super::store::Shared;
use super::unix_ms;
use crate::chain::seal;
use crate::error::WatchError;
use crate::seeds::WatcherKey;

/// The contract, and the account that speaks to it.
#[async_trait]
pub trait Chain: fmt::Debug + Send + Sync {
    /// Which contract on which chain.
    fn domain(&self) -> ContractDomain;

    /// The watcher's account.
    fn account(&self) -> EthAddress;

    /// How time is cut there.
    async fn schedule(&self) -> Result<Schedule, ChainFailure>;

    /// Under which id the account is enrolled; none where it is not.
    async fn enrolled(&self) -> Result<Option<WatcherId>, ChainFailure>;

    /// Enrols the account, for good.
    async fn enroll(&self, watcher: WatcherId) -> Result<(), ChainFailure>;

    /// What the contract heard of this account on an epoch.
    async fn said(&self, epoch: Epoch) -> Result<Said, ChainFailure>;

    /// Commits. Done when it is mined.
    async fn commit(&self, epoch: Epoch, seal: Word) -> Result<(), ChainFailure>;

    /// Reveals. Done when it is mined.
    async fn reveal(&self, epoch: Epoch, salt: [u8; 32], root: Hash) -> Result<(), ChainFailure>;
}

/// What a contract heard of a watcher on an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Nothing.
    Nothing,
    /// This seal.
    Sealed(Word),
    /// What it was the seal of.
    Revealed,
}

/// Something that the chain did not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ChainFailure {
    /// Stable kebab-case code; of a refusal the contract's own error.
    pub code: String,
    /// For people.
    pub message: String,
    /// Whether the same would fail again.
    pub lasts: bool,
}

impl ChainFailure {
    fn lasting(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            lasts: true,
        }
    }
}

/// That the contract cuts time as this watcher does, and knows its account by this key; enrols it where it does not know it.
async fn check(
    chain: &dyn Chain,
    key: &WatcherKey,
    schedule: &Schedule,
) -> Result<(), ChainFailure> {
    let there = chain.schedule().await?;
    let epochs = |schedule: &Schedule| {
        let first = Epoch(0);
        let times = (schedule.reveals_from(first), schedule.closed_from(first));
        (schedule.slot_ms(), schedule.epoch_slots(), times)
    };
    if epochs(&there) != epochs(schedule) {
        let message = "the contract's slots, epochs or times to commit and reveal have other lengths than the watcher's";
        return Err(ChainFailure::lasting("uptime-schedule-differs", message));
    }
    match chain.enrolled().await? {
        Some(known) if known == key.id() => Ok(()),
        Some(known) => {
            let account = chain.account();
            let message = format!(
                "{account} is enrolled as watcher {known}: take its folder, or another account"
            );
            Err(ChainFailure::lasting("watcher-enrolled-otherwise", message))
        }
        None => {
            tracing::info!(account = %chain.account(), watcher = %key.id(), "enrolling");
            chain.enroll(key.id()).await
        }
    }
}

pub(super) struct Speaker {
    pub(super) key: WatcherKey,
    pub(super) schedule: Schedule,
    pub(super) chain: Box<dyn Chain>,
    pub(super) store: Shared,
    pub(super) meters: Arc<Meters>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Wait,
    Commit,
    Reveal,
    /// All was said.
    Done,
    /// Too late to commit.
    TooLate,
    /// The account committed to something else.
    Otherwise,
}

impl Speaker {
    /// Runs until `stop`. What the chain does not take is tried again until it is too late for it.
    pub(super) async fn run(&self, stop: &CancellationToken) -> Result<(), WatchError> {
        let mut every = interval(Duration::from_millis(self.schedule.slot_ms().into()) / 4);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = BTreeMap::new();
        let mut checked = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                _ = every.tick() => {}
            }
            if !checked {
                match check(self.chain.as_ref(), &self.key, &self.schedule).await {
                    Ok(()) => checked = true,
                    Err(failure) if failure.lasts => return Err(failure.into()),
                    Err(failure) => {
                        let code = &failure.code;
                        tracing::warn!(code, %failure, "the contract cannot be asked yet");
                        continue;
                    }
                }
            }
            let open = self.store.lock().open_at(unix_ms());
            heard.retain(|epoch, _| open.contains(epoch));
            for epoch in open {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    advanced = self.advance(epoch, &mut heard) => advanced?,
                }
            }
        }
    }

    /// Takes an epoch as far as its time has come. `heard` has what the contract is known to have heard.
    async fn advance(
        &self,
        epoch: Epoch,
        heard: &mut BTreeMap<Epoch, Option<Said>>,
    ) -> Result<(), WatchError> {
        let now = unix_ms();
        let known = match heard.get(&epoch) {
            Some(None) => return Ok(()),
            Some(Some(known)) => *known,
            None if now < self.schedule.commits_from(epoch) => return Ok(()),
            None => match self.chain.said(epoch).await {
                Ok(said) => said,
                Err(failure) => {
                    self.failed(epoch, "said", &failure);
                    return Ok(());
                }
            },
        };
        heard.insert(epoch, Some(known));
        if step(&self.schedule, epoch, known, None, now) == Step::Wait {
            return Ok(());
        }
        let rows = self
            .store
            .with(move |store| store.sealed_rows(epoch))
            .await?;
        let Some(root) = scores_root(&rows) else {
            // More nodes than a watcher takes are refused when they are read.
            return Ok(());
        };
        let secret = self.key.epoch_secret(epoch);
        let salt = *secret.salt();
        let commitment = commitment(&self.schedule, &self.key.id(), epoch, &salt, &root);
        let own = seal(
            &self.chain.domain(),
            &self.chain.account(),
            &salt,
            &commitment,
        );
        let (name, done, after) = match step(&self.schedule, epoch, known, Some(own), now) {
            Step::Wait => return Ok(()),
            Step::Commit => {
                let done = self.chain.commit(epoch, own).await;
                ("chain-commit", done, Some(Said::Sealed(own)))
            }
            Step::Reveal => {
                let done = self.chain.reveal(epoch, salt, root).await;
                ("chain-reveal", done, None)
            }
            over => {
                if over != Step::Done {
                    tracing::warn!(
                        epoch = epoch.0,
                        ?over,
                        "the epoch does not count on the chain"
                    );
                    self.meters.posted("chain-commit", "too-late");
                }
                heard.insert(epoch, None);
                return Ok(());
            }
        };
        match done {
            Ok(()) => {
                self.meters.posted(name, "taken");
                heard.insert(epoch, after);
            }
            Err(failure) => {
                self.failed(epoch, name, &failure);
                // It may have been mined all the same.
                heard.remove(&epoch);
            }
        }
        Ok(())
    }

    fn failed(&self, epoch: Epoch, step: &'static str, failure: &ChainFailure) {
        self.meters.posted(step, "failed");
        let code = &failure.code;
        tracing::warn!(epoch = epoch.0, step, code, %failure, "not on the chain yet");
    }
}

/// What is to be done, by what the contract heard; the own seal is asked for where it decides.
fn step(schedule: &Schedule, epoch: Epoch, said: Said, own: Option<Word>, now_ms: u64) -> Step {
    let revealing = now_ms >= schedule.reveals_from(epoch);
    match said {
        Said::Revealed => Step::Done,
        Said::Nothing if revealing => Step::TooLate,
        Said::Nothing if now_ms < schedule.commits_from(epoch) => Step::Wait,
        Said::Nothing => Step::Commit,
        Said::Sealed(seal) if own.is_some_and(|own| own != seal) => Step::Otherwise,
        Said::Sealed(_) if !revealing => Step::Wait,
        Said::Sealed(_) => Step::Reveal,
    }
}

#[cfg(test)]
mod tests;
