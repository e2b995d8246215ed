//! `nacre chain slash`: whoever did not do what its stake stands for. The reporter gets the bounty.

use alloy::primitives::aliases::U40;
use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::job::act_on;
use super::session::{Printer, SendArgs, Sent};
use crate::account::{Done, call_to};
use crate::contracts::{JobRelay, UptimeOracle};
use crate::deployment::Name;
use crate::error::ChainError;

/// Arguments of `slash`: exactly one of a job, a batch, and a watcher.
#[derive(Debug, Clone, clap::Args)]
#[command(group(clap::ArgGroup::new("of").required(true).args(["job", "withheld", "silent"])))]
pub struct SlashArgs {
    /// The operator that was drawn for this job and did not answer while it was its alone.
    job: Option<U256>,
    /// The committee's members that kept their links of this batch back; they lose their seats too.
    #[arg(long, value_name = "BATCH")]
    withheld: Option<u64>,
    /// The watcher that committed to what it saw in an epoch, and did not reveal it.
    #[arg(long, value_name = "ADDRESS", requires = "epoch")]
    silent: Option<Address>,
    /// With --silent: the epoch.
    #[arg(long, value_name = "EPOCH", conflicts_with_all = ["job", "withheld"])]
    epoch: Option<u64>,
    #[command(flatten)]
    send: SendArgs,
}

/// Who lost what.
#[derive(Serialize)]
struct Slashed {
    slashed: Vec<Loss>,
    #[serde(flatten)]
    sent: Sent,
}

#[derive(Serialize)]
struct Loss {
    account: Address,
    /// Base units of the stake; less than the penalty where there was less.
    amount: U256,
}

pub(super) async fn slash(args: SlashArgs, print: &Printer) -> Result<(), ChainError> {
    match (args.job, args.withheld, args.silent, args.epoch) {
        (Some(job), ..) => late(&args.send, job, print).await,
        (None, Some(batch), ..) => withheld(&args.send, batch, print).await,
        (None, None, Some(watcher), Some(epoch)) => silent(&args.send, watcher, epoch, print).await,
        // The parser lets nothing else through.
        _ => Err(ChainError::Input(
            "name a job, --withheld, or --silent with --epoch".to_owned(),
        )),
    }
}

async fn late(send: &SendArgs, job: U256, print: &Printer) -> Result<(), ChainError> {
    let call = |job| JobRelay::slashLateCall { job };
    let done = act_on(send, job, print, "slash", call).await?;
    let of = |event: JobRelay::LateSlashed| (event.operator, event.amount);
    show(&done, losses(&done, of), print)
}

async fn withheld(send: &SendArgs, batch: u64, print: &Printer) -> Result<(), ChainError> {
    let batch = U40::try_from(batch);
    let batch = batch.map_err(|_| ChainError::Input("--withheld: no such batch".to_owned()))?;
    let (account, deployment) = send.open().await?;
    let call = JobRelay::reportWithheldCall { batch };
    let relay = deployment.address(Name::JobRelay);
    let done = print.send(&account, "slash", call_to(relay, &call)).await?;
    let of = |event: JobRelay::Withheld| (event.operator, event.amount);
    show(&done, losses(&done, of), print)
}

async fn silent(
    send: &SendArgs,
    watcher: Address,
    epoch: u64,
    print: &Printer,
) -> Result<(), ChainError> {
    let (account, deployment) = send.open().await?;
    let call = UptimeOracle::chargeSilentCall { watcher, epoch };
    let oracle = deployment.address(Name::UptimeOracle);
    let done = print
        .send(&account, "slash", call_to(oracle, &call))
        .await?;
    let of = |event: UptimeOracle::Charged| (event.watcher, event.amount);
    show(&done, losses(&done, of), print)
}

/// What the events of this kind say.
fn losses<E: alloy::sol_types::SolEvent>(
    done: &Done,
    of: impl Fn(E) -> (Address, U256),
) -> Vec<Loss> {
    let logs = done.receipt.inner.logs().iter();
    let events = logs.filter_map(|log| E::decode_log(&log.inner).ok());
    events
        .map(|event| of(event.data))
        .map(|(account, amount)| Loss { account, amount })
        .collect()
}

fn show(done: &Done, slashed: Vec<Loss>, print: &Printer) -> Result<(), ChainError> {
    let sent = Sent::from(done);
    print.result(&Slashed { slashed, sent }, |of| {
        let lines = of
            .slashed
            .iter()
            .map(|loss| format!("{} lost {}", loss.account, loss.amount));
        lines.chain([of.sent.text()]).collect::<Vec<_>>().join("\n")
    })
}
