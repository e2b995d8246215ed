//! An input of which the chain has the hash alone: its bytes go to the platform's object store, where the relay finds them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::B256;
use nacre_protocol::digest::Digest;
use nacre_protocol::job::MAX_JOB_BYTES;
use nacre_protocol::problem::Problem;
use url::Url;

use crate::error::ChainError;

/// Longest API key.
const MAX_KEY: u64 = 4_096;
/// How long the platform may take to store an input.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which input, and where it goes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct UploadArgs {
    /// The input, from a file, goes to the platform's object store, and the chain gets its hash: for one that is longer than
    /// 64 KiB, or sealed. Such a job is not assured
    #[arg(
        long,
        value_name = "FILE",
        requires = "control_plane",
        requires = "api_key_file"
    )]
    upload: Option<PathBuf>,
    /// The platform's API, with --upload
    #[arg(long, value_name = "URL", requires = "upload")]
    control_plane: Option<Url>,
    /// A file with an API key of the relay's organisation that may write functions' blobs, with --upload
    #[arg(long, value_name = "FILE", requires = "upload")]
    api_key_file: Option<PathBuf>,
}

impl UploadArgs {
    /// Puts the input into the store; its hash. None where there is none to put.
    pub(super) async fn store(&self) -> Result<Option<B256>, ChainError> {
        let (Some(path), Some(platform), Some(key)) =
            (&self.upload, &self.control_plane, &self.api_key_file)
        else {
            return Ok(None);
        };
        let input = read(path, MAX_JOB_BYTES as u64)?;
        let key = String::from_utf8(read(key, MAX_KEY)?).unwrap_or_default();
        let digest = Digest::of(&input);
        let url = format!(
            "{}/v1/blobs/{digest}",
            platform.as_str().trim_end_matches('/')
        );
        let failed = |reason: String| ChainError::Input(format!("--upload: {reason}"));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build();
        let client = client.map_err(|error| failed(error.to_string()))?;
        let put = client.put(url).bearer_auth(key.trim()).body(input);
        let answer = put.send().await;
        let answer = answer.map_err(|error| failed(error.without_url().to_string()))?;
        let status = answer.status();
        if !status.is_success() {
            let problem: Option<Problem> = answer.json().await.ok();
            let code = problem.map_or_else(|| status.to_string(), |problem| problem.code);
            return Err(failed(format!("the platform refuses: {code}")));
        }
        Ok(Some(B256::from(*digest.as_bytes())))
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, ChainError> {
    let wrong = |reason: String| ChainError::Input(format!("{}: {reason}", path.display()));
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| wrong(error.to_string()))?;
    match bytes.len() as u64 {
        0 => Err(wrong("is empty".to_owned())),
        length if length > most => Err(wrong(format!("is longer than {most} bytes"))),
        _ => Ok(bytes),
    }
}
