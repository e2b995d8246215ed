//! `nacre chain nodes`: what an operator says of its nodes to the `NodeBook`.

use alloy::primitives::Address;
use clap::Subcommand;
use nacre_protocol::ids::NodeId;
use serde::Serialize;

use super::session::{Printer, SendArgs, Sent};
use crate::account::call_to;
use crate::contracts::NodeBook;
use crate::deployment::Name;
use crate::error::ChainError;
use crate::uptime::node_word;

/// What is said of a node.
#[derive(Debug, Clone, Subcommand)]
pub enum NodesCommand {
    /// Answer for a node from now on, with a part of the account's stake behind it.
    Register(BehindArgs),
    /// Put more stake behind a node.
    Raise(BehindArgs),
    /// Say that an enclave with this registered receipt key runs on a node: its answers speak for the node in disputes.
    Bind(BindArgs),
    /// Announce that a node is away, within the month's budget.
    Drain(DrainArgs),
    /// Take a node out of watch, after the notice that a drain needs.
    Retire(NodeArgs),
}

/// Which node, and who speaks.
#[derive(Debug, Clone, clap::Args)]
pub struct NodeArgs {
    /// The node.
    #[arg(long)]
    node: NodeId,
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `register` and `raise`.
#[derive(Debug, Clone, clap::Args)]
pub struct BehindArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Base units of the staked token.
    #[arg(long, value_name = "AMOUNT")]
    stake: u128,
}

/// Arguments of `bind`.
#[derive(Debug, Clone, clap::Args)]
pub struct BindArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The receipt key's address.
    #[arg(long, value_name = "ADDRESS")]
    receipt_key: Address,
}

/// Arguments of `drain`.
#[derive(Debug, Clone, clap::Args)]
pub struct DrainArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The first slot that it is away in: Unix milliseconds, divided by the slots' length.
    #[arg(long, value_name = "SLOT")]
    from: u64,
    /// The first slot that it is back in.
    #[arg(long, value_name = "SLOT")]
    to: u64,
}

/// What was said.
#[derive(Serialize)]
struct Said {
    node: NodeId,
    #[serde(flatten)]
    sent: Sent,
}

pub(super) async fn run(command: NodesCommand, print: &Printer) -> Result<(), ChainError> {
    match command {
        NodesCommand::Register(BehindArgs { node, stake }) => {
            let call = NodeBook::registerNodeCall {
                node: node_word(&node.node),
                behind: stake,
            };
            say(&node, "register", &call, print).await
        }
        NodesCommand::Raise(BehindArgs { node, stake }) => {
            let call = NodeBook::raiseNodeCall {
                node: node_word(&node.node),
                more: stake,
            };
            say(&node, "raise", &call, print).await
        }
        NodesCommand::Bind(BindArgs { node, receipt_key }) => {
            let call = NodeBook::bindKeyCall {
                node: node_word(&node.node),
                receiptKey: receipt_key,
            };
            say(&node, "bind", &call, print).await
        }
        NodesCommand::Drain(DrainArgs { node, from, to }) => {
            let call = NodeBook::announceDrainCall {
                node: node_word(&node.node),
                fromSlot: from,
                toSlot: to,
            };
            say(&node, "drain", &call, print).await
        }
        NodesCommand::Retire(node) => {
            let call = NodeBook::retireNodeCall {
                node: node_word(&node.node),
            };
            say(&node, "retire", &call, print).await
        }
    }
}

async fn say(
    args: &NodeArgs,
    what: &str,
    call: &impl alloy::sol_types::SolCall,
    print: &Printer,
) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let book = deployment.address(Name::NodeBook);
    let done = print.send(&account, what, call_to(book, call)).await?;
    let said = Said {
        node: args.node,
        sent: Sent::from(&done),
    };
    print.result(&said, |said| format!("{}: {}", said.node, said.sent.text()))
}
