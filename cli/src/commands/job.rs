//! `nacre job`: calls whose answers are fetched later.
//!
//! What a result must prove is written down here when the job is submitted, before the platform knows of it: the salted hash
//! of the input, and the evidence of the enclaves that ran the function then. `wait` holds the result against that, never
//! against the platform's word.

mod args;
mod ticket;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nacre_client::sealed::{JobRequest, JobTicket, OpenedJob, draw_job_id, seal};
use nacre_client::{AttestedClient, AttestedEnclave, ClientError, ClientOptions, Endpoint, Trust};
use nacre_protocol::api::jobs::{Bytes32, CreateJob, Job, JobPayload, JobState};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{BootId, FunctionName, JobId};
use nacre_protocol::job::{JobInput, JobTerms};
use nacre_protocol::receipt::ReceiptError;
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use args::JobCommand;
use args::{SubmitArgs, WaitArgs};
use ticket::{PlainTicket, Ticket};

use crate::api::Api;
use crate::args::TargetArgs;
use crate::commands::Context;
use crate::commands::invoke::{find_endpoints, read_input, wanted_digest};
use crate::error::CliError;
use crate::output::table;
use crate::profile::{read_json, write_output, write_private};

/// Longest input that goes within the request; a longer one follows it.
const INLINE: usize = 512 << 10;

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, command: JobCommand) -> Result<(), CliError> {
    match command {
        JobCommand::Submit(args) => submit(context, *args).await,
        JobCommand::Get { id } => show(context, &api(context)?.job(&id, false).await?),
        JobCommand::Wait(args) => wait(context, *args).await,
        JobCommand::Cancel { id } => {
            let api = api(context)?;
            api.delete_job(&id).await?;
            show(context, &api.job(&id, false).await?)
        }
        JobCommand::List => list(context).await,
    }
}

async fn submit(context: &Context, args: SubmitArgs) -> Result<(), CliError> {
    let login = context.home.profile(context.profile.as_deref())?;
    let trust = args.trust.resolve(&context.home, Some(&login.1))?;
    let digest = wanted_digest(&args.target, Some(&login), &args.function)?;
    let body = read_input(&args.input)?;
    let endpoints = find_endpoints(&args.target, Some(&login.1), &args.function).await?;
    let enclaves = attest_all(&trust, digest, endpoints).await?;

    let terms = JobTerms {
        job: draw_job_id()?,
        function: digest,
        deadline_ms: deadline_ms(args.deadline),
    };
    let request = JobRequest {
        content_type: "application/json",
        inference_header_length: "",
        body: &body,
    };
    let (ticket, input) = match args.sealed {
        true => sealed(&args.function, &enclaves, terms, request)?,
        false => plain(&args.function, &enclaves, &terms, request)?,
    };
    let (payload, follows) = payload(input, args.sealed);
    let (dir, profile) = login;
    let text = serde_json::to_vec(&ticket).map_err(anyhow::Error::from)?;
    write_private(&dir.job_file(&terms.job), &text)?;
    let job = CreateJob {
        id: terms.job,
        function: args.function,
        digest,
        deadline_ms: terms.deadline_ms,
        max_price: args.max_price,
        webhook: args.webhook,
        input: payload,
    };
    let api = Api::new(&profile)?;
    let made = api.create_job(&job).await?;
    if let Some(input) = follows {
        api.put_job_input(&made.id, input).await?;
    }
    show(context, &made)
}

/// An input as it is carried, with the key that its result is sealed to.
struct Carried {
    bytes: Vec<u8>,
    result_key: Option<[u8; 32]>,
    plain: Option<JobPayload>,
}

fn sealed(
    function: &FunctionName,
    enclaves: &[Arc<AttestedEnclave>],
    terms: JobTerms,
    request: JobRequest<'_>,
) -> Result<(Ticket, Carried), CliError> {
    let submission = seal(enclaves.iter().map(AsRef::as_ref), terms, request)?;
    let carried = Carried {
        result_key: Some(submission.ticket.result_key()),
        bytes: submission.envelope,
        plain: None,
    };
    Ok((
        Ticket::sealed(function.clone(), &submission.ticket),
        carried,
    ))
}

fn plain(
    function: &FunctionName,
    enclaves: &[Arc<AttestedEnclave>],
    terms: &JobTerms,
    request: JobRequest<'_>,
) -> Result<(Ticket, Carried), CliError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(anyhow::Error::from)?;
    let input = JobInput {
        content_type: request.content_type,
        inference_header_length: request.inference_header_length,
        salt,
        body: request.body,
    };
    let commitment = input.commitment(&terms.job);
    let ticket = PlainTicket::new(function.clone(), terms, request, commitment, enclaves);
    let carried = Carried {
        bytes: input.encode(),
        result_key: None,
        plain: Some(JobPayload::Plain {
            content_type: request.content_type.to_owned(),
            inference_header_length: request.inference_header_length.to_owned(),
            salt: Some(Bytes32(salt)),
            body: request.body.to_vec(),
        }),
    };
    Ok((Ticket::Plain(ticket), carried))
}

/// What goes within the request, and what follows it.
fn payload(carried: Carried, is_sealed: bool) -> (JobPayload, Option<Vec<u8>>) {
    if carried.bytes.len() > INLINE {
        let upload = JobPayload::Upload {
            size: carried.bytes.len() as u64,
            digest: Digest::of(&carried.bytes),
            result_key: carried.result_key.map(Bytes32),
        };
        return (upload, Some(carried.bytes));
    }
    match (carried.plain, carried.result_key) {
        (Some(plain), _) if !is_sealed => (plain, None),
        (_, key) => {
            let sealed = JobPayload::Sealed {
                envelope: carried.bytes,
                result_key: key.unwrap_or_default(),
            };
            (sealed, None)
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Waited {
    job: Job,
    status: u16,
    response: serde_json::Value,
    boot_id: BootId,
}

async fn wait(context: &Context, args: WaitArgs) -> Result<(), CliError> {
    let (dir, profile) = context.home.profile(context.profile.as_deref())?;
    let ticket: Option<Ticket> = read_json(&dir.job_file(&args.id))?;
    let ticket = ticket.ok_or_else(|| {
        CliError::Usage(format!(
            "{} was not submitted from here, so nothing says what its result must prove",
            args.id
        ))
    })?;
    let api = Api::new(&profile)?;
    let job = wait_for_end(&api, &args.id, Duration::from_secs(args.timeout)).await?;
    if job.state != JobState::Done {
        return Err(ended_badly(&job));
    }
    let result = api.job_result(&args.id).await?;
    let opened = match ticket {
        Ticket::Sealed { ticket, .. } => JobTicket::from_json(ticket.as_bytes())?.open(&result)?,
        Ticket::Plain(ticket) => {
            let trust = args.trust.resolve(&context.home, Some(&profile))?;
            prove(&ticket, &result, &trust, &profile).await?
        }
    };
    if let Some(file) = &args.receipt {
        let json = serde_json::to_vec_pretty(&opened.proof).map_err(anyhow::Error::from)?;
        write_output(file, &json)?;
    }
    if let Some(file) = &args.output {
        write_output(file, &opened.body)?;
    }
    if context.output.json {
        let waited = Waited {
            job,
            status: opened.status,
            response: serde_json::from_slice(&opened.body).unwrap_or_default(),
            boot_id: opened.boot_id,
        };
        return context.output.result(&waited, |_| String::new());
    }
    eprintln!(
        "receipt verified · {} · status {}",
        opened.boot_id, opened.status
    );
    match args.output {
        Some(_) => Ok(()),
        None => context.output.line(&String::from_utf8_lossy(&opened.body)),
    }
}

/// Holds a result in the open against the enclaves that were attested at submission; if it is of none of them, against
/// those that run the function now.
async fn prove(
    ticket: &PlainTicket,
    result: &[u8],
    trust: &Trust,
    profile: &crate::profile::Profile,
) -> Result<OpenedJob, CliError> {
    if let Some(opened) = ticket.open(result, &[])? {
        return Ok(opened);
    }
    let target = TargetArgs::default();
    let endpoints = find_endpoints(&target, Some(profile), &ticket.function).await?;
    let enclaves = attest_all(trust, ticket.digest, endpoints).await?;
    let opened = ticket.open(result, &enclaves)?;
    Ok(opened.ok_or(ClientError::from(ReceiptError::Signature))?)
}

/// Attests every endpoint; one that cannot be reached is left out, one whose evidence is refused is an error.
async fn attest_all(
    trust: &Trust,
    digest: Digest,
    endpoints: Vec<Endpoint>,
) -> Result<Vec<Arc<AttestedEnclave>>, CliError> {
    let mut enclaves = Vec::new();
    let mut away = None;
    for endpoint in endpoints {
        let options = ClientOptions::default();
        let client = AttestedClient::new(trust.clone(), Some(digest), vec![endpoint], options);
        match client.attest().await {
            Ok(enclave) => enclaves.push(enclave),
            Err(error) if error.result_code().is_none() => away = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match (enclaves.is_empty(), away) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(CliError::Usage(
            "no node runs the function now, so there is nobody to attest".to_owned(),
        )),
        (false, _) => Ok(enclaves),
    }
}

async fn wait_for_end(api: &Api, id: &JobId, limit: Duration) -> Result<Job, CliError> {
    let deadline = Instant::now() + limit;
    loop {
        let poll = tokio::time::timeout_at(deadline, api.job(id, true)).await;
        match poll {
            Ok(job) => {
                let job = job?;
                if job.state.is_final() {
                    return Ok(job);
                }
            }
            Err(_) => {
                let message = format!("the job has not ended within {} s", limit.as_secs());
                return Err(CliError::TimedOut(message));
            }
        }
    }
}

fn ended_badly(job: &Job) -> CliError {
    let state = state(job.state);
    let why = job.failure.as_ref();
    CliError::Job {
        code: format!("job-{state}"),
        message: match why {
            Some(failure) => format!("the job is {state}: {} ({})", failure.message, failure.code),
            None => format!("the job is {state}"),
        },
    }
}

async fn list(context: &Context) -> Result<(), CliError> {
    let jobs = api(context)?.jobs().await?;
    context.output.result(&jobs, |jobs| {
        let head = ["JOB", "FUNCTION", "STATE", "SEALED", "ATTEMPTS"];
        let row = |job: &Job| {
            vec![
                job.id.to_string(),
                job.function.to_string(),
                state(job.state).to_owned(),
                if job.sealed { "yes" } else { "no" }.to_owned(),
                job.attempts.to_string(),
            ]
        };
        table(&head, &jobs.iter().map(row).collect::<Vec<_>>())
    })
}

fn show(context: &Context, job: &Job) -> Result<(), CliError> {
    context
        .output
        .result(job, |job| format!("{}  {}", job.id, state(job.state)))
}

fn api(context: &Context) -> Result<Api, CliError> {
    let (_, profile) = context.home.profile(context.profile.as_deref())?;
    Api::new(&profile)
}

fn state(state: JobState) -> &'static str {
    match state {
        JobState::Queued => "queued",
        JobState::Leased => "leased",
        JobState::Running => "running",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Expired => "expired",
        JobState::Cancelled => "cancelled",
    }
}

fn deadline_ms(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    now.saturating_add(seconds.saturating_mul(1000))
}
