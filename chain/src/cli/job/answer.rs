//! The answer to a job.

use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::DynProvider;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::account::Account;
use crate::cli::session::chain_time;
use crate::contracts::JobRelay;
use crate::deployment::{Deployment, Name};
use crate::error::ChainError;
use crate::events;

/// `IJobRelay.State`.
pub(super) const ANSWERED: u8 = 2;
pub(super) const CANCELLED: u8 = 3;

/// What came of a job.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// 0: the model's answer; otherwise a refusal that model and input determine.
    status: u8,
    /// Who was paid.
    payee: Address,
    /// Whose signature it is.
    key: Address,
    output: Bytes,
}

impl Answer {
    /// Waits until a job that was taken in block `from` is answered, or cannot be any more. Nodes that fail end that only
    /// where they do for longer than the account has patience.
    pub(super) async fn wait(
        account: &Account,
        deployment: &Deployment,
        id: U256,
        from: u64,
        deadline: u64,
    ) -> Result<Self, ChainError> {
        let patience = account.patience();
        let mut looks = interval(patience.every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = Instant::now();
        loop {
            looks.tick().await;
            match Self::look(account.provider(), deployment, id, from, deadline).await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => asked = Instant::now(),
                Err(error) if error.is_transient() && asked.elapsed() < patience.within => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn look(
        provider: &DynProvider,
        deployment: &Deployment,
        id: U256,
        from: u64,
        deadline: u64,
    ) -> Result<Option<Self>, ChainError> {
        let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
        // Asked for first: an answer can come between the two.
        let over = chain_time(provider).await? > deadline;
        match relay.resultOf(id).call().await?.state {
            ANSWERED => Self::find(provider, deployment, id, from).await,
            CANCELLED => Err(ChainError::NotAnswered { job: id }),
            _ if over => Err(ChainError::NotAnswered { job: id }),
            _ => Ok(None),
        }
    }

    /// The answer's event, looked for from this block on.
    pub(super) async fn find(
        provider: &DynProvider,
        deployment: &Deployment,
        id: U256,
        from: u64,
    ) -> Result<Option<Self>, ChainError> {
        let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
        let said = events::one(relay.Answered_filter().topic1(id), from).await?;
        Ok(said.map(|said| Self {
            status: said.event.status,
            payee: said.event.payee,
            key: said.event.key,
            output: said.event.output,
        }))
    }

    /// For people: text as it is, other bytes in hexadecimal.
    pub(super) fn text(&self) -> String {
        let is_strange = |letter: char| letter.is_control() && !letter.is_whitespace();
        let output = match std::str::from_utf8(&self.output) {
            Ok(text) if !text.chars().any(is_strange) => text.to_owned(),
            _ => self.output.to_string(),
        };
        match self.status {
            0 => output,
            status => format!("refused with status {status}: {output}"),
        }
    }
}
