//! The whole system on a chain, once, whatever happens on the way.

use std::time::Duration;

use alloy::primitives::{Address, U256};
use alloy::providers::Provider as _;
use nacre_chain::account::call_to;
use nacre_chain::contracts::{
    DevToken, EnclaveRegistry, JobRelay, JobSubscriptions, OperatorStaking, UptimeOracle,
};
use nacre_chain::deploy::{Step, deploy};
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::error::ChainError;
use nacre_chain::rpc::Rpc;

use crate::support::{Fault, Faulty, account, chain, settings};

const LONG: Duration = Duration::from_secs(30);
/// Eight contracts, and the wiring.
const TRANSACTIONS: u64 = 9;

#[tokio::test]
async fn everything_is_deployed_wired_and_as_the_settings_say() {
    let Some(chain) = chain().await else { return };
    let account = account(&chain.rpc(), 0, LONG).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.json");
    let mut steps = Vec::new();
    let done = deploy(&account, settings(), &path, &mut |step| steps.push(step))
        .await
        .unwrap();

    assert_eq!(steps.len(), Name::ALL.len() + 1);
    assert_eq!(steps.last(), Some(&Step::Wired));
    assert_eq!(account.mined_nonce().await.unwrap(), TRANSACTIONS);
    assert_eq!(
        Deployment::open(&path, account.provider()).await.unwrap(),
        done
    );

    // What each knows of the others is what the file says.
    let provider = account.provider();
    let staking = OperatorStaking::new(done.address(Name::OperatorStaking), provider);
    assert_eq!(staking.TOKEN().call().await.unwrap(), done.stake_token());
    for (name, slashes) in [
        (Name::JobRelay, true),
        (Name::UptimeOracle, true),
        (Name::NodeBook, false),
    ] {
        assert_eq!(
            staking.isSlasher(done.address(name)).call().await.unwrap(),
            slashes,
            "{name}"
        );
    }
    let relay = JobRelay::new(done.address(Name::JobRelay), provider);
    assert_eq!(
        relay.REGISTRY().call().await.unwrap(),
        done.address(Name::EnclaveRegistry)
    );
    assert_eq!(
        relay.STAKING().call().await.unwrap(),
        done.address(Name::OperatorStaking)
    );
    let subscriptions = JobSubscriptions::new(done.address(Name::JobSubscriptions), provider);
    assert_eq!(
        subscriptions.RELAY().call().await.unwrap(),
        done.address(Name::JobRelay)
    );
    let registry = EnclaveRegistry::new(done.address(Name::EnclaveRegistry), provider);
    assert_eq!(
        registry.ROOT_ID().call().await.unwrap(),
        settings().registry.root_id
    );
    assert_eq!(
        registry.REVOKER().call().await.unwrap(),
        settings().registry.revoker
    );
    let oracle = UptimeOracle::new(done.address(Name::UptimeOracle), provider);
    assert_eq!(
        oracle.lengths().call().await.unwrap().windowSlots,
        settings().uptime.window_slots
    );

    // And it takes stake.
    let stake = U256::from(settings().relay.min_stake);
    let owner = account.address();
    let token = DevToken::new(done.stake_token(), provider);
    account
        .send(call_to(
            *token.address(),
            &DevToken::mintCall {
                account: owner,
                amount: stake,
            },
        ))
        .await
        .unwrap();
    let approve = DevToken::approveCall {
        spender: *staking.address(),
        value: stake,
    };
    account
        .send(call_to(*token.address(), &approve))
        .await
        .unwrap();
    let put = OperatorStaking::stakeCall {
        account: owner,
        amount: stake,
    };
    account
        .send(call_to(*staking.address(), &put))
        .await
        .unwrap();
    assert_eq!(staking.activeStake(owner).call().await.unwrap(), stake);
    chain.stop().await;
}

#[tokio::test]
async fn a_deployment_that_stopped_anywhere_goes_on_and_makes_no_contract_twice() {
    let Some(chain) = chain().await else { return };
    let whole = account(&chain.rpc(), 0, LONG).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut stopped = 0;
    // Dies beside every seventh request, the answer to which is lost; until it comes through without.
    for after in (0..).step_by(7) {
        let path = folder.path().join(format!("{after}.json"));
        let before = whole.mined_nonce().await.unwrap();
        let node = Faulty::start(chain.url(), Fault::DiesAfter(after)).await;
        let first =
            match account(&Rpc::new([node.url.clone()]), 0, Duration::from_millis(300)).await {
                Ok(account) => deploy(&account, settings(), &path, &mut |_| {}).await,
                Err(error) => Err(error),
            };
        let came_through = node.asked() <= after;
        assert_eq!(first.is_ok(), came_through, "{after}: {first:?}");
        let done = deploy(&whole, settings(), &path, &mut |_| {})
            .await
            .unwrap();
        assert!(done.is_whole());
        done.check(whole.provider()).await.unwrap();
        let sent = whole.mined_nonce().await.unwrap() - before;
        assert_eq!(sent, TRANSACTIONS, "after {after} requests");
        if came_through {
            break;
        }
        stopped += 1;
    }
    assert!(stopped > 5, "{stopped}");
    chain.stop().await;
}

#[tokio::test]
async fn another_transaction_in_between_costs_a_nonce_and_no_contract() {
    let Some(chain) = chain().await else { return };
    let account = account(&chain.rpc(), 0, LONG).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.json");
    // It planned its first contract and died; then the account sent something else.
    let node = Faulty::start(chain.url(), Fault::DiesAfter(8)).await;
    let short =
        crate::support::account(&Rpc::new([node.url.clone()]), 0, Duration::from_millis(200))
            .await
            .unwrap();
    deploy(&short, settings(), &path, &mut |_| {})
        .await
        .unwrap_err();
    let planned = Deployment::read(&path).unwrap().unwrap();
    let taken = account.mined_nonce().await.unwrap();
    let nothing = nacre_chain::account::TransactionRequest {
        to: Some(account.address().into()),
        ..Default::default()
    };
    account.send(nothing).await.unwrap();
    let done = deploy(&account, settings(), &path, &mut |_| {})
        .await
        .unwrap();
    done.check(account.provider()).await.unwrap();
    assert!(
        done.contracts
            .values()
            .all(|contract| contract.nonce != taken),
        "{planned:?}"
    );
    assert_eq!(
        account.mined_nonce().await.unwrap(),
        taken + 1 + TRANSACTIONS - planned_done(&planned)
    );
    chain.stop().await;
}

fn planned_done(deployment: &Deployment) -> u64 {
    deployment
        .contracts
        .values()
        .filter(|contract| contract.code_hash.is_some())
        .count() as u64
}

#[tokio::test]
async fn a_file_of_something_else_is_not_gone_on_with() {
    let Some(chain) = chain().await else { return };
    let first = account(&chain.rpc(), 0, LONG).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deployment.json");
    deploy(&first, settings(), &path, &mut |_| {})
        .await
        .unwrap();
    let kept = std::fs::read(&path).unwrap();

    let mut other = settings();
    other.relay.eth_floor += 1;
    let error = deploy(&first, other, &path, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.code(), "deployment-file");
    let second = account(&chain.rpc(), 1, LONG).await.unwrap();
    let error = deploy(&second, settings(), &path, &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), "deployment-file");

    // On a chain with another id; and on one with that id and nothing on it.
    let options = nacre_chain::anvil::AnvilOptions {
        chain_id: Some(4_242),
        ..Default::default()
    };
    let elsewhere = nacre_chain::anvil::Anvil::start(&options).await.unwrap();
    let there = account(&elsewhere.rpc(), 0, LONG).await.unwrap();
    let error = deploy(&there, settings(), &path, &mut |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.code(), "wrong-chain");
    assert_eq!(
        Deployment::open(&path, there.provider())
            .await
            .unwrap_err()
            .code(),
        "wrong-chain"
    );
    elsewhere.stop().await;
    let fresh = crate::support::chain().await.unwrap();
    let there = account(&fresh.rpc(), 0, LONG).await.unwrap();
    let error = Deployment::open(&path, there.provider()).await.unwrap_err();
    assert_eq!(error.code(), "wrong-code");
    assert_eq!(there.mined_nonce().await.unwrap(), 0, "nothing was sent");
    fresh.stop().await;
    assert_eq!(std::fs::read(&path).unwrap(), kept);
    chain.stop().await;
}

#[tokio::test]
async fn what_a_contract_refuses_costs_nothing_and_has_its_name() {
    let Some(chain) = chain().await else { return };
    let account = account(&chain.rpc(), 0, LONG).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let done = deploy(
        &account,
        settings(),
        &folder.path().join("d.json"),
        &mut |_| {},
    )
    .await
    .unwrap();
    let balance = account
        .provider()
        .get_balance(account.address())
        .await
        .unwrap();
    let wire = OperatorStaking::wireCall {
        slashers: Vec::new(),
    };
    let error = account
        .send(call_to(done.address(Name::OperatorStaking), &wire))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "not-wirer");
    assert_eq!(
        account
            .provider()
            .get_balance(account.address())
            .await
            .unwrap(),
        balance
    );

    let poor = alloy::signers::local::PrivateKeySigner::random();
    let wallet = nacre_chain::wallet::Wallet::development(poor.to_bytes().0).unwrap();
    let provider = nacre_chain::rpc::connect(&chain.rpc(), Some(&wallet)).unwrap();
    let poor = nacre_chain::account::Account::new(provider, wallet, crate::support::patience(LONG))
        .await
        .unwrap();
    for value in [0_u64, 1] {
        let gift = nacre_chain::account::TransactionRequest {
            to: Some(Address::repeat_byte(7).into()),
            value: Some(U256::from(value)),
            ..Default::default()
        };
        let error = poor.send(gift).await.unwrap_err();
        assert!(
            matches!(error, ChainError::InsufficientFunds { .. }),
            "{value}: {error}"
        );
    }
    let error = deploy(
        &poor,
        settings(),
        &folder.path().join("poor.json"),
        &mut |_| {},
    )
    .await
    .unwrap_err();
    assert_eq!(error.code(), "insufficient-funds");
    chain.stop().await;
}
