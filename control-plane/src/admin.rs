//! `nacre admin …`: what is done with the database itself.

use std::process::ExitCode;

use nacre_ledger::{Amount, Customer};
use nacre_protocol::ids::{OperatorId, OrganisationName, PayoutId};
use serde_json::json;

use crate::audit::{self, Report};
use crate::cli::DatabaseArgs;
use crate::shares::{self, MAX_WEIGHT};
use crate::treasury::{self, Booked, Payment};

/// Book payments, set organisations' weights, and check the ledger and the market.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum AdminCommand {
    /// A customer has paid: what it owes first, the rest is its balance.
    Deposit {
        /// Which database.
        #[command(flatten)]
        storage: DatabaseArgs,
        /// The organisation.
        #[arg(long)]
        customer: Customer,
        /// Units, with at most six decimals.
        #[arg(long, value_name = "UNITS")]
        amount: Amount,
        /// The payment's own reference; the same one is booked once.
        #[arg(long)]
        reference: String,
    },
    /// An operator has put up a stake.
    Stake {
        /// Which database.
        #[command(flatten)]
        storage: DatabaseArgs,
        /// The operator's id.
        #[arg(long)]
        operator: OperatorId,
        /// Units, with at most six decimals.
        #[arg(long, value_name = "UNITS")]
        amount: Amount,
        /// The payment's own reference; the same one is booked once.
        #[arg(long)]
        reference: String,
    },
    /// An operator has been paid what it earned.
    Payout {
        /// Which database.
        #[command(flatten)]
        storage: DatabaseArgs,
        /// What it asked for (`nacre payout list`).
        #[arg(long, value_name = "PAYOUT", conflicts_with_all = ["operator", "amount"], required_unless_present = "operator")]
        id: Option<PayoutId>,
        /// Unasked: the operator's id.
        #[arg(long)]
        operator: Option<OperatorId>,
        /// Unasked: units, with at most six decimals; all that it has and did not ask for where absent.
        #[arg(long, value_name = "UNITS")]
        amount: Option<Amount>,
        /// The payment's own reference; the same one is booked once.
        #[arg(long)]
        reference: String,
    },
    /// List all accounts with what they have.
    Accounts {
        /// Which database.
        #[command(flatten)]
        storage: DatabaseArgs,
    },
    /// Show or set an organisation's part where capacity is short: orders of one priority that wait are served so that what
    /// organisations hold comes to be as their weights.
    Weight {
        /// Which database.
        #[command(flatten)]
        storage: DatabaseArgs,
        /// The organisation.
        #[arg(long)]
        organisation: OrganisationName,
        /// From now on: 1 to 10000; 1 where nobody set it. A control plane that runs heeds it within a second.
        #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WEIGHT)))]
        weight: Option<u32>,
    },
    /// Check everything that must hold of the ledger and the market, beside a control plane that runs.
    #[command(after_help = "Exit status: 0 all holds · 1 something does not, one line each")]
    Audit {
        /// Which database.
        #[command(flatten)]
        storage: DatabaseArgs,
    },
}

/// Does what the command says, and prints what it came to.
pub async fn run(command: AdminCommand, as_json: bool) -> anyhow::Result<ExitCode> {
    match command {
        AdminCommand::Deposit {
            storage,
            customer,
            amount,
            reference,
        } => {
            let payment = Payment::Deposit(customer, amount);
            pay(&storage, &payment, &reference, as_json).await
        }
        AdminCommand::Stake {
            storage,
            operator,
            amount,
            reference,
        } => {
            let payment = Payment::Stake(operator, amount);
            pay(&storage, &payment, &reference, as_json).await
        }
        AdminCommand::Payout {
            storage,
            id,
            operator,
            amount,
            reference,
        } => {
            let payment = match (id, operator) {
                (Some(id), _) => Payment::Asked(id),
                (None, Some(operator)) => Payment::Payout(operator, amount),
                (None, None) => anyhow::bail!("name a payout, or an operator"),
            };
            pay(&storage, &payment, &reference, as_json).await
        }
        AdminCommand::Accounts { storage } => accounts(&storage, as_json).await,
        AdminCommand::Weight {
            storage,
            organisation,
            weight,
        } => {
            let weight = shares::weight(&storage.database()?, &organisation, weight).await?;
            if as_json {
                println!(
                    "{}",
                    json!({"organisation": organisation, "weight": weight})
                );
            } else {
                println!("{organisation} has the weight {weight}");
            }
            Ok(ExitCode::SUCCESS)
        }
        AdminCommand::Audit { storage } => {
            let report = audit::audit(&storage.database()?).await?;
            print_report(&report, as_json)
        }
    }
}

async fn pay(
    storage: &DatabaseArgs,
    payment: &Payment,
    reference: &str,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let booked = treasury::pay(&storage.database()?, payment, reference).await?;
    let (amount, before) = match booked {
        Booked::Now(amount) => (amount, false),
        Booked::Before(amount) => (amount, true),
    };
    if as_json {
        println!(
            "{}",
            json!({"amount": amount.micros(), "reference": reference, "booked_before": before})
        );
    } else if before {
        println!("{amount} had been booked before under {reference}");
    } else {
        println!("{amount} is booked under {reference}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn accounts(storage: &DatabaseArgs, as_json: bool) -> anyhow::Result<ExitCode> {
    let all = treasury::accounts(&storage.database()?).await?;
    if as_json {
        let all: Vec<_> = all
            .iter()
            .map(|(name, balance)| json!({"account": name, "balance": balance.micros()}))
            .collect();
        println!("{}", serde_json::to_string(&all)?);
    } else {
        for (name, balance) in all {
            println!("{balance:>24}  {name}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print_report(report: &Report, as_json: bool) -> anyhow::Result<ExitCode> {
    if as_json {
        println!("{}", serde_json::to_string(report)?);
    } else {
        for note in &report.notes {
            println!("note: {note}");
        }
        for finding in &report.findings {
            println!("{}: {}", finding.code, finding.message);
        }
        let Report {
            entries,
            accounts,
            receipts,
            leases,
            agreements,
            caps,
            invoices,
            payouts,
            ..
        } = report;
        println!(
            "{entries} entries, {accounts} accounts, {receipts} receipts, {leases} leases at {agreements} prices, {caps} caps, {invoices} invoices, {payouts} payouts: {}",
            match report.findings.len() {
                0 => "all holds".to_owned(),
                1 => "1 thing does not hold".to_owned(),
                n => format!("{n} things do not hold"),
            }
        );
    }
    Ok(match report.findings.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
