//! `nacre chain stake` and `unstake`.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};
use serde::Serialize;

use super::session::{Printer, ReadArgs, SendArgs, Sent};
use super::token::allow;
use crate::account::call_to;
use crate::contracts::{DevToken, JobRelay, OperatorStaking};
use crate::deployment::Name;
use crate::error::ChainError;

/// Arguments of `stake`.
#[derive(Debug, Clone, clap::Args)]
pub struct StakeArgs {
    /// Base units of the token.
    amount: U256,
    /// For this account; the signer's own where absent. It is that account's from then on.
    #[arg(long = "for", value_name = "ADDRESS")]
    account: Option<Address>,
    /// Mint it first: where the token is the worthless one of a development chain.
    #[arg(long)]
    mint: bool,
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `unstake`.
#[derive(Debug, Clone, clap::Args)]
pub struct UnstakeArgs {
    /// Base units of the token: counts no more from now on, and can be slashed until it is withdrawn.
    #[arg(required_unless_present = "withdraw", conflicts_with = "withdraw")]
    amount: Option<U256>,
    /// Take what has matured.
    #[arg(long)]
    withdraw: bool,
    #[command(flatten)]
    send: SendArgs,
}

pub(super) async fn stake(args: StakeArgs, print: &Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let staking = deployment.address(Name::OperatorStaking);
    let (token, amount) = (deployment.stake_token(), args.amount);
    if args.mint {
        if deployment.settings.stake_token.is_some() {
            return Err(ChainError::Settings(
                "--mint: this deployment's token is a real one".to_owned(),
            ));
        }
        let mint = DevToken::mintCall {
            account: account.address(),
            amount,
        };
        print.send(&account, "mint", call_to(token, &mint)).await?;
    }
    allow(print, &account, token, staking, amount).await?;
    let owner = args.account.unwrap_or(account.address());
    let put = OperatorStaking::stakeCall {
        account: owner,
        amount,
    };
    let done = print
        .send(&account, "stake", call_to(staking, &put))
        .await?;
    print.result(&Sent::from(&done), Sent::text)
}

pub(super) async fn unstake(args: UnstakeArgs, print: &Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let staking = deployment.address(Name::OperatorStaking);
    let done = match args.amount {
        Some(amount) => {
            let unbond = OperatorStaking::unbondCall { amount };
            print
                .send(&account, "unbond", call_to(staking, &unbond))
                .await?
        }
        None => {
            print
                .send(
                    &account,
                    "withdraw",
                    call_to(staking, &OperatorStaking::withdrawCall {}),
                )
                .await?
        }
    };
    print.result(&Sent::from(&done), Sent::text)
}

/// An account's stake and credit, base units.
#[derive(Serialize)]
struct Held {
    account: Address,
    active: U256,
    unbonding: Vec<Unbonding>,
    /// Of slashes, to be collected.
    credited: U256,
    /// Of jobs, to be claimed, wei.
    owed: U256,
    /// The same in tokens that fees are taken in, base units; those of which something is owed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    owed_tokens: BTreeMap<Address, U256>,
}

#[derive(Serialize)]
struct Unbonding {
    amount: U256,
    /// Unix seconds.
    matures: u64,
}

pub(super) async fn status(
    at: &ReadArgs,
    account: Address,
    print: &Printer,
) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let staking = OperatorStaking::new(deployment.address(Name::OperatorStaking), &provider);
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &provider);
    let leaving = staking.unbondings(account).call().await?;
    let unbonding = leaving.amounts.into_iter().zip(leaving.matures);
    let mut owed_tokens = BTreeMap::new();
    for fee in &deployment.settings.relay.fees {
        let owed = relay.owed(fee.token, account).call().await?;
        if !owed.is_zero() {
            owed_tokens.insert(fee.token, owed);
        }
    }
    let held = Held {
        account,
        active: staking.activeStake(account).call().await?,
        unbonding: unbonding
            .map(|(amount, matures)| Unbonding { amount, matures })
            .collect(),
        credited: staking.owed(account).call().await?,
        owed: relay.owed(Address::ZERO, account).call().await?,
        owed_tokens,
    };
    print.result(&held, |held| {
        let mut lines = vec![format!("active {}", held.active)];
        lines.extend(held.unbonding.iter().map(|of| {
            format!(
                "leaving {} (from {} on, Unix seconds)",
                of.amount, of.matures
            )
        }));
        lines.push(format!(
            "credited {}, owed {} wei",
            held.credited, held.owed
        ));
        let tokens = held.owed_tokens.iter();
        lines.extend(tokens.map(|(token, owed)| format!("owed {owed} of token {token}")));
        lines.join("\n")
    })
}
