//! Beginning a subscription.

use alloy::primitives::aliases::{U40, U96};
use alloy::primitives::{Address, B256, U256};
use serde::Serialize;

use crate::account::call_to;
use crate::cli::session::{Printer, SendArgs, Sent};
use crate::cli::token::allow;
use crate::contracts::JobSubscriptions;
use crate::deployment::Name;
use crate::error::ChainError;

/// Arguments of `open`: the plan is fixed for the subscription's life.
#[derive(Debug, Clone, clap::Args)]
pub struct OpenArgs {
    /// Which function: SHA-256 of its manifest (`nacre digest`).
    function: B256,
    /// SHA-256 of the input, which the platform's object store has.
    #[arg(long, value_name = "HEX")]
    input_hash: B256,
    /// Which image must answer; any approved one where absent.
    #[arg(long, value_name = "HEX")]
    image: Option<B256>,
    /// Length of a slot, seconds: it is run once in each.
    #[arg(long, value_name = "SECONDS")]
    period: u32,
    /// When the first slot begins, Unix seconds; now where absent or past.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    start: u64,
    /// How many slots there are; without end where absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    slots: Option<u32>,
    /// How long an answer counts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    answer_within: u32,
    /// The relay's fee of one run, base units of --token.
    #[arg(long, value_name = "AMOUNT")]
    fee: u128,
    /// What whoever runs a slot earns, base units of --token.
    #[arg(long, value_name = "AMOUNT")]
    reward: u128,
    /// What is paid at once, base units of --token.
    #[arg(long, value_name = "AMOUNT", default_value_t = 0)]
    deposit: u128,
    /// What is paid in: a token that the deployment takes, approved first where that is needed; ETH, in wei, where absent.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    /// Which contract is told of answers.
    #[arg(long, value_name = "ADDRESS", requires = "callback_gas")]
    callback: Option<Address>,
    /// With how much gas.
    #[arg(long, value_name = "GAS", requires = "callback")]
    callback_gas: Option<u32>,
    #[command(flatten)]
    send: SendArgs,
}

/// A subscription that began.
#[derive(Serialize)]
struct Opened {
    subscription: u64,
    /// When its first slot begins, Unix seconds.
    start: u64,
    #[serde(flatten)]
    sent: Sent,
}

pub(super) async fn open(args: &OpenArgs, print: &Printer) -> Result<(), ChainError> {
    let plan = args.plan()?;
    let (account, deployment) = args.send.open().await?;
    let at = deployment.address(Name::JobSubscriptions);
    let deposit = U256::from(args.deposit);
    let call = JobSubscriptions::subscribeCall {
        plan,
        deposit: args.deposit,
    };
    let mut call = call_to(at, &call);
    match args.token {
        Some(token) => allow(print, &account, token, at, deposit).await?,
        None => call.value = Some(deposit),
    }
    let done = print.send(&account, "subscribe", call).await?;
    let began = done.receipt.decoded_log::<JobSubscriptions::Subscribed>();
    let began = began.ok_or_else(|| ChainError::BadAnswer("no event of it".to_owned()))?;
    let opened = Opened {
        subscription: began.subscription,
        start: began.plan.start.to(),
        sent: Sent::from(&done),
    };
    print.result(&opened, |of| {
        let (number, start) = (of.subscription, of.start);
        format!(
            "subscription {number} from {start} on (Unix seconds)\n{}",
            of.sent.text()
        )
    })
}

impl OpenArgs {
    fn plan(&self) -> Result<JobSubscriptions::Plan, ChainError> {
        let money = |name: &str, amount: u128| {
            let too_much = |_| ChainError::Input(format!("--{name}: more than 96 bits"));
            U96::try_from(amount).map_err(too_much)
        };
        let start = U40::try_from(self.start);
        Ok(JobSubscriptions::Plan {
            functionDigest: self.function,
            imageId: self.image.unwrap_or_default(),
            inputHash: self.input_hash,
            callback: self.callback.unwrap_or_default(),
            callbackGas: self.callback_gas.unwrap_or_default(),
            answerWithin: self.answer_within,
            token: self.token.unwrap_or_default(),
            fee: money("fee", self.fee)?,
            reward: money("reward", self.reward)?,
            start: start.map_err(|_| ChainError::Input("--start: no such time".to_owned()))?,
            period: self.period,
            slots: self.slots.unwrap_or_default(),
        })
    }
}
