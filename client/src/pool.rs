//! A function's endpoints and the attested connections that are open to them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use nacre_protocol::digest::Digest;
use tokio::time::timeout;

use crate::appraisal::{AttestedEnclave, Trust};
use crate::checked::{self, CheckedResponse};
use crate::connection::{AttestedConnection, Endpoint};
use crate::error::ClientError;

/// Limits of an [`AttestedClient`].
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Longest connect, TLS and evidence together. Default 10 s.
    pub handshake_timeout: Duration,
    /// Longest call, from the first byte sent to the last received. Default 10 min.
    pub call_timeout: Duration,
    /// Largest answer that is taken, bytes. Default 256 MiB.
    pub max_answer: usize,
    /// Connections that are kept open while idle. Default 64.
    pub max_idle: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(600),
            max_answer: 256 << 20,
            max_idle: 64,
        }
    }
}

/// Calls one function, over connections that are attested before use and again at the policy's age limit.
#[derive(Debug, Clone)]
pub struct AttestedClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    trust: Trust,
    function: Option<Digest>,
    options: ClientOptions,
    endpoints: Mutex<VecDeque<Endpoint>>,
    idle: Mutex<Vec<(Endpoint, AttestedConnection)>>,
}

impl AttestedClient {
    /// A client for the function with this digest. Without a digest nothing says which model shall answer; the receipt
    /// then only tells which did.
    pub fn new(
        trust: Trust,
        function: Option<Digest>,
        endpoints: Vec<Endpoint>,
        options: ClientOptions,
    ) -> Self {
        let shared = Shared {
            trust,
            function,
            options,
            endpoints: Mutex::new(endpoints.into()),
            idle: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Replaces the endpoints; idle connections to others are closed.
    pub fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        let mut idle = lock(&self.shared.idle);
        idle.retain(|(endpoint, _)| endpoints.contains(endpoint));
        *lock(&self.shared.endpoints) = endpoints.into();
    }

    /// Opens and checks a connection, or takes one that is, and says whom it reaches.
    pub async fn attest(&self) -> Result<Arc<AttestedEnclave>, ClientError> {
        let (endpoint, connection) = self.checkout().await?;
        let enclave = connection.enclave().clone();
        self.put_back(endpoint, connection);
        Ok(enclave)
    }

    /// Sends a request and checks the answer.
    ///
    /// A connection that ended while it was idle is replaced before anything is sent; a request that may have reached
    /// the enclave is never sent twice.
    pub async fn call(&self, request: Request<Bytes>) -> Result<CheckedResponse, ClientError> {
        self.call_encoded(request, None).await
    }

    /// As [`Self::call`], for a body that is gzip- or deflate-encoded: `decoded` is what the receipt covers.
    pub async fn call_encoded(
        &self,
        request: Request<Bytes>,
        decoded: Option<&[u8]>,
    ) -> Result<CheckedResponse, ClientError> {
        let (endpoint, mut connection) = self.checkout().await?;
        let options = &self.shared.options;
        let function = self.shared.function.as_ref();
        let call = checked::call(
            &mut connection,
            function,
            request,
            decoded,
            options.max_answer,
        );
        let answer = timeout(options.call_timeout, call).await;
        let answer = answer.map_err(|_| ClientError::Timeout {
            what: "the call",
            limit_ms: u64::try_from(options.call_timeout.as_millis()).unwrap_or(u64::MAX),
        })??;
        self.put_back(endpoint, connection);
        Ok(answer)
    }

    /// A connection that is open, attested and fresh.
    async fn checkout(&self) -> Result<(Endpoint, AttestedConnection), ClientError> {
        loop {
            // The guard ends with the statement: nothing is awaited under it.
            let idle = lock(&self.shared.idle).pop();
            let Some((endpoint, mut connection)) = idle else {
                return self.open().await;
            };
            if connection.is_closed() || connection.ready().await.is_err() {
                continue;
            }
            if connection.is_stale(&self.shared.trust.policy) {
                match connection.reattest(&self.shared.trust).await {
                    Ok(()) => {}
                    Err(refused) if refused.result_code().is_some() => return Err(refused),
                    Err(_) => continue,
                }
            }
            return Ok((endpoint, connection));
        }
    }

    /// Tries each endpoint once; one that fails goes to the end of the row.
    async fn open(&self) -> Result<(Endpoint, AttestedConnection), ClientError> {
        let endpoints: Vec<_> = lock(&self.shared.endpoints).iter().cloned().collect();
        let mut last = ClientError::NoEndpoint;
        for endpoint in endpoints {
            let limit = self.shared.options.handshake_timeout;
            match AttestedConnection::open(&endpoint, &self.shared.trust, limit).await {
                Ok(connection) => return Ok((endpoint, connection)),
                Err(error) => {
                    tracing::debug!(%endpoint, code = error.code(), "endpoint refused");
                    let mut row = lock(&self.shared.endpoints);
                    if row.front() == Some(&endpoint) {
                        row.rotate_left(1);
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    fn put_back(&self, endpoint: Endpoint, connection: AttestedConnection) {
        if connection.is_closed() || !lock(&self.shared.endpoints).contains(&endpoint) {
            return;
        }
        let mut idle = lock(&self.shared.idle);
        if idle.len() < self.shared.options.max_idle {
            idle.push((endpoint, connection));
        }
    }
}

/// What the locks guard is whole after every statement, so that a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
