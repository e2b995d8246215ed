//! `nacre chain subscribe`: a function asked at regular times, paid in advance.

mod open;
mod status;

use alloy::primitives::{Address, U256};
use alloy::sol_types::SolCall;
use clap::Subcommand;
use serde::Serialize;

use super::session::{Printer, ReadArgs, SendArgs, Sent};
use super::token::allow;
use crate::account::{Done, call_to};
use crate::contracts::JobSubscriptions;
use crate::deployment::Name;
use crate::error::ChainError;

/// What is done with subscriptions.
#[derive(Debug, Clone, Subcommand)]
pub enum SubscribeCommand {
    /// Begin a subscription of the account's, with a first deposit.
    Open(Box<open::OpenArgs>),
    /// Add to a balance. Anybody may; it is the owner's from then on.
    TopUp(AmountArgs),
    /// Stop a subscription of the account's for a while. Slots that pass meanwhile are not made up for.
    Pause(WhichArgs),
    /// Go on with it.
    Resume(WhichArgs),
    /// Run the slot that it is now, and be credited the plan's reward. Anybody may, once a slot.
    Run(WhichArgs),
    /// Take from the balance of a subscription of the account's: credited, to be claimed.
    Withdraw(AmountArgs),
    /// End a subscription of the account's for good. The balance is credited, to be claimed.
    Terminate(WhichArgs),
    /// Bring back the fee of a run that nobody answered, once its job is cancelled (`nacre chain cancel`). Anybody may.
    Refund(RunArgs),
    /// Have what is credited to this account sent to it.
    Claim(ClaimArgs),
    /// What a subscription runs, when, and where it stands.
    Status(StatusArgs),
}

/// A subscription, and who acts on it.
#[derive(Debug, Clone, clap::Args)]
pub struct WhichArgs {
    /// Its number.
    subscription: u64,
    #[command(flatten)]
    send: SendArgs,
}

/// The same with an amount.
#[derive(Debug, Clone, clap::Args)]
pub struct AmountArgs {
    /// Its number.
    subscription: u64,
    /// Base units of the plan's token; wei where there is none.
    amount: u128,
    #[command(flatten)]
    send: SendArgs,
}

/// One run.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Its job's id.
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
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `status`.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// Its number.
    subscription: u64,
    #[command(flatten)]
    at: ReadArgs,
}

/// A slot that was run.
#[derive(Serialize)]
struct Ran {
    subscription: u64,
    slot: u32,
    /// At the relay: `nacre chain status --job`.
    job: U256,
    #[serde(flatten)]
    sent: Sent,
}

pub(super) async fn run(command: SubscribeCommand, print: &Printer) -> Result<(), ChainError> {
    match command {
        SubscribeCommand::Open(args) => open::open(&args, print).await,
        SubscribeCommand::TopUp(args) => top_up(&args, print).await,
        SubscribeCommand::Pause(args) => set_paused(&args, true, print).await,
        SubscribeCommand::Resume(args) => set_paused(&args, false, print).await,
        SubscribeCommand::Run(args) => run_slot(&args, print).await,
        SubscribeCommand::Withdraw(args) => {
            let call = JobSubscriptions::withdrawCall {
                subscription: args.subscription,
                amount: args.amount,
            };
            act(&args.send, "withdraw", &call, print).await
        }
        SubscribeCommand::Terminate(args) => {
            let subscription = args.subscription;
            let call = JobSubscriptions::terminateCall { subscription };
            act(&args.send, "terminate", &call, print).await
        }
        SubscribeCommand::Refund(args) => {
            let call = JobSubscriptions::refundCall { jobId: args.job };
            act(&args.send, "refund", &call, print).await
        }
        SubscribeCommand::Claim(args) => claim(&args, print).await,
        SubscribeCommand::Status(args) => status::status(&args.at, args.subscription, print).await,
    }
}

async fn top_up(args: &AmountArgs, print: &Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let at = deployment.address(Name::JobSubscriptions);
    let subscriptions = JobSubscriptions::new(at, account.provider());
    let plan = subscriptions.planOf(args.subscription).call().await?;
    let mut call = call_to(
        at,
        &JobSubscriptions::topUpCall {
            subscription: args.subscription,
            amount: args.amount,
        },
    );
    let amount = U256::from(args.amount);
    if plan.token.is_zero() {
        call.value = Some(amount);
    } else {
        allow(print, &account, plan.token, at, amount).await?;
    }
    let done = print.send(&account, "top up", call).await?;
    print.result(&Sent::from(&done), Sent::text)
}

async fn set_paused(args: &WhichArgs, paused: bool, print: &Printer) -> Result<(), ChainError> {
    let subscription = args.subscription;
    let call = JobSubscriptions::setPausedCall {
        subscription,
        paused,
    };
    let what = if paused { "pause" } else { "resume" };
    act(&args.send, what, &call, print).await
}

async fn run_slot(args: &WhichArgs, print: &Printer) -> Result<(), ChainError> {
    let subscription = args.subscription;
    let call = JobSubscriptions::runCall { subscription };
    let done = send(&args.send, "run", &call, print).await?;
    let ran = done.receipt.decoded_log::<JobSubscriptions::Ran>();
    let ran = ran.ok_or_else(|| ChainError::BadAnswer("no event of the run".to_owned()))?;
    let ran = Ran {
        subscription,
        slot: ran.slot,
        job: ran.jobId,
        sent: Sent::from(&done),
    };
    print.result(&ran, |ran| {
        format!("slot {}: job {}\n{}", ran.slot, ran.job, ran.sent.text())
    })
}

async fn claim(args: &ClaimArgs, print: &Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let call = JobSubscriptions::claimCall {
        token: args.token.unwrap_or_default(),
        to: account.address(),
    };
    let at = deployment.address(Name::JobSubscriptions);
    let done = print.send(&account, "claim", call_to(at, &call)).await?;
    print.result(&Sent::from(&done), Sent::text)
}

/// Sends it, and says that it was.
async fn act(
    args: &SendArgs,
    what: &str,
    call: &impl SolCall,
    print: &Printer,
) -> Result<(), ChainError> {
    let done = send(args, what, call, print).await?;
    print.result(&Sent::from(&done), Sent::text)
}

async fn send(
    args: &SendArgs,
    what: &str,
    call: &impl SolCall,
    print: &Printer,
) -> Result<Done, ChainError> {
    let (account, deployment) = args.open().await?;
    let at = deployment.address(Name::JobSubscriptions);
    print.send(&account, what, call_to(at, call)).await
}
