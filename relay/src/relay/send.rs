//! An answer becomes a transaction, when it is its turn, the contract would take it now, and it is worth its gas.
//!
//! Of several relays with the same answer, one pays. So everything that can be asked is asked first, in the pending block:
//! whoever comes second finds out by a call that costs nothing.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use nacre_chain::error::ChainError;
use nacre_failpoint as failpoint;
use nacre_failpoint::Step;

use super::{Relay, RelayError};
use crate::follow::now_ms;
use crate::job::{Event, Present, Standing, Work};
use crate::outbox::{Entry, Phase, reserve};
use crate::prove::{ProofError, unregistered};
use crate::reason::Reason;
use crate::store::{Answer, JobRow, Outgoing, Purpose, commit};
use crate::worth::{Budget, Fees, Judgement, Market};

/// Before a job is looked at again whose turn it is not, or whose end is about to be seen.
const LATER: Duration = Duration::from_millis(1_000);
/// Questions to the node at once.
const QUESTIONS: usize = 16;
/// Most gas of one transaction (EIP-7825).
const MAX_GAS: u64 = 16_777_216;
const HOUR_MS: u64 = 3_600_000;

/// A call that the contract would take now.
struct Ready {
    row: JobRow,
    data: Vec<u8>,
    gas: u64,
    ceiling: u128,
}

impl Relay {
    /// Sends what is ready to be sent.
    pub(super) async fn send_all(
        &self,
        rows: Vec<JobRow>,
        present: &Present,
    ) -> Result<(), RelayError> {
        let market = self.node.market().await?;
        let used = self.node.nonces(self.account.address(), None).await?;
        let ready = stream::iter(rows).map(|row| self.ready(row, present, market));
        let mut ready = std::pin::pin!(ready.buffer_unordered(QUESTIONS));
        while let Some(ready) = ready.next().await {
            if let Some(ready) = ready?
                && !self.dispatch(ready, present, market, used).await?
            {
                break;
            }
        }
        Ok(())
    }

    /// Whether the contract takes the answer now, and for how much gas.
    async fn ready(
        &self,
        row: JobRow,
        present: &Present,
        market: Market,
    ) -> Result<Option<Ready>, RelayError> {
        let id = row.asked.id;
        let request = &row.asked.job.request;
        let mut tx = self.store.read().await?;
        let answer = Answer::of(&mut tx, &id).await?;
        drop(tx);
        let Some(answer) = answer else {
            self.again(&row, Reason::AnswerRefused).await?;
            return Ok(None);
        };
        let turn = self.node.turn(&id).await?;
        let registered = match self.node.worker(&answer.signer, &request.image).await {
            Ok(registered) => registered,
            Err(ChainError::Refused(refusal)) => {
                match unregistered(refusal.code(), &refusal) {
                    ProofError::Refused { reason, .. } => self.again(&row, reason).await?,
                    _ => self.later(&id, LATER).await?,
                }
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let own = turn.operator == Some(registered.operator);
        if !own && present.now < turn.until {
            self.later(&id, LATER).await?;
            return Ok(None);
        }
        let data = self.node.submission(&row.asked.job, &answer);
        let (from, to) = (self.account.address(), self.contract.address);
        let gas = match self.node.estimate(from, to, data.clone()).await {
            Ok(gas) => gas,
            Err(ChainError::Refused(refusal)) => {
                self.refused(&row, &answer, present, refusal.code()).await?;
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        // What the callee does may have changed by then.
        let gas = gas.saturating_add(gas / 10).min(MAX_GAS);
        let duty = own && row.asked.assured;
        match self.settings.terms.judge_gas(request, gas, &market, duty) {
            Judgement::Take { ceiling } => Ok(Some(Ready {
                row,
                data,
                gas,
                ceiling,
            })),
            Judgement::Wait => {
                self.later(&id, LATER).await?;
                Ok(None)
            }
            Judgement::Leave(reason) => {
                self.leave(&row, reason).await?;
                Ok(None)
            }
        }
    }

    /// The contract would not take it now.
    async fn refused(
        &self,
        row: &JobRow,
        answer: &Answer,
        present: &Present,
        code: &str,
    ) -> Result<(), RelayError> {
        tracing::debug!(job = %row.asked.id, code, "the contract would refuse the answer");
        match code {
            // Somebody was first, it is over, or it is not our turn: the chain will say.
            "wrong-state" | "deadline-passed" | "not-drawn-yet" | "not-assigned" => {
                self.meters.beaten.inc();
                self.later(&row.asked.id, LATER).await
            }
            // Asked for anew after a reorganisation, later than it was answered.
            "bad-execution-time" if answer.executed_ms < present.now.saturating_mul(1000) => {
                self.again(row, Reason::SubmissionRefused).await
            }
            "bad-execution-time" | "key-unknown" | "key-expired" => {
                self.later(&row.asked.id, LATER).await
            }
            _ => {
                tracing::warn!(job = %row.asked.id, code, "the contract refuses the answer");
                self.leave(row, Reason::SubmissionRefused).await
            }
        }
    }

    /// Keeps a transaction and sends it. False where nothing more is to be spent now.
    async fn dispatch(
        &self,
        ready: Ready,
        present: &Present,
        market: Market,
        used: u64,
    ) -> Result<bool, RelayError> {
        let id = ready.row.asked.id;
        let offer = market.offer();
        let max = offer.max.min(ready.ceiling);
        let fees = Fees {
            max,
            tip: offer.tip.min(max),
        };
        let mut tx = self.store.write().await?;
        let row = JobRow::get(&mut tx, &id).await?;
        let still = row.is_some_and(|row| {
            row.state.work == Work::Proven && matches!(row.state.standing, Standing::Requested(_))
        });
        if !still {
            return Ok(true);
        }
        let budget = Budget {
            hourly: self.settings.hourly,
            spent: Outgoing::spent_since(&mut tx, now_ms().saturating_sub(HOUR_MS), None).await?,
        };
        if !budget.has(reserve(ready.gas, fees)) {
            drop(tx);
            self.meters.capped.inc();
            tracing::warn!("the hour's gas is spent: answers wait");
            self.later(&id, LATER).await?;
            return Ok(false);
        }
        let nonce = Outgoing::next_nonce(&mut tx, used).await?;
        let outgoing = Outgoing {
            entry: Entry {
                nonce,
                phase: Phase::Open,
                gas: ready.gas,
                fees,
                ceiling: ready.ceiling,
                offered_at: present.head,
                is_cancel: false,
            },
            purpose: Purpose::Submit(id),
            target: self.contract.address,
            data: ready.data,
        };
        let signed = self.account.sign(&outgoing)?;
        outgoing.keep(&mut tx, &signed, now_ms()).await?;
        JobRow::on(&mut tx, &id, Event::Sent(nonce), now_ms()).await?;
        failpoint::before(Step::KeepTransaction);
        commit(tx).await?;
        failpoint::after(Step::KeepTransaction);
        failpoint::before(Step::SendTransaction);
        if let Err(error) = self.node.send(&signed.raw).await {
            // It is kept, and sent again.
            tracing::warn!(job = %id, nonce, code = error.code(), %error, "not sent yet");
        }
        failpoint::after(Step::SendTransaction);
        self.meters.sent.inc();
        tracing::info!(job = %id, nonce, gas = ready.gas, max_fee = %fees.max, "answer sent");
        Ok(true)
    }
}
