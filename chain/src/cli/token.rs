//! ERC-20 tokens that contracts take from an account.

use alloy::primitives::{Address, U256};

use super::session::Printer;
use crate::account::{Account, call_to};
use crate::contracts::DevToken;
use crate::error::ChainError;

/// Sees to it that a contract may take so much from the account. What it may take already is left as it is.
pub(super) async fn allow(
    print: &Printer,
    account: &Account,
    token: Address,
    spender: Address,
    amount: U256,
) -> Result<(), ChainError> {
    let erc20 = DevToken::new(token, account.provider());
    if erc20.allowance(account.address(), spender).call().await? >= amount {
        return Ok(());
    }
    let approve = DevToken::approveCall {
        spender,
        value: amount,
    };
    print
        .send(account, "approve", call_to(token, &approve))
        .await
        .map(drop)
}
