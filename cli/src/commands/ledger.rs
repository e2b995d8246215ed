//! `nacre balance`, `usage`, `invoice`, `entries`, `cap`: money.

use clap::{Subcommand, ValueEnum};
use nacre_ledger::Amount;
use nacre_protocol::api::ledger::{
    Balance, CapPeriod, Invoice, InvoiceLine, LedgerEntry, SetSpendingCap, SpendingCap,
};
use nacre_protocol::ids::FunctionName;

use crate::api::Api;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// What to do with caps.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum CapCommand {
    /// Set the cap of a function, or of all together, in a period.
    Set {
        /// Units, with at most six decimals.
        #[arg(value_name = "UNITS")]
        limit: Amount,
        /// In which span, UTC.
        #[arg(long, value_enum, default_value_t = Span::Month)]
        period: Span,
        /// For this function only.
        #[arg(long)]
        function: Option<FunctionName>,
    },
    /// List caps, and what counts against them.
    List,
    /// Take a cap away.
    Remove {
        /// In which span.
        #[arg(long, value_enum, default_value_t = Span::Month)]
        period: Span,
        /// That of this function.
        #[arg(long)]
        function: Option<FunctionName>,
    },
}

/// A cap's span.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Span {
    /// From midnight to midnight.
    Day,
    /// A calendar month.
    Month,
    /// For ever.
    Ever,
}

impl From<Span> for CapPeriod {
    fn from(span: Span) -> Self {
        match span {
            Span::Day => Self::Day,
            Span::Month => Self::Month,
            Span::Ever => Self::Ever,
        }
    }
}

/// What there is.
pub(crate) async fn balance(context: &Context) -> Result<(), CliError> {
    let balance = api(context)?.balance().await?;
    context.output.result(&balance, balance_text)
}

/// What this month has cost so far.
pub(crate) async fn usage(context: &Context) -> Result<(), CliError> {
    let invoice = api(context)?.invoice("now").await?;
    context.output.result(&invoice, invoice_text)
}

/// One invoice, or all without their lines.
pub(crate) async fn invoice(context: &Context, month: Option<String>) -> Result<(), CliError> {
    let api = api(context)?;
    match month {
        Some(month) => {
            let plain = |b: u8| b.is_ascii_digit() || b == b'-';
            if !month.bytes().all(plain) {
                return Err(CliError::Usage("a month is written 2026-11".to_owned()));
            }
            let invoice = api.invoice(&month).await?;
            context.output.result(&invoice, invoice_text)
        }
        None => {
            let invoices = api.invoices().await?;
            context.output.result(&invoices, |invoices| {
                let row = |invoice: &Invoice| vec![invoice.period.clone(), units(invoice.total)];
                table(
                    &["MONTH", "TOTAL"],
                    &invoices.iter().map(row).collect::<Vec<_>>(),
                )
            })
        }
    }
}

/// What moved the money.
pub(crate) async fn entries(context: &Context, after: u64) -> Result<(), CliError> {
    let entries = api(context)?.entries(after).await?;
    context.output.result(&entries, |entries| {
        let rows = entries.iter().flat_map(entry_rows);
        table(
            &["ENTRY", "CAUSE", "ACCOUNT", "AMOUNT"],
            &rows.collect::<Vec<_>>(),
        )
    })
}

/// Sets, lists and removes caps.
pub(crate) async fn cap(context: &Context, command: CapCommand) -> Result<(), CliError> {
    let api = api(context)?;
    match command {
        CapCommand::Set {
            limit,
            period,
            function,
        } => {
            let limit = u64::try_from(limit.micros())
                .map_err(|_| CliError::Usage("a cap is not below zero".to_owned()))?;
            let wish = SetSpendingCap {
                function,
                period: period.into(),
                limit,
            };
            let cap = api.set_cap(&wish).await?;
            context.output.result(&cap, |cap| caps_text(&[cap]))
        }
        CapCommand::List => {
            let caps = api.caps().await?;
            context
                .output
                .result(&caps, |caps| caps_text(&caps.iter().collect::<Vec<_>>()))
        }
        CapCommand::Remove { period, function } => {
            api.remove_cap(function.as_ref(), period.into()).await?;
            let done = serde_json::json!({ "removed": true });
            context
                .output
                .result(&done, |_| "the cap is taken away".to_owned())
        }
    }
}

fn api(context: &Context) -> Result<Api, CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    Api::new(&profile)
}

fn balance_text(balance: &Balance) -> String {
    let mut lines = vec![
        format!("{} has {}", balance.customer, units(balance.balance)),
        format!("owes      {}", units(balance.owed)),
        format!("set aside {}", units(balance.held)),
    ];
    let stopped = balance.stopped.iter();
    lines.extend(stopped.map(|stop| format!("{} waits: {}", stop.function, stop.reason)));
    lines.join("\n")
}

fn invoice_text(invoice: &Invoice) -> String {
    let head = [
        "FUNCTION",
        "LEASE",
        "GIB-SECOND",
        "CPU-SECOND",
        "RECEIPTS",
        "SECONDS",
        "BYTES",
        "AMOUNT",
    ];
    let lines = table(
        &head,
        &invoice.lines.iter().map(line_row).collect::<Vec<_>>(),
    );
    let state = match invoice.issued_ms {
        Some(_) => "",
        None => " so far",
    };
    let total = units(invoice.total);
    format!(
        "{lines}\n{} {}{state}: {total}",
        invoice.customer, invoice.period
    )
}

fn line_row(line: &InvoiceLine) -> Vec<String> {
    let micros = line.compute_micros;
    vec![
        line.function.to_string(),
        line.lease.to_string(),
        line.price.to_string(),
        line.cpu_price.to_string(),
        line.receipts.to_string(),
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000),
        line.bytes.to_string(),
        units(line.amount),
    ]
}

fn entry_rows(entry: &LedgerEntry) -> impl Iterator<Item = Vec<String>> {
    let postings = entry.postings.iter();
    postings.map(|posting| {
        vec![
            entry.id.to_string(),
            entry.cause.clone(),
            posting.account.clone(),
            units(posting.amount),
        ]
    })
}

fn caps_text(caps: &[&SpendingCap]) -> String {
    let row = |cap: &&SpendingCap| {
        let period = match cap.period {
            CapPeriod::Day => "day",
            CapPeriod::Month => "month",
            CapPeriod::Ever => "ever",
        };
        let function = cap.function.as_ref();
        vec![
            function.map_or_else(|| "(all)".to_owned(), ToString::to_string),
            period.to_owned(),
            units(cap.limit),
            units(cap.spent),
            units(cap.held),
        ]
    };
    let head = ["FUNCTION", "PERIOD", "LIMIT", "SPENT", "SET ASIDE"];
    table(&head, &caps.iter().map(row).collect::<Vec<_>>())
}

fn units(micros: i64) -> String {
    Amount::from_micros(micros).to_string()
}
