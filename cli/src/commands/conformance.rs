//! `nacre attest conformance` and `nacre attest respond`: the two ends of the conformance protocol.
//!
//! The corpus holds questions to a verifier of attestation documents, each with the answer that the rules demand. A
//! verifier in any language takes part by a small program: it reads one request a line from standard input and writes
//! one answer a line to standard output, in the same order, each line flushed. See [`protocol`] for both.

use std::process::ExitCode;
use std::time::Duration;

use nacre_attestation_verifier::Backend;

use crate::args::{AttestConformanceArgs, AttestRespondArgs};
use crate::commands::Context;
use crate::dev::Stop;
use crate::error::CliError;
use crate::trust::read_bounded;

mod candidate;
mod compare;
mod corpus;
mod ending;
mod protocol;
mod report;
mod respond;

/// Longest corpus file, bytes.
const MAX_CORPUS: u64 = 64 << 20;

/// Puts the corpus to another verifier and prints where it differs. The exit status is 0 only where every case was
/// answered, at least one in substance, and nothing differs.
pub(crate) async fn conformance(
    context: &Context,
    args: AttestConformanceArgs,
) -> Result<ExitCode, CliError> {
    let text = args
        .corpus
        .as_deref()
        .map(|file| read_bounded(file, MAX_CORPUS));
    let text = text.transpose()?;
    let mut cases = corpus::read(text.as_deref().unwrap_or(corpus::EMBEDDED))?;
    if let Some(part) = &args.only {
        cases.retain(|case| case.name.contains(part));
    }
    if cases.is_empty() {
        return Err(CliError::Usage("the corpus has no such case".to_owned()));
    }
    let stop = Stop::listen(false)?;
    let timeout = Duration::from_secs(args.timeout);
    let run = candidate::put(&args.command, &cases, timeout, stop.wait()).await?;
    let report = report::Report::new(&cases, run);
    context.output.result(&report, |report| report.text())?;
    Ok(match report.conforms {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Answers requests with this repository's verifier until standard input ends.
pub(crate) async fn respond(args: AttestRespondArgs) -> Result<(), CliError> {
    let backend = args.backend.unwrap_or_default();
    let serving = tokio::task::spawn_blocking(move || {
        respond::serve(std::io::stdin().lock(), std::io::stdout().lock(), backend)
    });
    Ok(serving.await.map_err(anyhow::Error::from)??)
}

/// A backend by its name.
pub(crate) fn backend(name: &str) -> Result<Backend, String> {
    let found = Backend::ALL.iter().find(|backend| backend.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = Backend::ALL.iter().map(|backend| backend.name()).collect();
        format!("this build has {}", names.join(" and "))
    })
}
