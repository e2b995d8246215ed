//! The outbox, tended: what waits is sent again or replaced, what was mined is noted.

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;

use super::{Relay, RelayError};
use crate::account::TRANSFER_GAS;
use crate::follow::now_ms;
use crate::job::{Event, Present};
use crate::node::Mined;
use crate::outbox::{Look, Phase, Step as OutboxStep, reserve};
use crate::store::{JobRow, Outgoing, Purpose, Signed, commit};
use crate::worth::{Budget, Fees};

const HOUR_MS: u64 = 3_600_000;

impl Relay {
    /// Looks after every open nonce.
    pub(super) async fn tend(&self, present: &Present) -> Result<(), RelayError> {
        let mut tx = self.store.read().await?;
        let open = Outgoing::open(&mut tx).await?;
        drop(tx);
        if open.is_empty() {
            return Ok(());
        }
        let account = self.account.address();
        let used_nonces = self.node.nonces(account, None).await?;
        let offer = self.node.market().await?.offer();
        for outgoing in open {
            let nonce = outgoing.entry.nonce;
            let mined = match used_nonces > nonce {
                true => self.find(nonce).await?,
                false => None,
            };
            let final_nonces = match (used_nonces > nonce && mined.is_none())
                .then(|| present.head.checked_sub(self.settings.final_depth))
                .flatten()
            {
                Some(block) => self.node.nonces(account, Some(block)).await?,
                None => 0,
            };
            let look = Look {
                head: present.head,
                final_nonces,
                used_nonces,
                mined: mined.map(|mined| (mined.block, mined.succeeded)),
                wanted: self.is_wanted(&outgoing, present).await?,
                offer,
                patience: self.settings.patience,
            };
            self.take_step(outgoing, &look, mined).await?;
        }
        Ok(())
    }

    async fn take_step(
        &self,
        mut outgoing: Outgoing,
        look: &Look,
        mined: Option<Mined>,
    ) -> Result<(), RelayError> {
        let nonce = outgoing.entry.nonce;
        match outgoing.entry.step(look) {
            OutboxStep::Wait => Ok(()),
            OutboxStep::Send => self.send_again(nonce).await,
            OutboxStep::Raise(fees) => {
                outgoing.entry.fees = fees;
                self.replace(outgoing, look.head).await
            }
            OutboxStep::Cancel(fees) => {
                outgoing.entry.is_cancel = true;
                outgoing.entry.gas = TRANSFER_GAS;
                outgoing.entry.fees = fees;
                self.replace(outgoing, look.head).await
            }
            OutboxStep::Mined { .. } => match mined {
                Some(mined) => self.note(&outgoing, &mined).await,
                None => Ok(()),
            },
            OutboxStep::Lose => {
                tracing::error!(nonce, "another program uses this relay's key");
                let mut tx = self.store.write().await?;
                Outgoing::became(&mut tx, nonce, Phase::Lost, None).await?;
                if let Purpose::Submit(job) = &outgoing.purpose {
                    let reverted = false;
                    JobRow::on(&mut tx, job, Event::Unsent { nonce, reverted }, now_ms()).await?;
                }
                Ok(commit(tx).await?)
            }
        }
    }

    /// Signs, keeps and sends what an entry is now.
    async fn replace(&self, mut outgoing: Outgoing, head: u64) -> Result<(), RelayError> {
        let nonce = outgoing.entry.nonce;
        outgoing.entry.offered_at = head;
        let mut tx = self.store.write().await?;
        let since = now_ms().saturating_sub(HOUR_MS);
        let budget = Budget {
            hourly: self.settings.hourly,
            spent: Outgoing::spent_since(&mut tx, since, Some(nonce)).await?,
        };
        let Fees { max, tip } = outgoing.entry.fees;
        if !outgoing.entry.is_cancel
            && !budget.has(reserve(outgoing.entry.gas, outgoing.entry.fees))
        {
            drop(tx);
            self.meters.capped.inc();
            return self.send_again(nonce).await;
        }
        let signed = self.account.sign(&outgoing)?;
        Outgoing::replaced(&mut tx, &outgoing.entry, &signed).await?;
        commit(tx).await?;
        self.meters.replaced.inc();
        tracing::info!(nonce, max_fee = %max, tip = %tip, cancel = outgoing.entry.is_cancel, "transaction replaced");
        self.try_send(nonce, &signed).await;
        Ok(())
    }

    async fn send_again(&self, nonce: u64) -> Result<(), RelayError> {
        let mut tx = self.store.read().await?;
        let signed = Signed::of(&mut tx, nonce).await?;
        drop(tx);
        if let Some(latest) = signed.first() {
            self.try_send(nonce, latest).await;
        }
        Ok(())
    }

    async fn try_send(&self, nonce: u64, signed: &Signed) {
        if let Err(error) = self.node.send(&signed.raw).await {
            tracing::debug!(nonce, code = error.code(), %error, "not sent yet");
        }
    }

    /// One of the nonce's transactions, where one is in a block.
    async fn find(&self, nonce: u64) -> Result<Option<Mined>, RelayError> {
        let mut tx = self.store.read().await?;
        let signed = Signed::of(&mut tx, nonce).await?;
        drop(tx);
        for signed in signed {
            if let Some(mined) = self.node.mined(&signed.hash).await? {
                return Ok(Some(mined));
            }
        }
        Ok(None)
    }

    async fn note(&self, outgoing: &Outgoing, mined: &Mined) -> Result<(), RelayError> {
        let nonce = outgoing.entry.nonce;
        let phase = Phase::Mined {
            block: mined.block,
            succeeded: mined.succeeded,
        };
        // Of a call and what was to take its place, either may have been mined.
        let cancelled = mined.to == Some(self.account.address());
        let mut tx = self.store.write().await?;
        Outgoing::became(&mut tx, nonce, phase, Some(mined.cost)).await?;
        if let Purpose::Submit(job) = &outgoing.purpose
            && (cancelled || !mined.succeeded)
        {
            let reverted = !cancelled;
            JobRow::on(&mut tx, job, Event::Unsent { nonce, reverted }, now_ms()).await?;
        }
        failpoint::before(Step::NoteMined);
        commit(tx).await?;
        failpoint::after(Step::NoteMined);
        self.meters.mined(mined);
        tracing::info!(nonce, block = mined.block, succeeded = mined.succeeded, cancelled, cost = %mined.cost, "transaction mined");
        Ok(())
    }

    async fn is_wanted(&self, outgoing: &Outgoing, present: &Present) -> Result<bool, RelayError> {
        let job = match &outgoing.purpose {
            Purpose::Submit(job) => job,
            // What only uses up a nonce goes on with that.
            Purpose::Duty(_) if outgoing.entry.is_cancel => return Ok(false),
            Purpose::Duty(duty) => return self.wants(duty, present).await,
        };
        let mut tx = self.store.read().await?;
        let row = JobRow::get(&mut tx, job).await?;
        Ok(row.is_some_and(|row| {
            let deadline = row.asked.job.request.deadline;
            row.state.wants(outgoing.entry.nonce, present, deadline)
        }))
    }
}
