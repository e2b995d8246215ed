//! Where a job stands.

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::answer::{ANSWERED, Answer, CANCELLED};
use super::taken;
use crate::cli::session::{Printer, ReadArgs};
use crate::contracts::JobRelay;
use crate::deployment::Name;
use crate::error::ChainError;

#[derive(Serialize)]
struct Standing {
    job: U256,
    /// `requested`, `answered` or `cancelled`.
    state: &'static str,
    /// Who was drawn, if anybody was yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned: Option<Address>,
    /// Unix seconds.
    deadline: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

pub(in crate::cli) async fn status(
    at: &ReadArgs,
    id: U256,
    print: &Printer,
) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let job = taken(&provider, &deployment, id).await?;
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &provider);
    let state = relay.resultOf(id).call().await?.state;
    let assigned = relay.assignedTo(id).call().await?.operator;
    let answered = match state {
        ANSWERED => Answer::find(&provider, &deployment, id, deployment.from_block).await?,
        _ => None,
    };
    let standing = Standing {
        job: id,
        state: match state {
            ANSWERED => "answered",
            CANCELLED => "cancelled",
            _ => "requested",
        },
        assigned: Some(assigned).filter(|operator| !operator.is_zero()),
        deadline: job.request.deadline.to(),
        answer: answered,
    };
    print.result(&standing, |of| match (&of.answer, of.assigned) {
        (Some(answer), _) => answer.text(),
        (None, Some(operator)) => format!(
            "{}, drawn: {operator}, deadline {} (Unix seconds)",
            of.state, of.deadline
        ),
        (None, None) => format!("{}, deadline {} (Unix seconds)", of.state, of.deadline),
    })
}
