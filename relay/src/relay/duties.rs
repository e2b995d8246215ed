//! What an operator does for the draw.

use std::path::Path;
use std::sync::Arc;

use nacre_chain::error::ChainError;
use tokio::sync::Mutex;

use super::send::Post;
use super::{Relay, RelayError};
use crate::draw::duty::{Duty, Rules, View};
use crate::draw::keys::{ChainKeys, KeysError};
use crate::job::Present;
use crate::node::{Moment, Node};
use crate::store::{BlockRef, Outgoing, Purpose};

/// The share of an hour's gas that is left to the draw: a link that is not shown costs stake.
const SHARE: u128 = 10;

/// What an operator's relay has beside another's.
#[derive(Debug)]
pub struct Operator {
    rules: Rules,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    keys: Arc<std::sync::Mutex<ChainKeys>>,
    /// Up to which batch nobody is to be reported.
    settled: u64,
}

impl Operator {
    /// With the chains of this folder.
    ///
    /// # Errors
    ///
    /// The node cannot be asked, or the folder not be used.
    pub async fn new(node: &Node, folder: &Path) -> Result<Self, RelayError> {
        let rules = node.draw_rules().await?;
        let folder = folder.to_owned();
        // A chain is millions of hashes where terms are long.
        let keys = aside(move || ChainKeys::open(&folder)).await?;
        Ok(Self {
            rules,
            memory: Mutex::new(Memory {
                keys: Arc::new(std::sync::Mutex::new(keys)),
                settled: 0,
            }),
        })
    }
}

impl Relay {
    /// What may be spent in an hour on answers.
    pub(super) fn hourly_for_answers(&self) -> u128 {
        match self.operator {
            Some(_) => self.settings.hourly - self.settings.hourly / SHARE,
            None => self.settings.hourly,
        }
    }

    /// Does what is due for the draw.
    pub(super) async fn serve(&self, present: &Present) -> Result<(), RelayError> {
        let Some(operator) = &self.operator else {
            return Ok(());
        };
        let mut memory = operator.memory.lock().await;
        let view = self.view(operator, &mut memory, present).await?;
        let due = view.due(&operator.rules);
        if due.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.read().await?;
        let sent = Outgoing::duties_after(&mut tx, present.head).await?;
        drop(tx);
        for duty in due {
            if !sent.iter().any(|sent| sent.covers(&duty)) {
                self.take_on(operator, &memory, &view, duty, present)
                    .await?;
            }
        }
        Ok(())
    }

    /// Whether a duty's transaction still has a use.
    pub(super) async fn wants(&self, duty: &Duty, present: &Present) -> Result<bool, RelayError> {
        // Without the chains it cannot be told, and the next start with them finds it.
        let Some(operator) = &self.operator else {
            return Ok(true);
        };
        let mut memory = operator.memory.lock().await;
        let view = self.view(operator, &mut memory, present).await?;
        Ok(view.wants(duty, &operator.rules))
    }

    async fn view(
        &self,
        operator: &Operator,
        memory: &mut Memory,
        present: &Present,
    ) -> Result<View, RelayError> {
        let mut tx = self.store.read().await?;
        let tail = BlockRef::tail(&mut tx).await?;
        drop(tx);
        let deep = (present.head + 1).saturating_sub(present.confirmations);
        let deep = tail.iter().find(|block| block.number <= deep);
        let moment = Moment {
            block: present.head,
            now: present.now,
            deep: deep.map_or(0, |block| block.time),
        };
        let keys = Arc::clone(&memory.keys);
        let is_ours = |tip: &_| lock(&keys).has_tip(tip);
        let me = self.account.address();
        let settled = &mut memory.settled;
        let view = self
            .node
            .draw(&me, &moment, &operator.rules, settled, is_ours);
        Ok(view.await?)
    }

    async fn take_on(
        &self,
        operator: &Operator,
        memory: &Memory,
        view: &View,
        duty: Duty,
        present: &Present,
    ) -> Result<(), RelayError> {
        let data = match duty {
            Duty::Enlist => self.node.enlistment(&[1; 32], self.node.displaced().await?),
            Duty::StartTerm { .. } => self.node.term_start(),
            Duty::Report { batch } => self.node.report(batch),
            Duty::Reveal { .. } => match self.links(memory, view, duty).await? {
                Some(data) => data,
                None => return Ok(()),
            },
        };
        let market = self.node.market().await?;
        let (terms, offer) = (&self.settings.terms, market.offer());
        if market.likely() > terms.max_fee {
            tracing::warn!(%duty, "gas is dear: the draw waits");
            return Ok(());
        }
        let target = self.contract.address;
        let estimate = self
            .node
            .estimate(self.account.address(), target, data.clone());
        let gas = match estimate.await {
            Ok(gas) => gas.saturating_add(gas / 5),
            Err(ChainError::Refused(refusal)) => {
                // Somebody was first, or it has no use any more.
                tracing::debug!(%duty, code = refusal.code(), "the contract would refuse it");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let data = match duty {
            Duty::Enlist => self.commitment(operator, memory).await?,
            _ => data,
        };
        let post = Post {
            purpose: Purpose::Duty(duty),
            target,
            data,
            gas,
            offer,
            ceiling: terms.max_fee,
            hourly: self.settings.hourly,
        };
        let used = self.node.nonces(self.account.address(), None).await?;
        let tx = self.store.write().await?;
        match self.post(tx, post, present, used).await? {
            Some(nonce) => {
                self.meters.duties.inc();
                tracing::info!(%duty, nonce, gas, "sent for the draw");
            }
            None => tracing::warn!(%duty, "the hour's gas is spent: the draw waits"),
        }
        Ok(())
    }

    /// A new chain's commitment; its secret is on the disk when this is known.
    async fn commitment(
        &self,
        operator: &Operator,
        memory: &Memory,
    ) -> Result<Vec<u8>, RelayError> {
        let displaced = self.node.displaced().await?;
        let keys = Arc::clone(&memory.keys);
        let length = operator.rules.chain_length();
        let chain = aside(move || lock(&keys).make(length)).await?;
        tracing::info!(length, "a new chain");
        Ok(self.node.enlistment(&chain.tip(), displaced))
    }

    /// The call that shows a seat's links; none where their secret is lost, or the chain is at its end.
    async fn links(
        &self,
        memory: &Memory,
        view: &View,
        duty: Duty,
    ) -> Result<Option<Vec<u8>>, RelayError> {
        let Duty::Reveal { term, seat, up_to } = duty else {
            return Ok(None);
        };
        let seat = view
            .seats
            .iter()
            .find(|of| (of.term, of.seat) == (term, seat));
        let Some(seat) = seat.copied() else {
            return Ok(None);
        };
        let keys = Arc::clone(&memory.keys);
        let tips: Vec<_> = view.seats.iter().map(|seat| seat.tip).collect();
        let link = aside(move || {
            let mut keys = lock(&keys);
            // Chains before those of our seats are used up.
            keys.forget_before(&tips)?;
            let steps = u32::try_from(up_to + 1 - seat.next).ok();
            Ok(steps.and_then(|steps| keys.after(&seat.tip, steps)))
        });
        let link = link.await?;
        if link.is_none() {
            tracing::error!(%duty, "the secret of this seat's chain is not in the folder, or the chain is at its end: its links cannot be shown");
        }
        Ok(link.map(|link| self.node.reveal(&seat, up_to, &link)))
    }
}

/// Runs what takes long beside the loop's thread.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeysError> + Send + 'static,
) -> Result<T, RelayError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(RelayError::Interrupted),
    }
}

fn lock(keys: &std::sync::Mutex<ChainKeys>) -> std::sync::MutexGuard<'_, ChainKeys> {
    keys.lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
