//! Nodes that fail, stall and lie.

use std::num::NonZeroUsize;
use std::time::Duration;

use alloy::providers::Provider as _;
use nacre_chain::anvil;
use nacre_chain::error::ChainError;
use nacre_chain::rpc::{Rpc, connect};
use tokio::time::Instant;
use url::Url;

use crate::support::{Fault, Faulty, chain};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn nodes(urls: impl IntoIterator<Item = Url>) -> Rpc {
    let mut rpc = Rpc::new(urls);
    rpc.time_limit = Duration::from_millis(500);
    rpc.max_answer = 1 << 16;
    rpc
}

#[tokio::test]
async fn the_next_node_is_asked_where_one_fails_and_that_one_first_from_then_on() {
    let Some(chain) = chain().await else { return };
    let nobody: Url = "http://127.0.0.1:1".parse().unwrap();
    for fault in [
        Fault::Stalls,
        Fault::Endless,
        Fault::Limits,
        Fault::Confused,
        Fault::DiesAfter(0),
    ] {
        let bad = Faulty::start(chain.url(), fault).await;
        let good = Faulty::start(chain.url(), Fault::None).await;
        let provider = connect(
            &nodes([nobody.clone(), bad.url.clone(), good.url.clone()]),
            None,
        )
        .unwrap();
        for _ in 0..3 {
            assert_eq!(provider.get_chain_id().await.unwrap(), 31_337, "{fault:?}");
        }
        assert_eq!((bad.asked(), good.asked()), (1, 3), "{fault:?}");
    }
    chain.stop().await;
}

#[tokio::test]
async fn where_no_node_answers_the_error_says_why_and_hides_the_addresses_keys() {
    let Some(chain) = chain().await else { return };
    let bad = Faulty::start(chain.url(), Fault::Stalls).await;
    let secret = bad.url.join("?key=s3cret").unwrap();
    let nobody: Url = "http://127.0.0.1:1/v3/s3cret".parse().unwrap();
    let provider = connect(&nodes([secret, nobody]), None).unwrap();
    let error = ChainError::from(provider.get_block_number().await.unwrap_err());
    assert_eq!(error.code(), "rpc-unreachable");
    let words = error.to_string();
    assert!(
        words.contains("did not answer within 500 ms") && words.contains("127.0.0.1:1"),
        "{words}"
    );
    assert!(!words.contains("s3cret"), "{words}");
    chain.stop().await;
}

#[tokio::test]
async fn a_liar_is_outvoted_and_a_node_that_stalls_does_not_hold_the_others_up() {
    let Some(chain) = chain().await else { return };
    let [one, two] = [
        Faulty::start(chain.url(), Fault::None).await,
        Faulty::start(chain.url(), Fault::None).await,
    ];
    let rich = anvil::account(0).unwrap().address();
    for fault in [Fault::Lies, Fault::Stalls] {
        let bad = Faulty::start(chain.url(), fault).await;
        let mut rpc = nodes([bad.url.clone(), one.url.clone(), two.url.clone()]).with_quorum(TWO);
        rpc.time_limit = Duration::from_secs(20);
        let provider = connect(&rpc, None).unwrap();
        let began = Instant::now();
        assert_eq!(provider.get_block_number().await.unwrap(), 0, "{fault:?}");
        assert!(
            !provider.get_balance(rich).await.unwrap().is_zero(),
            "{fault:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(15), "{fault:?}");
    }
    chain.stop().await;
}

#[tokio::test]
async fn what_nodes_contradict_each_other_on_counts_for_nothing() {
    let Some(chain) = chain().await else { return };
    let liar = Faulty::start(chain.url(), Fault::Lies).await;
    let rich = anvil::account(0).unwrap().address();
    let provider = connect(
        &nodes([liar.url.clone(), chain.url().clone()]).with_quorum(TWO),
        None,
    )
    .unwrap();
    let error = ChainError::from(provider.get_balance(rich).await.unwrap_err());
    assert_eq!(error.code(), "rpc-disagreement");
    // Without a second voice there is no quorum at all.
    let silent = Faulty::start(chain.url(), Fault::Stalls).await;
    let provider = connect(
        &nodes([silent.url.clone(), chain.url().clone()]).with_quorum(TWO),
        None,
    )
    .unwrap();
    let error = ChainError::from(provider.get_balance(rich).await.unwrap_err());
    assert_eq!(error.code(), "rpc-unreachable");
    chain.stop().await;
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_is_sent_once() {
    let Some(chain) = chain().await else { return };
    // The first node takes the transaction and dies before it says so; the second has it already.
    let sender = crate::support::account(&chain.rpc(), 0, Duration::from_secs(30))
        .await
        .unwrap();
    let gift = nacre_chain::account::TransactionRequest {
        to: Some(sender.address().into()),
        ..Default::default()
    };
    let estimate = sender.estimate(&gift).await.unwrap();
    let signed = sender.sign(gift, &estimate, 0).await.unwrap();
    let dies = Faulty::start(chain.url(), Fault::DiesAfter(1)).await;
    let both = nodes([dies.url.clone(), chain.url().clone()]);
    let through = crate::support::account(&both, 0, Duration::from_secs(30))
        .await
        .unwrap();
    through.hand_in(&signed).await.unwrap();
    through.confirm(&signed).await.unwrap();
    assert_eq!(through.mined_nonce().await.unwrap(), 1);
    chain.stop().await;
}

#[test]
fn addresses_that_make_no_sense_are_refused_before_anything_is_asked() {
    let one: Url = "http://127.0.0.1:1".parse().unwrap();
    let ftp: Url = "ftp://127.0.0.1".parse().unwrap();
    for rpc in [
        Rpc::new([]),
        Rpc::new([ftp]),
        Rpc::new([one]).with_quorum(TWO),
    ] {
        assert_eq!(connect(&rpc, None).unwrap_err().code(), "rpc-invalid");
    }
}

#[tokio::test]
async fn a_chain_ends_with_whoever_started_it() {
    let Some(chain) = chain().await else { return };
    let url = chain.url().clone();
    drop(chain);
    let provider = connect(&nodes([url]), None).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while provider.get_chain_id().await.is_ok() {
        assert!(Instant::now() < deadline, "it still answers");
        looks.tick().await;
    }
}
