//! `nacre payout`: what operators of the organisation's nodes earned, and how they come by it.

use clap::Subcommand;
use nacre_ledger::Amount;
use nacre_protocol::api::payouts::{AskPayout, OperatorBalance, Payout};
use nacre_protocol::ids::{OperatorId, PayoutId};

use crate::api::Api;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// What to do with payouts.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PayoutCommand {
    /// What operators of the organisation's nodes earned, asked for and were paid.
    Balance,
    /// Ask that an operator be paid.
    Ask {
        /// Units, with at most six decimals; all that is available where absent.
        #[arg(value_name = "UNITS")]
        amount: Option<Amount>,
        /// Which operator, where the organisation's nodes have several.
        #[arg(long)]
        operator: Option<OperatorId>,
    },
    /// List payouts, the latest first.
    List {
        /// Of this operator only.
        #[arg(long)]
        operator: Option<OperatorId>,
    },
    /// Take a wish back that was not paid yet.
    Withdraw {
        /// Which.
        payout: PayoutId,
    },
}

/// Does it.
pub(crate) async fn run(context: &Context, command: PayoutCommand) -> Result<(), CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    let api = Api::new(&profile)?;
    match command {
        PayoutCommand::Balance => {
            let operators = api.operators().await?;
            context.output.result(&operators, |all| operators_text(all))
        }
        PayoutCommand::Ask { amount, operator } => {
            let amount = amount.map(|amount| u64::try_from(amount.micros()));
            let amount = amount.transpose().ok().filter(|amount| *amount != Some(0));
            let amount =
                amount.ok_or_else(|| CliError::Usage("a payout is above zero".to_owned()))?;
            let operator = match operator {
                Some(operator) => operator,
                None => only(&api.operators().await?)?,
            };
            let payout = api.ask_payout(&AskPayout { operator, amount }).await?;
            context
                .output
                .result(&payout, |payout| payouts_text(&[payout]))
        }
        PayoutCommand::List { operator } => {
            let payouts = api.payouts(operator.as_ref()).await?;
            context.output.result(&payouts, |payouts| {
                payouts_text(&payouts.iter().collect::<Vec<_>>())
            })
        }
        PayoutCommand::Withdraw { payout } => {
            let payout = api.withdraw_payout(&payout).await?;
            context
                .output
                .result(&payout, |payout| payouts_text(&[payout]))
        }
    }
}

/// The one operator that there is.
fn only(operators: &[OperatorBalance]) -> Result<OperatorId, CliError> {
    match operators {
        [one] => Ok(one.operator),
        [] => Err(CliError::Usage(
            "no node was registered or claimed (nacre node claim) with a key of this organisation"
                .to_owned(),
        )),
        _ => Err(CliError::Usage(
            "the organisation's nodes have several operators: name one with --operator".to_owned(),
        )),
    }
}

fn operators_text(operators: &[OperatorBalance]) -> String {
    let row = |of: &OperatorBalance| {
        vec![
            of.operator.to_string(),
            units(of.earned),
            units(of.asked),
            units(of.kept_back),
            units(of.available),
            units(of.paid),
            units(of.stake),
        ]
    };
    let head = [
        "OPERATOR",
        "EARNED",
        "ASKED",
        "KEPT BACK",
        "AVAILABLE",
        "PAID",
        "STAKE",
    ];
    table(&head, &operators.iter().map(row).collect::<Vec<_>>())
}

fn payouts_text(payouts: &[&Payout]) -> String {
    let row = |payout: &&Payout| {
        vec![
            payout.id.to_string(),
            payout.operator.to_string(),
            units(payout.amount),
            payout.state.as_str().to_owned(),
            payout.reference.clone().unwrap_or_default(),
        ]
    };
    let head = ["PAYOUT", "OPERATOR", "AMOUNT", "STATE", "REFERENCE"];
    table(&head, &payouts.iter().map(row).collect::<Vec<_>>())
}

fn units(micros: i64) -> String {
    Amount::from_micros(micros).to_string()
}
