//! `nacre receipt verify`: off line, years later.

use nacre_client::ClientError;
use nacre_client::{ReceiptFileError, verify_receipt_file};
use nacre_protocol::digest::Digest;
use nacre_protocol::receipt::ReceiptError;
use nacre_protocol::receipt_file::MAX_RECEIPT_FILE;
use serde::Serialize;

use crate::args::ReceiptVerifyArgs;
use crate::commands::Context;
use crate::commands::attest::unix_millis;
use crate::error::CliError;
use crate::trust::{Verdict, read_bounded};

/// Largest body that is read.
const MAX_BODY: u64 = 256 << 20;

#[derive(Serialize)]
struct Proven {
    function: Digest,
    status: u16,
    started_ms: u64,
    started: String,
    compute_micros: u32,
    enclave: Verdict,
}

/// Checks a receipt file against the two bodies; the exit status is the result code.
pub(crate) fn verify(context: &Context, args: ReceiptVerifyArgs) -> Result<(), CliError> {
    let profile = context.home.profile(context.profile.as_deref()).ok();
    let trust = args
        .trust
        .resolve(&context.home, profile.as_ref().map(|(_, profile)| profile))?;
    let file = read_bounded(&args.file, MAX_RECEIPT_FILE as u64)?;
    let request = read_bounded(&args.request, MAX_BODY)?;
    let response = read_bounded(&args.response, MAX_BODY)?;
    let at = args.at.map(unix_millis).transpose()?;

    let verified = verify_receipt_file(&file, &request, &response, &trust, at)?;
    let claims = verified.receipt.receipt;
    if let Some(wanted) = args
        .digest
        .filter(|wanted| *wanted != claims.function_digest)
    {
        let got = claims.function_digest;
        let other = ReceiptError::Function { wanted, got };
        return Err(ReceiptFileError::from(ClientError::from(other)).into());
    }
    let started = i64::try_from(claims.started_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let proven = Proven {
        function: claims.function_digest,
        status: claims.status,
        started_ms: claims.started_ms,
        started: started.map(|at| at.to_string()).unwrap_or_default(),
        compute_micros: claims.compute_micros,
        enclave: Verdict::of(&verified.enclave),
    };
    context.output.result(&proven, |proven| {
        format!(
            "receipt    proves this request and this response\nfunction   {}\nanswered   {} (status {}, {} µs in the model)\n{}",
            proven.function, proven.started, proven.status, proven.compute_micros, proven.enclave.text()
        )
    })
}
