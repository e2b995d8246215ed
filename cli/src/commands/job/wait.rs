//! `nacre job wait`: until it has ended, and then its result with its proof.

use std::time::Duration;

use nacre_client::sealed::{JobTicket, OpenedJob};
use nacre_client::{ClientError, Trust};
use nacre_protocol::api::jobs::{Job, JobState};
use nacre_protocol::ids::{BootId, JobId};
use nacre_protocol::receipt::ReceiptError;
use serde::Serialize;
use tokio::time::Instant;

use super::args::WaitArgs;
use super::ticket::{PlainTicket, Ticket};
use super::{attest_all, state};
use crate::api::Api;
use crate::args::TargetArgs;
use crate::commands::Context;
use crate::commands::invoke::find_endpoints;
use crate::error::CliError;
use crate::profile::{Profile, read_json, write_output};

/// What `--json` prints.
#[derive(Serialize)]
struct Waited {
    job: Job,
    status: u16,
    response: serde_json::Value,
    boot_id: BootId,
}

/// Waits, checks, prints.
pub(super) async fn wait(context: &Context, args: WaitArgs) -> Result<(), CliError> {
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
    profile: &Profile,
) -> Result<OpenedJob, CliError> {
    if let Some(opened) = ticket.open(result, &[])? {
        return Ok(opened);
    }
    let target = TargetArgs::default();
    let endpoints = find_endpoints(&target, Some(profile), &ticket.function, ticket.digest).await?;
    let enclaves = attest_all(trust, ticket.digest, endpoints).await?;
    let opened = ticket.open(result, &enclaves)?;
    Ok(opened.ok_or(ClientError::from(ReceiptError::Signature))?)
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
