//! `nacre job submit`: attest, write down what the result must prove, and only then lay the job in.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nacre_client::AttestedEnclave;
use nacre_client::sealed::{JobRequest, draw_job_id, seal};
use nacre_protocol::api::jobs::{Bytes32, CreateJob, JobPayload};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use nacre_protocol::job::{JobInput, JobTerms};

use super::args::SubmitArgs;
use super::ticket::{PlainTicket, Ticket};
use super::{attest_all, show};
use crate::api::Api;
use crate::commands::Context;
use crate::commands::invoke::{find_endpoints, read_input, wanted_digest};
use crate::error::CliError;
use crate::profile::write_private;

/// Longest input that goes within the request; a longer one follows it.
const INLINE: usize = 512 << 10;

/// Lays a job in.
pub(super) async fn submit(context: &Context, args: SubmitArgs) -> Result<(), CliError> {
    let login = context.home.profile(context.profile.as_deref())?;
    let trust = args.trust.resolve(&context.home, Some(&login.1))?;
    let digest = wanted_digest(&args.target, Some(&login), &args.function)?;
    let body = read_input(&args.input)?;
    let endpoints = find_endpoints(&args.target, Some(&login.1), &args.function, digest).await?;
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
        chain: None,
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

fn deadline_ms(seconds: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX));
    now.saturating_add(seconds.saturating_mul(1000))
}
