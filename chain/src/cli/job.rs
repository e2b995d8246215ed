//! `nacre chain request`, `cancel`, `claim`, `slash`, and what `status` says of a job.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use alloy::primitives::aliases::{U40, U96};
use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::providers::{DynProvider, Provider as _};
use alloy::sol_types::SolCall;
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval};

use super::session::{Printer, ReadArgs, SendArgs, Sent};
use crate::account::call_to;
use crate::contracts::{JobRelay, job_relay};
use crate::deployment::{Deployment, Name};
use crate::error::ChainError;

use job_relay::IJobRelay::{Job, Request};

/// The longest input that comes along on chain: `JobRelay.MAX_INPUT`.
const MAX_INPUT: u64 = 65_536;

/// How many blocks a node is asked for events of at once.
const BLOCKS: u64 = 10_000;

/// Arguments of `request`.
#[derive(Debug, Clone, clap::Args)]
pub struct RequestArgs {
    /// Which function: SHA-256 of its manifest (`nacre digest`).
    function: B256,
    /// The input as the function decodes it, from a file; `-` is standard input.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "input_hash",
        conflicts_with = "input_hash"
    )]
    input: Option<PathBuf>,
    /// SHA-256 of an input that the platform's object store has.
    #[arg(long, value_name = "HEX")]
    input_hash: Option<B256>,
    /// Which image must answer; any approved one where absent.
    #[arg(long, value_name = "HEX")]
    image: Option<B256>,
    /// Wei, for answer and submission together; what is drawn at a price that rises by a quarter where absent.
    #[arg(long, value_name = "WEI")]
    fee: Option<u128>,
    /// Which contract is told.
    #[arg(long, value_name = "ADDRESS", requires = "callback_gas")]
    callback: Option<Address>,
    /// With how much gas.
    #[arg(long, value_name = "GAS", requires = "callback")]
    callback_gas: Option<u32>,
    /// How long an answer counts, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    deadline: u64,
    /// Wait for the answer, and print it.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    send: SendArgs,
}

/// A job.
#[derive(Debug, Clone, clap::Args)]
pub struct JobArgs {
    /// Its id.
    job: U256,
    #[command(flatten)]
    send: SendArgs,
}

/// Arguments of `claim`.
#[derive(Debug, Clone, clap::Args)]
pub struct ClaimArgs {
    /// Of this token; ETH where absent.
    #[arg(long, value_name = "ADDRESS")]
    token: Option<Address>,
    #[command(flatten)]
    send: SendArgs,
}

/// A job that was asked for.
#[derive(Serialize)]
struct Asked {
    job: U256,
    /// Wei.
    fee: U96,
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

/// What came of a job.
#[derive(Debug, Serialize)]
struct Answer {
    /// 0: the model's answer; otherwise a refusal that model and input determine.
    status: u8,
    /// Who was paid.
    payee: Address,
    /// Whose signature it is.
    key: Address,
    output: Bytes,
}

pub(super) async fn request(args: RequestArgs, print: Printer) -> Result<(), ChainError> {
    let input = args
        .input
        .as_deref()
        .map(read_input)
        .transpose()?
        .unwrap_or_default();
    let (account, deployment) = args.send.open().await?;
    let provider = account.provider();
    let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
    let callback_gas = args.callback_gas.unwrap_or(0);
    let fee = match args.fee {
        Some(fee) => U256::from(fee),
        None => {
            let floor = relay.feeFloor(Address::ZERO, callback_gas).call().await?;
            floor + floor / U256::from(4)
        }
    };
    if fee > U256::from(U96::MAX) {
        return Err(ChainError::Input("--fee: more than 96 bits".to_owned()));
    }
    let asked = Request {
        functionDigest: args.function,
        imageId: args.image.unwrap_or_default(),
        inputHash: args.input_hash.unwrap_or_default(),
        callback: args.callback.unwrap_or_default(),
        callbackGas: callback_gas,
        deadline: U40::saturating_from(chain_time(provider).await?.saturating_add(args.deadline)),
        token: Address::ZERO,
        fee: U96::saturating_from(fee),
    };
    let mut transaction = call_to(
        *relay.address(),
        &JobRelay::requestCall {
            asked,
            input: input.into(),
        },
    );
    transaction.value = Some(fee);
    let done = print.send(&account, "request", transaction).await?;
    let taken = done.receipt.decoded_log::<JobRelay::Requested>();
    let taken = taken.ok_or_else(|| ChainError::BadAnswer("no event of the request".to_owned()))?;
    let mut asked = Asked {
        job: taken.jobId,
        fee: taken.request.fee,
        deadline: taken.request.deadline.to(),
        drawn: !taken.batch.is_zero(),
        assured: taken.assured,
        sent: Sent::from(&done),
        answer: None,
    };
    if args.wait {
        print.note(&format!("job {}", asked.job));
        let from = done.receipt.block_number.unwrap_or(deployment.from_block);
        let every = account.patience().every;
        asked.answer = Some(
            answer(
                provider,
                &deployment,
                asked.job,
                from,
                asked.deadline,
                every,
            )
            .await?,
        );
    }
    print.result(&asked, |asked| match &asked.answer {
        Some(answer) => answer_text(answer),
        None => format!("job {}\n{}", asked.job, asked.sent.text()),
    })
}

pub(super) async fn cancel(args: JobArgs, print: Printer) -> Result<(), ChainError> {
    act_on(args, print, "cancel", |job| JobRelay::cancelCall { job }).await
}

pub(super) async fn slash(args: JobArgs, print: Printer) -> Result<(), ChainError> {
    act_on(args, print, "slash", |job| JobRelay::slashLateCall { job }).await
}

/// Sends a call that shows the relay the whole job again.
async fn act_on<C: SolCall>(
    args: JobArgs,
    print: Printer,
    what: &str,
    call: impl FnOnce(Job) -> C,
) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let job = taken(account.provider(), &deployment, args.job).await?;
    let relay = deployment.address(Name::JobRelay);
    let call = call_to(relay, &call(job));
    let done = print.send(&account, what, call).await?;
    print.result(&Sent::from(&done), Sent::text)
}

pub(super) async fn claim(args: ClaimArgs, print: Printer) -> Result<(), ChainError> {
    let (account, deployment) = args.send.open().await?;
    let claim = JobRelay::claimCall {
        token: args.token.unwrap_or_default(),
        to: account.address(),
    };
    let done = print
        .send(
            &account,
            "claim",
            call_to(deployment.address(Name::JobRelay), &claim),
        )
        .await?;
    print.result(&Sent::from(&done), Sent::text)
}

/// Where a job stands.
#[derive(Serialize)]
struct Standing {
    job: U256,
    /// `requested`, `answered` or `cancelled`.
    state: &'static str,
    /// Who was drawn, if anybody was yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned: Option<Address>,
    /// Unix seconds.
    deadline: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

pub(super) async fn status(at: &ReadArgs, id: U256, print: Printer) -> Result<(), ChainError> {
    let (provider, deployment) = at.open().await?;
    let job = taken(&provider, &deployment, id).await?;
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &provider);
    let state = relay.resultOf(id).call().await?.state;
    let assigned = relay.assignedTo(id).call().await?.operator;
    let answered = match state {
        ANSWERED => said(&provider, &deployment, id, deployment.from_block).await?,
        _ => None,
    };
    let standing = Standing {
        job: id,
        state: match state {
            ANSWERED => "answered",
            CANCELLED => "cancelled",
            _ => "requested",
        },
        assigned: Some(assigned).filter(|operator| !operator.is_zero()),
        deadline: job.request.deadline.to(),
        answer: answered,
    };
    print.result(&standing, |of| match (&of.answer, of.assigned) {
        (Some(answer), _) => answer_text(answer),
        (None, Some(operator)) => format!(
            "{}, drawn: {operator}, deadline {} (Unix seconds)",
            of.state, of.deadline
        ),
        (None, None) => format!("{}, deadline {} (Unix seconds)", of.state, of.deadline),
    })
}

/// `IJobRelay.State`.
const ANSWERED: u8 = 2;
const CANCELLED: u8 = 3;

/// Waits until a job is answered.
async fn answer(
    provider: &DynProvider,
    deployment: &Deployment,
    id: U256,
    from: u64,
    deadline: u64,
    every: std::time::Duration,
) -> Result<Answer, ChainError> {
    let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // Asked for first: an answer can come between the two.
        let over = chain_time(provider).await? > deadline;
        match relay.resultOf(id).call().await?.state {
            ANSWERED => {
                if let Some(answer) = said(provider, deployment, id, from).await? {
                    return Ok(answer);
                }
            }
            CANCELLED => return Err(ChainError::NotAnswered { job: id }),
            _ if over => return Err(ChainError::NotAnswered { job: id }),
            _ => {}
        }
    }
}

/// The answer's event, looked for from this block on.
async fn said(
    provider: &DynProvider,
    deployment: &Deployment,
    id: U256,
    from: u64,
) -> Result<Option<Answer>, ChainError> {
    let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
    let head = provider.get_block_number().await?;
    for first in (from..=head).step_by(usize::try_from(BLOCKS).unwrap_or(usize::MAX)) {
        let last = head.min(first + BLOCKS - 1);
        let filter = relay
            .Answered_filter()
            .topic1(id)
            .from_block(first)
            .to_block(last);
        if let Some((event, _)) = filter.query().await?.pop() {
            return Ok(Some(Answer {
                status: event.status,
                payee: event.payee,
                key: event.key,
                output: event.output,
            }));
        }
    }
    Ok(None)
}

/// A job as it was taken, from its event: whoever acts on it shows all of it again.
async fn taken(
    provider: &DynProvider,
    deployment: &Deployment,
    id: U256,
) -> Result<Job, ChainError> {
    let relay = JobRelay::new(deployment.address(Name::JobRelay), provider);
    let head = provider.get_block_number().await?;
    for first in
        (deployment.from_block..=head).step_by(usize::try_from(BLOCKS).unwrap_or(usize::MAX))
    {
        let last = head.min(first + BLOCKS - 1);
        let filter = relay
            .Requested_filter()
            .topic1(id)
            .from_block(first)
            .to_block(last);
        if let Some((event, _)) = filter.query().await?.pop() {
            return Ok(Job {
                requester: event.requester,
                nonce: event.nonce,
                request: event.request,
            });
        }
    }
    Err(ChainError::NoSuchJob { job: id })
}

/// The chain's own clock, Unix seconds.
async fn chain_time(provider: &DynProvider) -> Result<u64, ChainError> {
    let block = provider.get_block(alloy::eips::BlockId::latest()).await?;
    let block =
        block.ok_or_else(|| ChainError::BadAnswer("there is no latest block".to_owned()))?;
    Ok(block.header.timestamp)
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
            "is longer than {MAX_INPUT} bytes: name it with --input-hash"
        ))),
        Ok(_) => Ok(input),
    }
}

fn answer_text(answer: &Answer) -> String {
    let output = match std::str::from_utf8(&answer.output) {
        Ok(text)
            if !text
                .chars()
                .any(|letter| letter.is_control() && !letter.is_whitespace()) =>
        {
            text.to_owned()
        }
        _ => answer.output.to_string(),
    };
    match answer.status {
        0 => output,
        status => format!("refused with status {status}: {output}"),
    }
}
