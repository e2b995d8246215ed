//! `nacre attest`: check documents and live enclaves, or only look at a document.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nacre_attestation_verifier::{
    DocumentClaims, UnixMillis, UnverifiedDocument, VerificationTime, verify as verify_document,
};
use nacre_client::{AttestedConnection, Endpoint};
use nacre_protocol::evidence::MAX_DOCUMENT;
use serde::Serialize;

use crate::args::AttestVerifyArgs;
use crate::commands::Context;
use crate::error::CliError;
use crate::trust::{Verdict, read_bounded};

/// Longest handshake with a live enclave.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Checks a document or a live enclave; the exit status is the result code.
pub(crate) async fn verify(context: &Context, args: AttestVerifyArgs) -> Result<(), CliError> {
    let profile = context.home.profile(context.profile.as_deref()).ok();
    let profile = profile.as_ref().map(|(_, profile)| profile);
    let trust = args.trust.resolve(&context.home, profile)?;
    let nonce = args.nonce.as_deref().map(hex::decode).transpose();
    let nonce = nonce.map_err(|_| CliError::Usage("--nonce is not hexadecimal".to_owned()))?;

    let verdict = if let Some(endpoint) = args.target.strip_prefix("https://") {
        if args.at.is_some() || nonce.is_some() {
            let message = "--at and --nonce are for documents: a live enclave is asked with a fresh nonce, now";
            return Err(CliError::Usage(message.to_owned()));
        }
        let endpoint: Endpoint = with_port(endpoint.trim_end_matches('/')).parse()?;
        let connection = AttestedConnection::open(&endpoint, &trust, HANDSHAKE).await?;
        Verdict::of(connection.enclave().trusted())
    } else {
        let document = read_document(Path::new(&args.target))?;
        let at = match args.at {
            Some(at) => VerificationTime::Archive(unix_millis(at)?),
            None => VerificationTime::Live(now()),
        };
        let evidence = verify_document(&document, trust.roots(), at)?;
        if let Some(nonce) = nonce {
            evidence.require_nonce(&nonce)?;
        }
        Verdict::of(&evidence.appraise(&trust.policy())?)
    };
    context.output.result(&verdict, Verdict::text)
}

/// Shows what a document claims. Nothing is verified, and the output says so.
pub(crate) fn inspect(context: &Context, file: &Path) -> Result<(), CliError> {
    let document = UnverifiedDocument::parse(&read_document(file)?)?;
    let shown = Shown::of(document.claims());
    context.output.result(&shown, |shown| shown.text())
}

#[derive(Serialize)]
struct Shown {
    verified: bool,
    module_id: String,
    timestamp_ms: u64,
    timestamp: String,
    pcrs: std::collections::BTreeMap<u8, String>,
    debug: bool,
    public_key: Option<String>,
    user_data: Option<String>,
    nonce: Option<String>,
    certificates: usize,
    unknown_keys: Vec<String>,
}

impl Shown {
    fn of(claims: &DocumentClaims) -> Self {
        let at = i64::try_from(claims.timestamp_ms)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let zero = |index: u8| claims.pcrs.get(&index).is_some_and(|pcr| pcr.is_zero());
        let hex = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(hex::encode);
        Self {
            verified: false,
            module_id: claims.module_id.clone(),
            timestamp_ms: claims.timestamp_ms,
            timestamp: at.map(|at| at.to_string()).unwrap_or_default(),
            pcrs: claims
                .pcrs
                .iter()
                .map(|(i, pcr)| (*i, hex::encode(pcr.0)))
                .collect(),
            debug: zero(0) && zero(1) && zero(2),
            public_key: hex(&claims.public_key),
            user_data: hex(&claims.user_data),
            nonce: hex(&claims.nonce),
            certificates: claims.cabundle.len() + 1,
            unknown_keys: claims.unknown_keys.clone(),
        }
    }

    fn text(&self) -> String {
        let mut lines = vec![
            "UNVERIFIED: what the document claims; `nacre attest verify` checks it".to_owned(),
            format!("module       {}", self.module_id),
            format!("timestamp    {} ({} ms)", self.timestamp, self.timestamp_ms),
            format!("certificates {}", self.certificates),
        ];
        if self.debug {
            lines.push("mode         debug (PCR0–2 are zero)".to_owned());
        }
        lines.extend(
            self.pcrs
                .iter()
                .map(|(i, pcr)| format!("{:<13}{pcr}", format!("PCR{i}"))),
        );
        let optional = [
            ("public_key", &self.public_key),
            ("user_data", &self.user_data),
            ("nonce", &self.nonce),
        ];
        let optional = optional
            .into_iter()
            .filter_map(|(name, hex)| Some((name, hex.as_ref()?)));
        lines.extend(optional.map(|(name, hex)| format!("{name:<13}{hex}")));
        lines.extend(
            self.unknown_keys
                .iter()
                .map(|key| format!("unknown key  {key:?} (never used)")),
        );
        lines.join("\n")
    }
}

/// A document as a file holds it: the bytes, or their base64 or hex as other tools print them.
fn read_document(file: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = read_bounded(file, 3 * MAX_DOCUMENT as u64)?;
    let text = std::str::from_utf8(&bytes)
        .map(str::trim)
        .unwrap_or_default();
    if let Ok(decoded) = hex::decode(text)
        && !decoded.is_empty()
    {
        return Ok(decoded);
    }
    let unpadded = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    match nacre_protocol::encoding::from_base64url(&unpadded) {
        Ok(decoded) if !decoded.is_empty() => Ok(decoded),
        _ => Ok(bytes),
    }
}

fn with_port(endpoint: &str) -> String {
    let after_bracket = endpoint.rsplit(']').next().unwrap_or(endpoint);
    if after_bracket.contains(':') {
        endpoint.to_owned()
    } else {
        format!("{endpoint}:443")
    }
}

/// A time from the command line as the verifier takes it.
pub(crate) fn unix_millis(at: jiff::Timestamp) -> Result<UnixMillis, CliError> {
    let millis = u64::try_from(at.as_millisecond());
    millis
        .map(UnixMillis)
        .map_err(|_| CliError::Usage("--at lies before 1970".to_owned()))
}

fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
