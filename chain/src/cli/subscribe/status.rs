//! Where a subscription stands.

use alloy::primitives::aliases::U96;
use alloy::primitives::{Address, B256, U256};
use serde::Serialize;

use crate::cli::session::{Printer, ReadArgs};
use crate::contracts::JobSubscriptions;
use crate::deployment::Name;
use crate::error::ChainError;

#[derive(Serialize)]
struct Standing {
    subscription: u64,
    owner: Address,
    function: B256,
    /// `active`, `paused` or `terminated`.
    state: &'static str,
    /// What the amounts are in; ETH, in wei, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Address>,
    /// For runs to come, base units.
    balance: u128,
    fee: U96,
    reward: U96,
    /// Of a slot, seconds.
    period: u32,
    /// When somebody can run it next, as far as time alone decides, Unix seconds; absent where no slot is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    runs: u32,
    refunded: u32,
}

pub(super) async fn status(
    at: &ReadArgs,
    subscription: u64,
    print: &Printer,
) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let at = deployment.address(Name::JobSubscriptions);
    let subscriptions = JobSubscriptions::new(at, &provider);
    let account = subscriptions.accountOf(subscription).call().await?;
    if account.owner.is_zero() {
        return Err(ChainError::NoSuchSubscription { subscription });
    }
    let plan = subscriptions.planOf(subscription).call().await?;
    let due = subscriptions.dueAt(subscription).call().await?;
    let standing = Standing {
        subscription,
        owner: account.owner,
        function: plan.functionDigest,
        state: match (account.terminated, account.paused) {
            (true, _) => "terminated",
            (false, true) => "paused",
            (false, false) => "active",
        },
        token: Some(plan.token).filter(|token| !token.is_zero()),
        balance: account.balance,
        fee: plan.fee,
        reward: plan.reward,
        period: plan.period,
        due: (due < U256::MAX).then(|| due.saturating_to()),
        runs: account.runs,
        refunded: account.refunded,
    };
    print.result(&standing, |of| {
        let due = of
            .due
            .map_or_else(|| "never".to_owned(), |due| format!("{due} (Unix seconds)"));
        let Standing {
            state,
            owner,
            balance,
            runs,
            refunded,
            ..
        } = of;
        format!("{state}, of {owner}: {balance} left, {runs} runs, {refunded} refunded, next {due}")
    })
}
