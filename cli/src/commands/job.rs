//! `nacre job`: calls whose answers are fetched later.
//!
//! What a result must prove is written down here when the job is submitted, before the platform knows of it: the salted hash
//! of the input, and the evidence of the enclaves that ran the function then. `wait` holds the result against that, never
//! against the platform's word.

mod args;
mod submit;
mod ticket;
mod wait;

use std::sync::Arc;

use nacre_client::{AttestedClient, AttestedEnclave, ClientOptions, Endpoint, Trust};
use nacre_protocol::api::jobs::{Job, JobState};
use nacre_protocol::digest::Digest;

pub(crate) use args::JobCommand;

use crate::api::Api;
use crate::commands::Context;
use crate::error::CliError;
use crate::output::table;

/// Runs one of the commands.
pub(crate) async fn run(context: &Context, command: JobCommand) -> Result<(), CliError> {
    match command {
        JobCommand::Submit(args) => submit::submit(context, *args).await,
        JobCommand::Get { id } => show(context, &api(context)?.job(&id, false).await?),
        JobCommand::Wait(args) => wait::wait(context, *args).await,
        JobCommand::Cancel { id } => {
            let api = api(context)?;
            api.delete_job(&id).await?;
            show(context, &api.job(&id, false).await?)
        }
        JobCommand::List => list(context).await,
    }
}

/// Attests every endpoint; one that cannot be reached is left out, one whose evidence is refused is an error.
pub(crate) async fn attest_all(
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
