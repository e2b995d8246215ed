//! `nacre chain …` as it is typed.

use std::path::Path;

use alloy::primitives::{B256, U256};
use alloy::providers::Provider as _;
use clap::{CommandFactory as _, Parser};
use nacre_chain::anvil;
use nacre_chain::cli::{ChainCommand, run};
use nacre_chain::contracts::{JobRelay, OperatorStaking};
use nacre_chain::deployment::{Deployment, Name};
use nacre_chain::error::ChainError;
use nacre_chain::rpc::connect;
use nacre_chain::wallet::Wallet;

use crate::support::{chain, settings};

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: ChainCommand,
}

async fn typed(folder: &Path, url: &str, words: &str) -> Result<(), ChainError> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut line: Vec<_> = std::iter::once("chain")
        .chain(words.split(' '))
        .map(str::to_owned)
        .collect();
    line.extend([
        "--rpc".to_owned(),
        url.to_owned(),
        "--deployment".to_owned(),
        file("deployment.json"),
    ]);
    if !words.starts_with("status") {
        line.extend(["--key-file".to_owned(), file("key")]);
    }
    run(Line::try_parse_from(line).unwrap().command, true).await
}

#[test]
fn no_two_words_of_a_command_are_the_same() {
    Line::command().debug_assert();
}

#[tokio::test]
async fn deploy_stake_ask_take_back_and_claim() {
    let Some(chain) = chain().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The chain's first account, in a file as anybody has one.
    let rich = anvil::account(0).unwrap();
    Wallet::open_or_create(&folder.join("key")).unwrap();
    std::fs::write(
        folder.join("key"),
        alloy::hex::encode(rich.signer().to_bytes()),
    )
    .unwrap();
    let url = chain.url().as_str();
    let second = settings().registry.revoker;

    assert_eq!(
        typed(folder, url, "status").await.unwrap_err().code(),
        "deployment-file"
    );
    typed(folder, url, &format!("deploy --dev --second {second}"))
        .await
        .unwrap();
    typed(folder, url, &format!("deploy --dev --second {second}"))
        .await
        .unwrap();
    typed(folder, url, "status").await.unwrap();
    let provider = connect(&chain.rpc(), None).unwrap();
    let deployment = Deployment::open(&folder.join("deployment.json"), &provider)
        .await
        .unwrap();

    let staking = OperatorStaking::new(deployment.address(Name::OperatorStaking), &provider);
    typed(folder, url, "stake 5000 --mint").await.unwrap();
    assert_eq!(
        typed(folder, url, "stake 5000").await.unwrap_err().code(),
        "erc20-insufficient-balance"
    );
    typed(folder, url, "unstake 2000").await.unwrap();
    assert_eq!(
        typed(folder, url, "unstake 3001").await.unwrap_err().code(),
        "not-enough-stake"
    );
    assert_eq!(
        typed(folder, url, "unstake --withdraw")
            .await
            .unwrap_err()
            .code(),
        "nothing-matured"
    );
    assert_eq!(
        staking.activeStake(rich.address()).call().await.unwrap(),
        U256::from(3000)
    );
    typed(folder, url, &format!("status --account {}", rich.address()))
        .await
        .unwrap();

    let input = folder.join("input");
    std::fs::write(&input, b"words").unwrap();
    let digest = B256::repeat_byte(1);
    let ask = format!(
        "request {digest} --input {} --fee 1000 --deadline 60",
        input.display()
    );
    typed(folder, url, &ask).await.unwrap();
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &provider);
    let (asked, _) = relay
        .Requested_filter()
        .from_block(0)
        .query()
        .await
        .unwrap()
        .pop()
        .unwrap();
    let id = asked.jobId;
    assert_eq!(asked.input.as_ref(), b"words");
    typed(folder, url, &format!("status --job {id}"))
        .await
        .unwrap();
    let early = typed(folder, url, &format!("cancel {id}"))
        .await
        .unwrap_err();
    assert_eq!(early.code(), "deadline-not-passed");
    assert_eq!(
        typed(folder, url, &format!("slash {id}"))
            .await
            .unwrap_err()
            .code(),
        "not-late"
    );
    assert_eq!(
        typed(folder, url, "cancel 7").await.unwrap_err().code(),
        "no-such-job"
    );
    assert_eq!(
        typed(folder, url, "claim").await.unwrap_err().code(),
        "nothing-owed"
    );

    let _: serde_json::Value = provider
        .raw_request("evm_increaseTime".into(), (61,))
        .await
        .unwrap();
    let _: serde_json::Value = provider.raw_request("evm_mine".into(), ()).await.unwrap();
    typed(folder, url, &format!("cancel {id}")).await.unwrap();
    assert_eq!(
        relay
            .owed(alloy::primitives::Address::ZERO, rich.address())
            .call()
            .await
            .unwrap(),
        U256::from(1000)
    );
    typed(folder, url, "claim").await.unwrap();
    assert_eq!(
        provider.get_balance(*relay.address()).await.unwrap(),
        U256::ZERO
    );

    // What cannot be asked is refused before it costs anything.
    let near = format!("request {digest} --input-hash {digest} --deadline 1");
    assert_eq!(
        typed(folder, url, &near).await.unwrap_err().code(),
        "bad-deadline"
    );
    std::fs::write(&input, vec![0; 65_537]).unwrap();
    assert_eq!(typed(folder, url, &ask).await.unwrap_err().code(), "input");
    chain.stop().await;
}
