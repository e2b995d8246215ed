//! `nacre chain request`, `cancel`, `claim`, and what `status` says of a job.

mod answer;
mod request;
mod status;
mod upload;

use alloy::primitives::{Address, U256};
use alloy::providers::DynProvider;
use alloy::sol_types::SolCall;

use super::session::{Printer, SendArgs, Sent};
use crate::account::{Done, call_to};
use crate::contracts::{JobRelay, OperatorStaking, job_relay};
use crate::deployment::{Deployment, Name};
use crate::error::ChainError;
use crate::events;

use job_relay::IJobRelay::Job;

pub(super) use request::{RequestArgs, request};
pub(super) use status::status;

/// A job.
#[derive(Debug, Clone, clap::Args)]
pub struct JobArgs {
    /// Its id.
    job: U256,
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `claim`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClaimArgs {
    /// Of this token; ETH where absent.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    /// What the staking contract credited it of slashes instead, in the staked token: bounties, and what the harmed get.
    #[arg(long, conflicts_with = "token")]
    slashes: bool,
    #[command(flatten)]
    send: SendArgs,
}

pub(super) async fn cancel(args: JobArgs, print: &Printer) -> Result<(), ChainError> {
    let call = |job| JobRelay::cancelCall { job };
    let done = act_on(&args.send, args.job, print, "cancel", call).await?;
    print.result(&Sent::from(&done), Sent::text)
}

/// Sends a call that shows the relay the whole job again.
pub(super) async fn act_on<C: SolCall>(
    send: &SendArgs,
    id: U256,
    print: &Printer,
    what: &str,
    call: impl FnOnce(Job) -> C,
) -> Result<Done, ChainError> {
    let (account, deployment) = send.open().await?;
    let job = taken(account.provider(), &deployment, id).await?;
    let relay = deployment.address(Name::JobRelay);
    print.send(&account, what, call_to(relay, &call(job))).await
}

pub(super) async fn claim(args: ClaimArgs, print: &Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let to = account.address();
    let call = if args.slashes {
        let staking = deployment.address(Name::OperatorStaking);
        call_to(staking, &OperatorStaking::collectCall { account: to })
    } else {
        let token = args.token.unwrap_or_default();
        let relay = deployment.address(Name::JobRelay);
        call_to(relay, &JobRelay::claimCall { token, to })
    };
    let done = print.send(&account, "claim", call).await?;
    print.result(&Sent::from(&done), Sent::text)
}

/// A job as it was taken, from its event: whoever acts on it shows all of it again.
async fn taken(
    provider: &DynProvider,
    deployment: &Deployment,
    id: U256,
) -> Result<Job, ChainError> {
    let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
    let asked = relay.Requested_filter().topic1(id);
    let asked = events::one(asked, deployment.from_block).await?;
    let asked = asked.ok_or(ChainError::NoSuchJob { job: id })?.event;
    Ok(Job {
        requester: asked.requester,
        nonce: asked.nonce,
        request: asked.request,
    })
}
