//! `nacre chain uptime`: from watchers' words to stake, at the `UptimeOracle`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, U256};
use nacre_chain::account::call_to;
use nacre_chain::cli::session::{Printer, SendArgs, Sent};
use nacre_chain::contracts::UptimeOracle;
use nacre_chain::error::ChainError;
use nacre_chain::uptime::{Answer, DisputeError, evidence, node_word};
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{PostReveal, Slot, WatcherId, Window, scores_root};
use nacre_uptime::{EpochSecret, EvidenceRecord, MAX_RECORD, Proof};
use serde::{Deserialize, Serialize};

use super::error::on_chain;
use crate::error::CliError;
use crate::trust::read_bounded;

mod oracle;

use oracle::{Oracle, Revealed};

/// Largest file of reveals that is read, bytes.
const MAX_REVEALS: u64 = 256 << 20;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum UptimeCommand {
    /// Show what watchers revealed of a node that was below the level in a window; prints the accusation's id.
    Accuse(AccuseArgs),
    /// Overturn a watcher's word with the node's signed answer to that watcher's own nonce.
    Dispute(DisputeArgs),
    /// Settle an accusation whose time for disputes is over, with the very words that it was made with.
    Settle(SettleArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct AccuseArgs {
    /// The node.
    #[arg(long)]
    node: NodeId,
    /// Who registered it.
    #[arg(long, value_name = "ADDRESS")]
    operator: Address,
    /// The window: Unix milliseconds, divided by its length.
    #[arg(long)]
    window: u64,
    /// Watchers' reveals, as `nacre watch --report` writes them; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    reveals: Vec<PathBuf>,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DisputeArgs {
    /// The answer: a record of a watcher's evidence (a line of a file in its folder `evidence`).
    #[arg(long, value_name = "FILE")]
    evidence: PathBuf,
    /// Who registered the node.
    #[arg(long, value_name = "ADDRESS")]
    operator: Address,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SettleArgs {
    /// The accusation's id.
    accusation: B256,
    #[command(flatten)]
    send: SendArgs,
}

#[derive(Serialize)]
struct Accused {
    accusation: B256,
    #[serde(flatten)]
    sent: Sent,
}

#[derive(Serialize)]
struct Disputed {
    watcher: Address,
    node: NodeId,
    slot: Slot,
    #[serde(flatten)]
    sent: Sent,
}

#[derive(Serialize)]
struct Settled {
    accusation: B256,
    /// What the node paid, base units; 0 where disputes cleared it.
    paid: U256,
    #[serde(flatten)]
    sent: Sent,
}

/// `nacre chain uptime …`
pub(crate) async fn run(command: UptimeCommand, print: &Printer) -> Result<(), CliError> {
    match command {
        UptimeCommand::Accuse(args) => accuse(&args, print).await,
        UptimeCommand::Dispute(args) => dispute(&args, print).await,
        UptimeCommand::Settle(args) => settle(&args, print).await,
    }
}

async fn accuse(args: &AccuseArgs, print: &Printer) -> Result<(), CliError> {
    let window = Window(args.window);
    let mut told = Vec::new();
    for file in &args.reveals {
        told.extend(reveals(file)?);
    }
    let oracle = Oracle::open(&args.send).await?;
    let schedule = oracle.schedule().await?;
    let now_ms = oracle.now_ms().await?;
    // Only what the contract heard, of epochs of which nobody can reveal any more.
    told.retain(|reveal| {
        schedule.window_of(reveal.epoch) == window && schedule.closed_from(reveal.epoch) <= now_ms
    });
    let mut heard: BTreeMap<u64, Vec<Revealed>> = BTreeMap::new();
    for reveal in &told {
        if let Entry::Vacant(new) = heard.entry(reveal.epoch.0) {
            new.insert(oracle.revealed(reveal.epoch).await?);
        }
    }
    let mut accounts: BTreeMap<WatcherId, Address> = BTreeMap::new();
    told.retain(|reveal| {
        let revealed = heard.get(&reveal.epoch.0).into_iter().flatten();
        let mut same = revealed.filter(|heard| is_heard(reveal, heard));
        let account = same.next().map(|heard| heard.watcher);
        account.is_some_and(|account| *accounts.entry(reveal.watcher).or_insert(account) == account)
    });
    let rows = evidence(&schedule, &accounts, &told, args.node, window)?;
    let call = UptimeOracle::accuseCall {
        operator: args.operator,
        node: node_word(&args.node),
        window: args.window,
        evidence: rows,
    };
    let done = print
        .send(&oracle.account, "accuse", call_to(oracle.at, &call))
        .await?;
    let event = done.receipt.decoded_log::<UptimeOracle::Accused>();
    let event = event.ok_or_else(|| ChainError::BadAnswer("no event of it".to_owned()))?;
    let accused = Accused {
        accusation: event.id,
        sent: Sent::from(&done),
    };
    Ok(print.result(&accused, |of| {
        format!("accusation {}\n{}", of.accusation, of.sent.text())
    })?)
}

/// Whether the contract heard exactly this: nobody but who knew the salt before anybody revealed can have said it there.
fn is_heard(reveal: &PostReveal, heard: &Revealed) -> bool {
    heard.salt.0 == reveal.salt
        && scores_root(&reveal.rows).is_some_and(|root| root == heard.root.0)
}

async fn dispute(args: &DisputeArgs, print: &Printer) -> Result<(), CliError> {
    let bytes = read_bounded(&args.evidence, MAX_RECORD as u64)?;
    let record = EvidenceRecord::from_json(bytes.trim_ascii_end());
    let record = record.map_err(nacre_uptime::WatchError::from)?;
    let Proof::Canary {
        receipt, request, ..
    } = &record.proof
    else {
        let reason =
            "the record is of a node without a canary: it has no receipt that a contract can check";
        return Err(on_chain("evidence-without-receipt", reason));
    };
    let answer = Answer {
        receipt,
        request,
        node: record.node,
        slot: record.slot,
        attempt: record.attempt,
    };
    let oracle = Oracle::open(&args.send).await?;
    let schedule = oracle.schedule().await?;
    let mut said = None;
    for heard in oracle.revealed(schedule.epoch_of(record.slot)).await? {
        let secret = EpochSecret::revealed(record.watcher, heard.salt.0);
        let nonce = secret.nonce(&record.node, record.slot, record.attempt);
        let revealed = (heard.salt, heard.root);
        match answer.against(heard.watcher, &nonce, revealed, args.operator) {
            Err(DisputeError::Nonce) => {}
            found => {
                said = Some((heard.watcher, found?));
                break;
            }
        }
    }
    let (watcher, said) = said.ok_or_else(|| {
        let epoch = schedule.epoch_of(record.slot).0;
        let reason = format!("nobody who revealed of epoch {epoch} there asked with this nonce");
        on_chain(DisputeError::Nonce.code(), reason)
    })?;
    let call = UptimeOracle::disputeCall {
        claim: said.claim,
        request: said.request,
        receipt: said.receipt,
    };
    let done = print
        .send(&oracle.account, "dispute", call_to(oracle.at, &call))
        .await?;
    let disputed = Disputed {
        watcher,
        node: record.node,
        slot: record.slot,
        sent: Sent::from(&done),
    };
    Ok(print.result(&disputed, |of| {
        let Disputed {
            watcher,
            node,
            slot,
            sent,
        } = of;
        format!(
            "{watcher}'s word on slot {} of {node} counts as up\n{}",
            slot.0,
            sent.text()
        )
    })?)
}

async fn settle(args: &SettleArgs, print: &Printer) -> Result<(), CliError> {
    let oracle = Oracle::open(&args.send).await?;
    let words = oracle.accusation(args.accusation).await?;
    let call = UptimeOracle::settleCall {
        operator: words.operator,
        node: words.node,
        window: words.window,
        evidence: words.evidence,
    };
    let done = print
        .send(&oracle.account, "settle", call_to(oracle.at, &call))
        .await?;
    // Where there is none, disputes left nothing of it.
    let event = done.receipt.decoded_log::<UptimeOracle::Settled>();
    let settled = Settled {
        accusation: args.accusation,
        paid: event.map(|event| event.amount).unwrap_or_default(),
        sent: Sent::from(&done),
    };
    Ok(print.result(&settled, |of| {
        format!("the node paid {}\n{}", of.paid, of.sent.text())
    })?)
}

/// A line of `nacre watch --report`.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    reveal: Option<PostReveal>,
}

fn reveals(file: &Path) -> Result<Vec<PostReveal>, CliError> {
    let bytes = read_bounded(file, MAX_REVEALS)?;
    let mut reveals = Vec::new();
    for line in bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            CliError::Usage(format!(
                "{}: not a watcher's report: {error}",
                file.display()
            ))
        })?;
        reveals.extend(line.reveal);
    }
    Ok(reveals)
}
