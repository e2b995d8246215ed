//! The desk where documents are handed in: what a request may cost, and what is answered.
//!
//! Before a document is looked at, its request has passed two token buckets (its connection's and the one that all share),
//! its body has come within the limits, and it has a place in a bounded queue. To verify and to sign takes about 1.1 ms
//! with a cold chain and 0.27 ms with a known one, too long to hold an event loop; a change of threads costs 0.012 ms. So
//! it runs on threads of its own, no more at once than there are cores: more would only make all of them slower. Whoever
//! waits for long is sent away.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use nacre_attestation_verifier::ResultCode;
use nacre_enclave::clock::{AttestedClock, ClockUnavailable};
use nacre_enclave::http::{BodyError, BodyLimits, linger, read_body, reply};
use nacre_enclave::identity::ReceiptKey;
use nacre_enclave::node::rate::{Rate, TokenBucket};
use nacre_protocol::problem::Problem;
use nacre_protocol::verified_enclave::hex0x;
use nacre_protocol::verifier_api::{Refusal, VERIFY_PATH, Verdict, VerifyRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::judge::{Judge, Refused};
use crate::metrics::{Metrics, OpenConnection, Scope};

/// Largest body: a document of 16 KiB (DESIGN §4) in base64, and the other fields.
pub const MAX_BODY: usize = 32 * 1024;

/// What the desk takes on.
#[derive(Debug, Clone, Copy)]
pub struct DeskLimits {
    /// Requests of one connection.
    pub connection_rate: Rate,
    /// Requests of all connections together.
    pub rate: Rate,
    /// Documents that are verified at once.
    pub workers: usize,
    /// Documents that may wait for it.
    pub queue: usize,
    /// How long one may wait.
    pub wait: Duration,
    /// Bytes that all bodies together may hold.
    pub body_memory: usize,
}

impl Default for DeskLimits {
    fn default() -> Self {
        Self {
            connection_rate: Rate {
                per_second: 20,
                burst: 40,
            },
            rate: Rate {
                per_second: 500,
                burst: 1000,
            },
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            queue: 64,
            wait: Duration::from_secs(2),
            body_memory: 16 << 20,
        }
    }
}

/// Judges documents and signs what was found.
pub struct Desk {
    judge: Arc<Judge>,
    key: ReceiptKey,
    clock: Arc<AttestedClock>,
    metrics: Arc<Metrics>,
    limits: DeskLimits,
    bodies: BodyLimits,
    rate: Mutex<TokenBucket>,
    /// Who works or waits.
    places: Arc<Semaphore>,
    /// Who works.
    workers: Arc<Semaphore>,
}

/// What the desk knows of one connection.
pub struct Visitor {
    rate: Mutex<TokenBucket>,
    _open: OpenConnection,
}

type Answer = Response<Full<Bytes>>;

impl Desk {
    /// A desk that signs with this key and reads this clock.
    pub fn new(
        judge: Arc<Judge>,
        key: ReceiptKey,
        clock: Arc<AttestedClock>,
        metrics: Arc<Metrics>,
        limits: DeskLimits,
    ) -> Self {
        let workers = limits.workers.max(1);
        Self {
            judge,
            key,
            clock,
            metrics,
            bodies: BodyLimits::new(MAX_BODY, limits.body_memory),
            rate: Mutex::new(TokenBucket::new(limits.rate, Instant::now())),
            places: Arc::new(Semaphore::new(workers + limits.queue)),
            workers: Arc::new(Semaphore::new(workers)),
            limits,
        }
    }

    /// A connection comes.
    pub fn visitor(&self) -> Visitor {
        let bucket = TokenBucket::new(self.limits.connection_rate, Instant::now());
        Visitor {
            rate: Mutex::new(bucket),
            _open: self.metrics.connected(),
        }
    }

    /// Answers a request that is not one of the node's own paths.
    pub async fn answer(self: &Arc<Self>, visitor: &Visitor, request: Request<Incoming>) -> Answer {
        let known = request.uri().path() == VERIFY_PATH;
        let (parts, mut body) = request.into_parts();
        let turned_away = if known {
            self.turned_away(visitor, &parts.method, &parts.headers)
        } else {
            let problem = Problem::new(404, "not-found", "There is nothing at this path");
            Some(reply::problem(&problem))
        };
        let answer = match turned_away {
            Some(answer) => {
                linger(&parts.headers, body);
                answer
            }
            None => match read_body(&parts.headers, &mut body, &self.bodies, |_| ()).await {
                Ok(arrived) => self.verify(&arrived.bytes).await,
                Err(error) => {
                    if error.is_refusal() {
                        linger(&parts.headers, body);
                    }
                    self.body_refused(&error)
                }
            },
        };
        let path = if known { VERIFY_PATH } else { "other" };
        self.metrics.answered(path, answer.status().as_u16());
        answer
    }

    /// Everything that can be refused before the body.
    fn turned_away(
        &self,
        visitor: &Visitor,
        method: &Method,
        headers: &HeaderMap,
    ) -> Option<Answer> {
        if method != Method::POST {
            return Some(reply::method_not_allowed("POST"));
        }
        let now = Instant::now();
        for (scope, bucket) in [(Scope::Connection, &visitor.rate), (Scope::All, &self.rate)] {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(wait) = bucket.take(now) {
                self.metrics.limited(scope);
                return Some(self.limited(scope, wait));
            }
        }
        if !is_json(headers) {
            let problem = Problem::new(
                415,
                "media-type",
                "The body must be application/json, without content-encoding",
            );
            return Some(self.refusal(problem, Some(ResultCode::Usage)));
        }
        self.clock.now().err().map(|silent| self.no_clock(silent))
    }

    /// Answers a body.
    async fn verify(self: &Arc<Self>, body: &[u8]) -> Answer {
        let asked = match read(body) {
            Ok(asked) => asked,
            Err(detail) => {
                let title = "The body is not a request to verify";
                let problem = Problem::new(400, "request-malformed", title).with_detail(detail);
                return self.refusal(problem, Some(ResultCode::Usage));
            }
        };
        let Some(places) = self.place().await else {
            self.metrics.overloaded();
            let problem = Problem::new(503, "overloaded", "Too many documents wait; try again");
            return self.refusal(problem, None);
        };
        let desk = Arc::clone(self);
        let verified = tokio::task::spawn_blocking(move || {
            // Given back when the work is done, also where nobody waits for it any more.
            let _places = places;
            desk.judge_and_sign(&asked)
        });
        match verified.await {
            Ok(answer) => answer,
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// A place in the queue, and then one to work; `None` where there is none in time.
    async fn place(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let waiting = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let working = Arc::clone(&self.workers).acquire_owned();
        let working = tokio::time::timeout(self.limits.wait, working).await;
        Some([waiting, working.ok()?.ok()?])
    }

    fn judge_and_sign(&self, asked: &VerifyRequest) -> Answer {
        let began = Instant::now();
        let now_ms = match self.clock.now() {
            Ok(now_ms) => now_ms,
            Err(silent) => return self.no_clock(silent),
        };
        match self.judge.judge(asked, now_ms) {
            Err(refused) => {
                let result = refused.result().exit_status();
                self.metrics
                    .verdict(result, refused.rule(), began.elapsed());
                self.refused(&refused)
            }
            Ok(judged) => {
                let digest = judged.enclave.digest(&judged.domain);
                let verdict = Verdict {
                    result: ResultCode::Trusted.exit_status(),
                    warning: self.judge.warning().map(str::to_owned),
                    root_id: hex0x(&judged.enclave.root_id),
                    image_id: hex0x(&judged.enclave.image_id),
                    typed_data: judged.enclave.typed_data(&judged.domain),
                    digest: hex0x(&digest),
                    signature: hex0x(&self.key.sign(&digest)),
                    signer: self.key.address(),
                    claims: judged.claims,
                };
                let trusted = ResultCode::Trusted;
                self.metrics
                    .verdict(trusted.exit_status(), trusted.name(), began.elapsed());
                reply::json(StatusCode::OK, &verdict)
            }
        }
    }

    fn refused(&self, refused: &Refused) -> Answer {
        let problem = Problem::new(422, refused.rule(), "The document is refused");
        self.refusal(
            problem.with_detail(refused.to_string()),
            Some(refused.result()),
        )
    }

    fn no_clock(&self, silent: ClockUnavailable) -> Answer {
        let problem = Problem::new(503, "clock-unavailable", "There is no attested time");
        self.refusal(problem.with_detail(silent.to_string()), None)
    }

    fn body_refused(&self, error: &BodyError) -> Answer {
        let problem = Problem::new(error.status(), error.code(), "The body did not arrive");
        self.refusal(problem.with_detail(error.to_string()), None)
    }

    fn limited(&self, scope: Scope, wait: Duration) -> Answer {
        let whose = match scope {
            Scope::Connection => "this connection asks",
            Scope::All => "all callers together ask",
        };
        let problem = Problem::new(429, "rate-limited", "Too many requests");
        let detail = format!("{whose} more often than is answered");
        let mut answer = self.refusal(problem.with_detail(detail), None);
        let seconds = wait.as_millis().div_ceil(1000).max(1);
        if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
            answer.headers_mut().insert(RETRY_AFTER, value);
        }
        answer
    }

    fn refusal(&self, problem: Problem, result: Option<ResultCode>) -> Answer {
        let status = problem.status;
        let refusal = Refusal {
            problem,
            result: result.map(ResultCode::exit_status),
            warning: self.judge.warning().map(str::to_owned),
        };
        reply::problem_with(status, &refusal)
    }
}

/// Reads a request: an object with names, never an array whose places stand for them.
fn read(body: &[u8]) -> Result<VerifyRequest, String> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err("a request is a JSON object".to_owned());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// `application/json`, with whatever parameters, and not compressed.
fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
        && headers
            .get(CONTENT_ENCODING)
            .is_none_or(|value| value == "identity")
}

#[cfg(test)]
mod tests;
