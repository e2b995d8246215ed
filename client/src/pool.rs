//! A function's endpoints and the attested connections that are open to them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use nacre_protocol::digest::Digest;
use tokio::time::timeout;

use crate::appraisal::AttestedEnclave;
use crate::checked::{self, CheckedResponse};
use crate::connection::{AttestedConnection, Endpoint};
use crate::error::ClientError;
use crate::trust::Trust;

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

/// Calls one function, over connections that are attested before use, and again when their evidence is too old, the
/// policy stops trusting their measurements, or the policy is replaced.
#[derive(Debug, Clone)]
pub struct AttestedClient {
    function: Option<Digest>,
    /// Other versions that may answer.
    others: Vec<Digest>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    trust: Trust,
    options: ClientOptions,
    endpoints: Mutex<VecDeque<Endpoint>>,
    idle: Mutex<Vec<Leased>>,
}

/// A connection that is open, attested and fresh, and one call's own.
#[derive(Debug)]
pub(crate) struct Leased {
    endpoint: Endpoint,
    connection: AttestedConnection,
    /// The version that answered here last, of those that may.
    version: Option<Digest>,
    /// Whether it was idle before: what it reaches may have changed since.
    reused: bool,
}

impl Leased {
    /// Whom it reaches.
    pub(crate) fn enclave(&self) -> &Arc<AttestedEnclave> {
        self.connection.enclave()
    }
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
            options,
            endpoints: Mutex::new(endpoints.into()),
            idle: Mutex::default(),
        };
        Self {
            function,
            others: Vec::new(),
            shared: Arc::new(shared),
        }
    }

    /// Lets these versions answer too, while two are in force. Which one it is that a connection reaches, nobody says
    /// beforehand. An enclave that runs another version than a request names refuses it before a worker sees a byte; it is
    /// then asked for the next one.
    #[must_use]
    pub fn or(mut self, others: impl IntoIterator<Item = Digest>) -> Self {
        self.others.extend(others);
        self
    }

    /// The same connections, for requests about the enclave itself (health, metadata), which name no function.
    pub fn without_function(&self) -> Self {
        Self {
            function: None,
            others: Vec::new(),
            shared: Arc::clone(&self.shared),
        }
    }

    /// Replaces the endpoints; idle connections to others are closed. New endpoints are tried first; those that stay
    /// keep their order, so that one that failed does not come to the front again.
    pub fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        let mut row = lock(&self.shared.endpoints);
        let (kept, new): (Vec<_>, Vec<_>) = endpoints.into_iter().partition(|e| row.contains(e));
        row.retain(|endpoint| kept.contains(endpoint));
        new.into_iter().rev().for_each(|e| row.push_front(e));
        lock(&self.shared.idle).retain(|idle| row.contains(&idle.endpoint));
    }

    /// The endpoints, in the order in which they are tried.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        lock(&self.shared.endpoints).iter().cloned().collect()
    }

    /// Opens and checks a connection, or takes one that is, and says whom it reaches.
    pub async fn attest(&self) -> Result<Arc<AttestedEnclave>, ClientError> {
        let leased = self.checkout().await?;
        let enclave = Arc::clone(leased.enclave());
        self.put_back(leased);
        Ok(enclave)
    }

    /// Sends a request and checks the answer.
    ///
    /// A connection that ended while it was idle is replaced before anything is sent. So is one whose enclave says that the
    /// function has gone from there since: behind a gateway, a new connection finds it where it is now. A request that
    /// may have been worked on is never sent twice.
    pub async fn call(&self, request: Request<Bytes>) -> Result<CheckedResponse, ClientError> {
        self.call_encoded(request, None).await
    }

    /// As [`Self::call`], for a body that is gzip- or deflate-encoded: `decoded` is what the receipt covers.
    pub async fn call_encoded(
        &self,
        request: Request<Bytes>,
        decoded: Option<&[u8]>,
    ) -> Result<CheckedResponse, ClientError> {
        let leased = self.checkout().await?;
        let (answer, _) = self.call_on(leased, request, decoded).await?;
        Ok(answer)
    }

    /// As [`Self::call_encoded`], beginning with a connection from [`Self::checkout`], and with who answered: whatever fails
    /// here, the request may have reached an enclave.
    pub(crate) async fn call_on(
        &self,
        mut leased: Leased,
        request: Request<Bytes>,
        decoded: Option<&[u8]>,
    ) -> Result<(CheckedResponse, Arc<AttestedEnclave>), ClientError> {
        loop {
            let (enclave, reused) = (Arc::clone(leased.enclave()), leased.reused);
            let answer = self.call_once(leased, request.clone(), decoded).await?;
            if reused && self.function.is_some() && answer.is_not_here() {
                // Each turn forgets an enclave, until one answers or the connection is a new one.
                self.forget_enclave(&enclave);
                if let Ok(other) = self.checkout().await {
                    leased = other;
                    continue;
                }
            }
            return Ok((answer, enclave));
        }
    }

    async fn call_once(
        &self,
        mut leased: Leased,
        request: Request<Bytes>,
        decoded: Option<&[u8]>,
    ) -> Result<CheckedResponse, ClientError> {
        let options = &self.shared.options;
        let call = self.call_versions(&mut leased, request, decoded);
        let answer = timeout(options.call_timeout, call).await;
        let answer = answer.map_err(|_| ClientError::Timeout {
            what: "the call",
            limit_ms: u64::try_from(options.call_timeout.as_millis()).unwrap_or(u64::MAX),
        })?;
        match answer {
            Ok(answer) => {
                self.put_back(leased);
                Ok(answer)
            }
            Err(error) => {
                // What ended this connection has most likely ended its neighbours.
                if matches!(error, ClientError::Http(_)) {
                    self.forget_idle(&leased.endpoint);
                }
                Err(error)
            }
        }
    }

    /// Asks for one version after the other, until one is there.
    async fn call_versions(
        &self,
        leased: &mut Leased,
        request: Request<Bytes>,
        decoded: Option<&[u8]>,
    ) -> Result<CheckedResponse, ClientError> {
        let mut all = self.function.iter().chain(&self.others);
        let known = all.find(|version| leased.version.as_ref() == Some(version));
        let mut version = known.copied().or(self.function);
        let first = version;
        let all = self.function.iter().chain(&self.others);
        let mut others = all.filter(|other| Some(**other) != first);
        loop {
            let connection = &mut leased.connection;
            let max = self.shared.options.max_answer;
            let answer = checked::call(connection, version.as_ref(), request.clone(), decoded, max);
            let answer = answer.await?;
            if answer.is_of_another_version()
                && let Some(next) = others.next()
            {
                version = Some(*next);
                continue;
            }
            if version.is_some() {
                leased.version = version;
            }
            return Ok(answer);
        }
    }

    /// A connection that is open, attested and fresh. Whatever fails here, nothing of a request was sent.
    pub(crate) async fn checkout(&self) -> Result<Leased, ClientError> {
        loop {
            // The guard ends with the statement: nothing is awaited under it.
            let idle = lock(&self.shared.idle).pop();
            let Some(mut leased) = idle else {
                return self.open().await;
            };
            let connection = &mut leased.connection;
            if connection.is_closed() || connection.ready().await.is_err() {
                continue;
            }
            if connection.is_stale(&self.shared.trust)
                && let Err(error) = connection.reattest(&self.shared.trust).await
            {
                tracing::debug!(endpoint = %leased.endpoint, code = error.code(), "not attested again");
                // The same peer is not asked once for each idle connection; a new one says what is wrong.
                self.forget_idle(&leased.endpoint);
                continue;
            }
            leased.reused = true;
            return Ok(leased);
        }
    }

    /// Tries each endpoint once; one that fails goes to the end of the row.
    async fn open(&self) -> Result<Leased, ClientError> {
        let mut last = ClientError::NoEndpoint;
        for endpoint in self.endpoints() {
            let limit = self.shared.options.handshake_timeout;
            match AttestedConnection::open(&endpoint, &self.shared.trust, limit).await {
                Ok(connection) => {
                    return Ok(Leased {
                        endpoint,
                        connection,
                        version: None,
                        reused: false,
                    });
                }
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

    fn put_back(&self, leased: Leased) {
        if leased.connection.is_closed() {
            return;
        }
        // In the order of `set_endpoints`, which closes the idle connections to what it removes.
        let row = lock(&self.shared.endpoints);
        let mut idle = lock(&self.shared.idle);
        if row.contains(&leased.endpoint) && idle.len() < self.shared.options.max_idle {
            idle.push(leased);
        }
    }

    fn forget_enclave(&self, enclave: &AttestedEnclave) {
        let boot = enclave.statement().boot_id;
        lock(&self.shared.idle).retain(|idle| idle.enclave().statement().boot_id != boot);
    }

    fn forget_idle(&self, endpoint: &Endpoint) {
        lock(&self.shared.idle).retain(|idle| idle.endpoint != *endpoint);
    }
}

/// What the locks guard is whole after every statement, so that a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
