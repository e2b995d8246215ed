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
use nacre_protocol::eip712::EthAddress;

use super::{Relay, RelayError};
use crate::follow::now_ms;
use crate::job::{Event, Present, Standing, Work};
use crate::outbox::{Entry, Phase, reserve};
use crate::prove::{ProofError, unregistered};
use crate::reason::Reason;
use crate::request::Request;
use crate::store::{Answer, JobRow, Outgoing, Purpose, Transaction, commit};
use crate::worth::{Budget, Fees, Judgement, Market, OUTPUT_BYTE_GAS, SUBMISSION_GAS};

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

/// A transaction that is not in the outbox yet.
pub(super) struct Post {
    /// What for.
    pub(super) purpose: Purpose,
    /// The contract.
    pub(super) target: EthAddress,
    /// The call.
    pub(super) data: Vec<u8>,
    /// Its gas limit.
    pub(super) gas: u64,
    /// What a transaction should offer now.
    pub(super) offer: Fees,
    /// Most a gas that it is worth.
    pub(super) ceiling: u128,
    /// What may be spent in this hour, with all that was spent.
    pub(super) hourly: u128,
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
        let gas = gas.saturating_add(gas / 10);
        // A limit costs nothing; one that a node named too low costs a transaction.
        let gas = gas
            .max(least_gas(request, answer.output.len()))
            .min(MAX_GAS);
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
        let mut tx = self.store.write().await?;
        let row = JobRow::get(&mut tx, &id).await?;
        let still = row.is_some_and(|row| {
            row.state.work == Work::Proven && matches!(row.state.standing, Standing::Requested(_))
        });
        if !still {
            return Ok(true);
        }
        let gas = ready.gas;
        let post = Post {
            purpose: Purpose::Submit(id),
            target: self.contract.address,
            data: ready.data,
            gas,
            offer: market.offer(),
            ceiling: ready.ceiling,
            hourly: self.hourly_for_answers(),
        };
        let Some(nonce) = self.post(tx, post, present, used).await? else {
            tracing::warn!("the hour's gas is spent: answers wait");
            self.later(&id, LATER).await?;
            return Ok(false);
        };
        tracing::info!(job = %id, nonce, gas, "answer sent");
        Ok(true)
    }

    /// Keeps a new transaction and sends it; its nonce, or none where the hour's gas is spent.
    pub(super) async fn post(
        &self,
        mut tx: Transaction,
        post: Post,
        present: &Present,
        used: u64,
    ) -> Result<Option<u64>, RelayError> {
        let max = post.offer.max.min(post.ceiling);
        let fees = Fees {
            max,
            tip: post.offer.tip.min(max),
        };
        let budget = Budget {
            hourly: post.hourly,
            spent: Outgoing::spent_since(&mut tx, now_ms().saturating_sub(HOUR_MS), None).await?,
        };
        if !budget.has(reserve(post.gas, fees)) {
            self.meters.capped.inc();
            return Ok(None);
        }
        let nonce = Outgoing::next_nonce(&mut tx, used).await?;
        let outgoing = Outgoing {
            entry: Entry {
                nonce,
                phase: Phase::Open,
                gas: post.gas,
                fees,
                ceiling: post.ceiling,
                offered_at: present.head,
                is_cancel: false,
            },
            purpose: post.purpose,
            target: post.target,
            data: post.data,
        };
        let signed = self.account.sign(&outgoing)?;
        outgoing.keep(&mut tx, &signed, now_ms()).await?;
        if let Purpose::Submit(id) = &outgoing.purpose {
            JobRow::on(&mut tx, id, Event::Sent(nonce), now_ms()).await?;
        }
        failpoint::before(Step::KeepTransaction);
        commit(tx).await?;
        failpoint::after(Step::KeepTransaction);
        failpoint::before(Step::SendTransaction);
        if let Err(error) = self.node.send(&signed.raw).await {
            // It is kept, and sent again.
            tracing::warn!(nonce, code = error.code(), %error, "not sent yet");
        }
        failpoint::after(Step::SendTransaction);
        self.meters.sent.inc();
        Ok(Some(nonce))
    }
}

/// What a submission with its callback is likely to take at most.
fn least_gas(request: &Request, output: usize) -> u64 {
    let callback = u64::from(request.callback_gas);
    let output = u64::try_from(output).unwrap_or(u64::MAX);
    SUBMISSION_GAS
        .saturating_add(callback + callback / 63)
        .saturating_add(output.saturating_mul(OUTPUT_BYTE_GAS))
}
