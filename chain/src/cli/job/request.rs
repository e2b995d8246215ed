//! Asking for an inference.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use alloy::primitives::aliases::{U40, U96};
use alloy::primitives::{Address, B256, U256};
use serde::Serialize;

use super::answer::Answer;
use super::upload::UploadArgs;
use crate::account::call_to;
use crate::cli::session::{Printer, SendArgs, Sent, chain_time};
use crate::cli::token::allow;
use crate::contracts::{JobRelay, job_relay};
use crate::deployment::Name;
use crate::error::ChainError;

use job_relay::IJobRelay::Request;

/// The longest input that comes along on chain: `JobRelay.MAX_INPUT`.
const MAX_INPUT: u64 = 65_536;

/// Arguments of `request`.
#[derive(Debug, Clone, clap::Args)]
pub struct RequestArgs {
    /// Which function: SHA-256 of its manifest (`nacre digest`).
    function: B256,
    /// The input as the function decodes it, from a file; `-` is standard input.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present_any = ["input_hash", "upload"],
        conflicts_with_all = ["input_hash", "upload"]
    )]
    input: Option<PathBuf>,
    #[command(flatten)]
    upload: UploadArgs,
    /// SHA-256 of an input that the platform's object store has.
    #[arg(long, value_name = "HEX", conflicts_with = "upload")]
    input_hash: Option<B256>,
    /// Which image must answer; any approved one where absent.
    #[arg(long, value_name = "HEX")]
    image: Option<B256>,
    /// Base units of --token, for answer and submission together; what is drawn at a price that rises by a quarter where
    /// absent.
    #[arg(long, value_name = "AMOUNT")]
    fee: Option<u128>,
    /// What the fee is paid in: a token that the deployment takes, approved first where that is needed; ETH, in wei, where
    /// absent.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    /// Which contract is told.
    #[arg(long, value_name = "ADDRESS", requires = "callback_gas")]
    callback: Option<Address>,
    /// With how much gas.
    #[arg(long, value_name = "GAS", requires = "callback")]
    callback_gas: Option<u32>,
    /// How long an answer counts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    deadline: u64,
    /// The same as a time, Unix seconds: what an input was sealed for.
    #[arg(long, value_name = "UNIX", conflicts_with = "deadline")]
    deadline_at: Option<u64>,
    /// Wait for the answer, and print it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    send: SendArgs,
}

/// A job that was asked for.
#[derive(Serialize)]
struct Asked {
    job: U256,
    /// Base units of the token; wei where there is none.
    fee: U96,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Address>,
    /// Unix seconds.
    deadline: u64,
    /// Whether an operator is drawn that must answer.
    drawn: bool,
    /// Whether that operator is slashed where it is late.
    assured: bool,
    #[serde(flatten)]
    sent: Sent,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

pub(in crate::cli) async fn request(args: RequestArgs, print: &Printer) -> Result<(), ChainError> {
    let input = args.input.as_deref().map(read_input).transpose()?;
    let (account, deployment) = args.send.open().await?;
    let provider = account.provider();
    let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
    let callback_gas = args.callback_gas.unwrap_or(0);
    let token = args.token.unwrap_or_default();
    // Also where a fee is named: a token that is not taken shows here, before anything is approved.
    let floor = relay.feeFloor(token, callback_gas).call().await?;
    let fee = match args.fee {
        Some(fee) => U256::from(fee),
        None => floor + floor / U256::from(4),
    };
    if fee > U256::from(U96::MAX) {
        return Err(ChainError::Input("--fee: more than 96 bits".to_owned()));
    }
    // Before it is asked for: who answers finds it there.
    let stored = args.upload.store().await?;
    let deadline = match args.deadline_at {
        Some(deadline) => deadline,
        None => chain_time(provider).await?.saturating_add(args.deadline),
    };
    let asked = Request {
        functionDigest: args.function,
        imageId: args.image.unwrap_or_default(),
        inputHash: stored.or(args.input_hash).unwrap_or_default(),
        callback: args.callback.unwrap_or_default(),
        callbackGas: callback_gas,
        deadline: U40::saturating_from(deadline),
        token,
        fee: U96::saturating_from(fee),
    };
    let input = input.unwrap_or_default().into();
    let mut call = call_to(*relay.address(), &JobRelay::requestCall { asked, input });
    if args.token.is_some() {
        allow(print, &account, token, *relay.address(), fee).await?;
    } else {
        call.value = Some(fee);
    }
    let done = print.send(&account, "request", call).await?;
    let taken = done.receipt.decoded_log::<JobRelay::Requested>();
    let taken = taken.ok_or_else(|| ChainError::BadAnswer("no event of the request".to_owned()))?;
    let mut asked = Asked {
        job: taken.jobId,
        fee: taken.request.fee,
        token: args.token,
        deadline: taken.request.deadline.to(),
        drawn: !taken.batch.is_zero(),
        assured: taken.assured,
        sent: Sent::from(&done),
        answer: None,
    };
    if args.wait {
        print.note(&format!("job {}", asked.job));
        let from = done.receipt.block_number.unwrap_or(deployment.from_block);
        let (id, deadline) = (asked.job, asked.deadline);
        let answer = Answer::wait(&account, &deployment, id, from, deadline).await?;
        asked.answer = Some(answer);
    }
    print.result(&asked, |asked| match &asked.answer {
        Some(answer) => answer.text(),
        None => format!("job {}\n{}", asked.job, asked.sent.text()),
    })
}

fn read_input(path: &Path) -> Result<Vec<u8>, ChainError> {
    let wrong = |reason: String| ChainError::Input(format!("{}: {reason}", path.display()));
    let mut input = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(MAX_INPUT + 1).read_to_end(&mut input)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut input))
    };
    match read {
        Err(error) => Err(wrong(error.to_string())),
        Ok(0) => Err(wrong("is empty".to_owned())),
        Ok(_) if input.len() as u64 > MAX_INPUT => Err(wrong(format!(
            "is longer than {MAX_INPUT} bytes: --upload it"
        ))),
        Ok(_) => Ok(input),
    }
}
