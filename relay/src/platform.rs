//! The platform's API, as a relay uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nacre_protocol::CHAIN_RESULT_HEADER;
use nacre_protocol::api::jobs::{CreateJob, Job, JobPayload};
use nacre_protocol::api::{Function, IDEMPOTENCY_KEY, Page};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::{FunctionName, JobId};
use nacre_protocol::job::MAX_JOB_BYTES;
use nacre_protocol::problem::Problem;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

/// How long a request may take, beside what it waits for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one question for a job's end waits at the platform.
pub const LONG_POLL: Duration = Duration::from_secs(20);
/// Blobs that are held at once.
const BLOBS: usize = 4;
/// Longest JSON answer that is read.
const MAX_JSON: usize = 16 << 20;

/// Why the platform did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// It cannot be reached, is busy, or fails: to be asked again.
    #[error("platform-away: {0}")]
    Away(String),
    /// It refuses, and will again.
    #[error("platform-refused: {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The platform's code.
        code: String,
        /// Its words.
        message: String,
    },
    /// An answer is longer than is read.
    #[error("platform-too-long: an answer is longer than {0} bytes")]
    TooLong(usize),
    /// What it answers is not its API's.
    #[error("platform-malformed: {0}")]
    Malformed(String),
}

/// Bytes of the platform's object store, and the room that they take.
#[derive(Debug)]
pub struct Blob {
    /// The bytes.
    pub bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// A job's result as it is carried, with what was signed for the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The result.
    pub bytes: Vec<u8>,
    /// Whether only the requester can open it.
    pub is_sealed: bool,
    /// The value of `nacre-chain-result`.
    pub chain_result: Option<String>,
}

/// A platform, by its address, with the relay's key for it.
#[derive(Clone)]
pub struct Platform {
    http: Client,
    url: String,
    key: String,
    names: Arc<Mutex<HashMap<Digest, FunctionName>>>,
    /// For blobs, which may be large.
    room: Arc<Semaphore>,
}

/// Without the key.
impl core::fmt::Debug for Platform {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Platform")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Platform {
    /// The platform at this address.
    ///
    /// # Errors
    ///
    /// There is no TLS on this machine.
    pub fn new(url: &Url, key: String) -> Result<Self, PlatformError> {
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .redirect(reqwest::redirect::Policy::none())
            .build();
        Ok(Self {
            http: http.map_err(away)?,
            url: url.as_str().trim_end_matches('/').to_owned(),
            key,
            names: Arc::default(),
            room: Arc::new(Semaphore::new(BLOBS)),
        })
    }

    /// All functions that the key may use.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub async fn functions(&self) -> Result<Vec<Function>, PlatformError> {
        let mut all = Vec::new();
        let mut path = "/v1/functions".to_owned();
        loop {
            let page: Page<Function> = self.json(self.request(Method::GET, &path)).await?;
            all.extend(page.items);
            match page.next {
                Some(after) => path = format!("/v1/functions?after={after}"),
                None => return Ok(all),
            }
        }
    }

    /// A function with where it answers.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub async fn function(&self, name: &FunctionName) -> Result<Function, PlatformError> {
        self.json(self.request(Method::GET, &format!("/v1/functions/{name}")))
            .await
    }

    /// The name under which the platform has a function of this digest.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub async fn name_of(&self, digest: &Digest) -> Result<Option<FunctionName>, PlatformError> {
        // A digest has one name for ever.
        let known = || self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = known().get(digest) {
            return Ok(Some(name.clone()));
        }
        let functions = self.functions().await?;
        let mut names = known();
        for function in functions {
            let digests = function.versions.iter().map(|version| version.digest);
            names.extend(digests.map(|digest| (digest, function.name.clone())));
        }
        Ok(names.get(digest).cloned())
    }

    /// The bytes of this digest from the platform's object store, checked to be; none where this key's organisation did not put
    /// them there.
    ///
    /// # Errors
    ///
    /// [`PlatformError`]; `TooLong` where there are more bytes than `most`.
    pub async fn blob(&self, digest: &Digest, most: usize) -> Result<Option<Blob>, PlatformError> {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|_| PlatformError::Away("this relay ends".to_owned()))?;
        let request = self.request(Method::GET, &format!("/v1/blobs/{digest}"));
        let response = match self.send(request).await {
            Ok(response) => response,
            Err(PlatformError::Refused { status: 404, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let declared = response.content_length().unwrap_or(0);
        if usize::try_from(declared).is_ok_and(|declared| declared > most) {
            return Err(PlatformError::TooLong(most));
        }
        let bytes = read(response, most).await?;
        match Digest::of(&bytes) == *digest {
            true => Ok(Some(Blob { bytes, _room: room })),
            false => Err(PlatformError::Malformed(format!(
                "it gives other bytes than those of {digest}"
            ))),
        }
    }

    /// Lays a job in. Again with the same id, it is the same job.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub async fn lay_in(
        &self,
        job: &CreateJob,
        input: &[u8],
        once: &str,
    ) -> Result<Job, PlatformError> {
        let request = self
            .request(Method::POST, "/v1/jobs")
            .header(IDEMPOTENCY_KEY, once);
        let made: Job = self.json(request.json(job)).await?;
        if let JobPayload::Upload { .. } = &job.input {
            let path = format!("/v1/jobs/{}/input", job.id);
            let sent = self
                .send(self.request(Method::PUT, &path).body(input.to_vec()))
                .await;
            match sent {
                // It came before, and the job may have ended since.
                Err(PlatformError::Refused { status: 409, .. }) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// Where a job stands, at once where it has ended, else after a while.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub async fn job(&self, id: &JobId) -> Result<Job, PlatformError> {
        let wait = LONG_POLL.as_millis();
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}?wait_ms={wait}"));
        self.json(request.timeout(PATIENCE + LONG_POLL)).await
    }

    /// A job's result; of a job whose input is sealed, it is sealed, too.
    ///
    /// # Errors
    ///
    /// [`PlatformError`].
    pub async fn result(&self, id: &JobId, is_sealed: bool) -> Result<Carried, PlatformError> {
        let request = self.request(Method::GET, &format!("/v1/jobs/{id}/result"));
        let response = self.send(request).await?;
        let chain_result = response.headers().get(CHAIN_RESULT_HEADER);
        let chain_result = chain_result.and_then(|value| value.to_str().ok().map(str::to_owned));
        Ok(Carried {
            chain_result,
            is_sealed,
            bytes: read(response, MAX_JOB_BYTES).await?,
        })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        request.bearer_auth(&self.key).timeout(PATIENCE)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, PlatformError> {
        let body = read(self.send(request).await?, MAX_JSON).await?;
        serde_json::from_slice(&body).map_err(|error| PlatformError::Malformed(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, PlatformError> {
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response, MAX_JSON).await?;
        let problem: Option<Problem> = serde_json::from_slice(&body).ok();
        let code = problem
            .as_ref()
            .map_or_else(String::new, |problem| problem.code.clone());
        let message = problem.map_or_else(String::new, |p| p.detail.unwrap_or(p.title));
        let passes = status.is_server_error()
            || matches!(
                status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
            );
        Err(match passes {
            true => PlatformError::Away(format!("HTTP {status} {code}: {message}")),
            false => PlatformError::Refused {
                status: status.as_u16(),
                code,
                message,
            },
        })
    }
}

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, PlatformError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if bytes.len() + chunk.len() > most {
            return Err(PlatformError::TooLong(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn away(error: reqwest::Error) -> PlatformError {
    // The address may hold a name that is nobody's business; the key is in a header and never here.
    PlatformError::Away(error.without_url().to_string())
}
