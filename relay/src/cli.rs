//! `nacre-relay …`: arguments, and from them a relay.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use nacre_chain::rpc::{Rpc, connect};
use nacre_chain::wallet::Wallet;
use tokio::signal::unix::{SignalKind, signal};

mod args;

pub use args::Args;

use crate::account::Account;
use crate::meters::Meters;
use crate::node::{Node, contract};
use crate::prove::Prover;
use crate::relay::{Operator, Relay};
use crate::store::Store;

/// Runs until it is told to stop. Prints `relaying for ADDRESS` to standard output once it begins.
///
/// # Errors
///
/// It cannot begin, or another relay has its database.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Listened for before anything starts, so that no signal falls between.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let parent_gone = args.exit_on_stdin_eof.then(stdin_eof);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = ended(parent_gone) => {}
        }
    };
    let (meters, metrics) = Meters::new();
    let health = meters.health();
    let relay = Arc::new(begin(&args, meters).await?);
    let _metrics = args.metrics.serve_with_health(metrics, health).await?;
    let mut out = std::io::stdout();
    writeln!(out, "relaying for {}", relay.contract.address).and_then(|()| out.flush())?;
    let done = Arc::clone(&relay).run(stop).await;
    relay.store.close().await;
    Ok(done?)
}

async fn begin(args: &Args, meters: Meters) -> anyhow::Result<Relay> {
    let trust = args.platform.trust()?;
    let prover = Prover::new(trust);
    let rpc = Rpc {
        quorum: args.chain.rpc_quorum,
        ..Rpc::new(args.chain.rpc.iter().cloned())
    };
    let address = args.chain.contract;
    let node = Node::new(connect(&rpc, None)?, address);
    let node = node
        .await
        .with_context(|| format!("the JobRelay at {address}"))?;
    let chain_id = node.chain_id().await?;
    ensure!(
        node.root_id().await? == prover.root_id(),
        "root-mismatch: the registry trusts another root than --root: no answer of this platform's would be taken"
    );
    let account = Account::new(Wallet::open(&args.chain.key)?, chain_id);
    let settings = args.settings(account.address());
    let operator = match &args.chain.operate {
        Some(folder) => Some(Operator::new(&node, folder).await?),
        None => None,
    };
    let store = Store::open(&args.storage.database()?).await?;
    let names = [
        ("chain", chain_id.to_string()),
        ("contract", address.to_string()),
        ("account", account.address().to_string()),
    ];
    store.belongs_to(&names).await?;
    Ok(Relay {
        platform: args.platform.platform()?,
        contract: contract(chain_id, address)?,
        store,
        node,
        account,
        prover,
        settings,
        meters,
        operator,
    })
}

/// Ends when standard input does. A thread of its own reads it: a runtime's blocking thread would keep the runtime from
/// ending.
fn stdin_eof() -> tokio::sync::oneshot::Receiver<()> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = std::io::sink();
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut sink);
        drop(send);
    });
    receive
}

async fn ended(receiver: Option<tokio::sync::oneshot::Receiver<()>>) {
    match receiver {
        // Either way the sender has gone.
        Some(receiver) => drop(receiver.await),
        None => core::future::pending().await,
    }
}
