//! `nacre chain seal` and `open`: a contract's job whose input and answer only its requester and attested enclaves can read.
//!
//! The chain sees ciphertext, its hash and the public key that the answer is sealed to. The envelope is bound to requester,
//! contract, deadline and that key: asked for by anybody else, or for another time, no enclave opens it.

use std::path::{Path, PathBuf};

use nacre_chain::cli::session::Printer;
use nacre_client::sealed::{ContractJob, JobRequest, JobTicket, seal_for_contract};
use nacre_protocol::digest::Digest;
use nacre_protocol::eip712::EthAddress;
use nacre_protocol::ids::{BootId, FunctionName};
use nacre_protocol::job::MAX_JOB_BYTES;
use nacre_protocol::verified_enclave::ContractDomain;
use serde::Serialize;

use crate::args::{TargetArgs, TrustArgs};
use crate::commands::Context;
use crate::commands::invoke::{find_endpoints, read_input, wanted_digest};
use crate::commands::job::attest_all;
use crate::error::CliError;
use crate::profile::{write_output, write_private};
use crate::trust::read_bounded;

/// Longest answer in hexadecimal, and longest ticket.
const MAX_TEXT: u64 = 2 * MAX_JOB_BYTES as u64 + 3;

#[derive(Debug, clap::Args)]
pub(crate) struct SealArgs {
    /// The function.
    #[arg(long, short)]
    function: FunctionName,
    /// KServe v2 JSON: a file, `-` for standard input, or the JSON itself.
    #[arg(long, short, default_value = "-")]
    input: String,
    /// The `JobRelay`, and its chain's id.
    #[arg(long, value_name = "CHAIN:0x…")]
    contract: ContractDomain,
    /// Who will ask: the account or contract that calls `request`.
    #[arg(long, value_name = "ADDRESS")]
    requester: EthAddress,
    /// The request's deadline, Unix seconds: the same for `nacre chain request --deadline-at`.
    #[arg(long, value_name = "UNIX")]
    deadline_at: u64,
    /// Where the sealed input goes, for `nacre chain request --upload`.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Where what opens the answer goes. Whoever has it can read the answer.
    #[arg(long, value_name = "FILE")]
    ticket: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    trust: TrustArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenArgs {
    /// What `seal` has kept.
    #[arg(long, value_name = "FILE")]
    ticket: PathBuf,
    /// The answer's output as the chain has it: a file with its bytes, or with `0x` and hexadecimal digits.
    #[arg(long, value_name = "FILE")]
    answer: PathBuf,
    /// Write the answer's body here instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep the receipt with its evidence here.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
}

/// What was sealed.
#[derive(Serialize)]
struct Sealed {
    /// What to ask for.
    function: Digest,
    input_hash: Digest,
    /// Unix seconds.
    deadline: u64,
    /// Enclaves that can open it.
    enclaves: usize,
}

/// An answer that proved itself.
#[derive(Serialize)]
struct Opened {
    status: u16,
    boot_id: BootId,
    response: serde_json::Value,
}

/// Attests the enclaves that run the function, and seals the input to them.
pub(super) async fn seal(
    context: &Context,
    args: SealArgs,
    print: &Printer,
) -> Result<(), CliError> {
    let login = context.home.profile(context.profile.as_deref())?;
    let trust = args.trust.resolve(&context.home, Some(&login.1))?;
    let function = wanted_digest(&args.target, Some(&login), &args.function)?;
    let body = read_input(&args.input)?;
    let profile = Some(&login.1);
    let endpoints = find_endpoints(&args.target, profile, &args.function, function).await?;
    let enclaves = attest_all(&trust, function, endpoints).await?;
    let job = ContractJob {
        contract: args.contract,
        requester: args.requester,
        function,
        deadline: args.deadline_at,
    };
    let request = JobRequest {
        content_type: "application/json",
        inference_header_length: "",
        body: &body,
    };
    let sealed = seal_for_contract(enclaves.iter().map(AsRef::as_ref), &job, request)?;
    // First what opens the answer: an envelope without it would be asked for in vain.
    write_private(&args.ticket, sealed.ticket.to_json().as_bytes())?;
    write_output(&args.output, &sealed.envelope)?;
    let sealed = Sealed {
        function,
        input_hash: Digest::of(&sealed.envelope),
        deadline: args.deadline_at,
        enclaves: enclaves.len(),
    };
    let text = |sealed: &Sealed| {
        format!(
            "sealed to {} enclave(s)\nnacre chain request {} --upload {} --deadline-at {}",
            sealed.enclaves,
            sealed.function.to_hex(),
            args.output.display(),
            sealed.deadline,
        )
    };
    Ok(print.result(&sealed, text)?)
}

/// Opens an answer, and checks that an enclave to which the input was sealed gave it to this very input.
pub(super) fn open(args: &OpenArgs, print: &Printer) -> Result<(), CliError> {
    let ticket = JobTicket::from_json(&read_bounded(&args.ticket, MAX_TEXT)?)?;
    let opened = ticket.open(&answer(&args.answer)?)?;
    if let Some(file) = &args.receipt {
        let json = serde_json::to_vec_pretty(&opened.proof).map_err(anyhow::Error::from)?;
        write_output(file, &json)?;
    }
    if let Some(file) = &args.output {
        write_output(file, &opened.body)?;
    }
    let said = Opened {
        status: opened.status,
        boot_id: opened.boot_id,
        response: serde_json::from_slice(&opened.body).unwrap_or_default(),
    };
    let text = |said: &Opened| match args.output {
        Some(_) => format!("status {} · {}", said.status, said.boot_id),
        None => String::from_utf8_lossy(&opened.body).into_owned(),
    };
    Ok(print.result(&said, text)?)
}

fn answer(file: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = read_bounded(file, MAX_TEXT)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    match text.strip_prefix("0x") {
        None => Ok(bytes),
        Some(digits) => hex::decode(digits).map_err(|error| {
            CliError::Usage(format!("{}: not hexadecimal: {error}", file.display()))
        }),
    }
}
