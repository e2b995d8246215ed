//! What is asked of a function.
//!
//! The order of the checks is the promise: a request that means another function is refused before its body is read
//! (DESIGN §3.2, step 5), and so is one that is too large. Those refusals, and those of a body that does not arrive,
//! carry no receipt, because there is no whole request that one could speak of. Every other answer of a loaded
//! function carries one.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use nacre_protocol::usage::ANONYMOUS;

use super::answer::Answer;
use super::headers::AskedHeaders;
use super::router::{MoreHeaders, ready_status};
use super::signed::{Asked, Work, with_receipt};
use crate::boot::Enclave;
use crate::functions::Function;
use crate::http::{BodyError, Room, linger, read_body};
use crate::kserve::{self, InferHeaders, InferRequest, KserveError, ModelAction, ResponseHead};
use crate::usage::Used;
use crate::workers::{InferOutput, WorkerError};

/// Work on more bytes than these leaves the event loop, so that other connections do not wait for it.
const LARGE: usize = 128 * 1024;

/// Answers a request under `/v2/models/{name}`.
pub(super) async fn answer(
    enclave: &Arc<Enclave>,
    request: Request<Incoming>,
    name: &str,
    version: Option<&str>,
    action: ModelAction,
) -> (Answer, MoreHeaders) {
    let (parts, mut body) = request.into_parts();
    let admitted = admit(enclave, &parts.headers, name);
    let (function, headers, salt, started_ms) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => {
            linger(&parts.headers, body);
            return (refusal, MoreHeaders::new());
        }
    };
    let _expected = enclave.receipts.expect();
    let count = |bytes| enclave.counters.request_bytes(bytes);
    let arrived = match read_body(&parts.headers, &mut body, &enclave.bodies, count).await {
        Ok(arrived) => arrived,
        Err(error) => {
            if error.is_refusal() {
                linger(&parts.headers, body);
            }
            return (body_error(&error), MoreHeaders::new());
        }
    };
    let (_room, decoded) = match decoded(enclave, &headers, &arrived.bytes).await {
        Ok(decoded) => decoded,
        Err(error) => return (body_error(&error), MoreHeaders::new()),
    };
    // What cannot be decoded is covered as it came.
    let body = decoded.as_ref().unwrap_or(&arrived.bytes).clone();
    let (answer, compute_micros) = match decoded {
        Err(error) => (codec_error(&error), 0),
        Ok(_) if version.is_some_and(|version| version != function.version()) => {
            let message = format!(
                "`{name}` has no such version; its only one is {}",
                function.version()
            );
            (
                Answer::kserve_error(StatusCode::NOT_FOUND, "unknown-version", &message),
                0,
            )
        }
        Ok(body) => perform(enclave, &function, action, &headers, body, started_ms).await,
    };
    let (bytes_in, bytes_out) = (arrived.bytes.len(), answer.body.len());
    let asked = Asked {
        method: parts.method,
        path: parts
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        headers,
        body,
        salt,
    };
    let work = Work {
        started_ms,
        compute_micros,
    };
    let answered = with_receipt(enclave, function.digest(), asked, work, answer).await;
    if action == ModelAction::Infer {
        let used = Used {
            bytes_in: bytes_in as u64,
            bytes_out: bytes_out as u64,
            ..Used::default()
        };
        enclave.usage.record(function.lease(), ANONYMOUS, used);
    }
    answered
}

type Admitted = (Arc<Function>, AskedHeaders, [u8; 32], u64);

/// Everything that can be checked before the body.
fn admit(enclave: &Enclave, headers: &http::HeaderMap, name: &str) -> Result<Admitted, Answer> {
    let headers = AskedHeaders::read(headers).map_err(|error| error.answer())?;
    let function = enclave.functions.get(name).ok_or_else(|| {
        let message = format!("there is no model {name:?} here");
        Answer::kserve_error(StatusCode::NOT_FOUND, "unknown-model", &message)
    })?;
    if let Some(wanted) = headers
        .function
        .filter(|wanted| *wanted != function.digest())
    {
        let message = format!(
            "`{}` is {} here, not {wanted}",
            function.name(),
            function.digest()
        );
        return Err(Answer::kserve_error(
            StatusCode::CONFLICT,
            "function-mismatch",
            &message,
        ));
    }
    let unavailable = |code, message: String| {
        Answer::kserve_error(StatusCode::SERVICE_UNAVAILABLE, code, &message)
    };
    let started_ms = enclave
        .node
        .now()
        .map_err(|error| unavailable("clock-unavailable", error.to_string()))?;
    let mut salt = [0; 32];
    match headers.salt {
        Some(given) => salt = given,
        None => {
            getrandom::fill(&mut salt)
                .map_err(|error| unavailable("receipt-unavailable", error.to_string()))?;
        }
    }
    Ok((function, headers, salt, started_ms))
}

/// Undoes the content encoding, with the room that the decoded body takes.
async fn decoded(
    enclave: &Enclave,
    headers: &AskedHeaders,
    body: &Bytes,
) -> Result<(Option<Room>, Result<Bytes, KserveError>), BodyError> {
    let Some(encoding) = headers.content_encoding.clone() else {
        return Ok((None, Ok(body.clone())));
    };
    let limit = enclave.limits.max_body;
    // What it decodes to is not known before, so the most that it may be is taken first.
    let mut room = enclave.bodies.room_in_turn(limit).await?;
    let body = body.clone();
    let decode = move || kserve::decode_body(Some(&encoding), body, limit);
    let decoded = off_loop_if_large(usize::MAX, decode).await;
    room.shrink_to(decoded.as_ref().map_or(0, Bytes::len));
    Ok((Some(room), decoded))
}

async fn perform(
    enclave: &Enclave,
    function: &Function,
    action: ModelAction,
    headers: &AskedHeaders,
    body: Bytes,
    started_ms: u64,
) -> (Answer, u32) {
    let (name, spec) = (function.name().as_str(), function.runner().spec());
    let ok = |body| Answer::json(StatusCode::OK, body);
    let answer = match action {
        ModelAction::Infer => {
            let answered = infer(enclave, function, headers, body, started_ms).await;
            return answered.unwrap_or_else(|failure| (failure.answer(), 0));
        }
        ModelAction::Metadata => ok(kserve::model_metadata(name, function.version(), spec)),
        ModelAction::Config => ok(kserve::model_config(name, spec)),
        ModelAction::Ready => {
            let ready = function.runner().is_ready();
            Answer::json(ready_status(ready), kserve::model_ready(name, ready))
        }
        ModelAction::Stats => {
            let statistics = function.statistics().snapshot();
            ok(kserve::model_statistics(
                name,
                function.version(),
                &statistics,
            ))
        }
    };
    (answer, 0)
}

/// Why a function gave no outputs.
#[derive(Debug)]
pub(crate) enum InferFailure {
    /// The request is none, or the outputs cannot be written.
    Codec(KserveError),
    /// The worker.
    Worker(WorkerError),
}

impl InferFailure {
    /// What a caller over HTTP gets.
    pub(crate) fn answer(&self) -> Answer {
        match self {
            Self::Codec(error) => codec_error(error),
            Self::Worker(error) => worker_error(error),
        }
    }

    /// Whether model and input alone made it so, and would again anywhere.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Codec(KserveError::MalformedOutput(_)) => false,
            Self::Codec(_) => true,
            Self::Worker(error) => error.is_callers(),
        }
    }

    /// Stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Codec(error) => error.code(),
            Self::Worker(error) => error.code(),
        }
    }
}

/// Runs the function on an inference request: the answer, and the model's time in microseconds, which is billed even where
/// nobody waits for the answer any more.
pub(crate) async fn infer(
    enclave: &Enclave,
    function: &Function,
    headers: &AskedHeaders,
    body: Bytes,
    started_ms: u64,
) -> Result<(Answer, u32), InferFailure> {
    let began = Instant::now();
    let request = decode(function, headers, body).await;
    let mut request = request.map_err(InferFailure::Codec)?;
    let outputs = request
        .outputs
        .as_ref()
        .map(|outputs| outputs.iter().map(|output| output.name.clone()).collect());
    let inputs = std::mem::take(&mut request.inputs);
    let (usage, lease) = (Arc::clone(&enclave.usage), function.lease());
    let computed = move |output: &InferOutput| {
        let used = Used {
            compute_micros: output.compute_micros.into(),
            ..Used::default()
        };
        usage.record(lease, ANONYMOUS, used);
    };
    match function
        .runner()
        .infer_then(inputs, outputs, computed)
        .await
    {
        Ok(output) => {
            let compute_micros = output.compute_micros;
            function
                .statistics()
                .succeeded(started_ms, began.elapsed(), compute_micros);
            match encode(function, request, output).await {
                Ok(answer) => Ok((answer, compute_micros)),
                Err(error @ KserveError::MalformedOutput(_)) => Err(InferFailure::Codec(error)),
                Err(error) => Ok((codec_error(&error), compute_micros)),
            }
        }
        Err(error) => {
            if !error.is_callers() {
                tracing::warn!(function = %function.name(), code = error.code(), "inference failed");
            }
            function.statistics().failed(started_ms, began.elapsed());
            Err(InferFailure::Worker(error))
        }
    }
}

async fn decode(
    function: &Function,
    headers: &AskedHeaders,
    body: Bytes,
) -> Result<InferRequest, KserveError> {
    let (headers, spec) = (headers.clone(), Arc::clone(function.runner().spec()));
    off_loop_if_large(body.len(), move || {
        let infer_headers = InferHeaders {
            content_type: headers.content_type.as_deref(),
            inference_header_content_length: headers.inference_header_length.as_deref(),
        };
        if kserve::is_bare(infer_headers.content_type) {
            return kserve::decode_bare(infer_headers, body, &spec);
        }
        let request = kserve::decode_infer(infer_headers, body)?;
        request.check(&spec)?;
        Ok(request)
    })
    .await
}

async fn encode(
    function: &Function,
    request: InferRequest,
    output: InferOutput,
) -> Result<Answer, KserveError> {
    let (name, version) = (function.name().clone(), function.version().to_owned());
    let size = output.outputs.iter().map(|tensor| tensor.data.len()).sum();
    let labels = Arc::clone(function.labels());
    let encoded = off_loop_if_large(size, move || {
        if request.bare {
            return kserve::encode_bare(&output.outputs);
        }
        let mut outputs = output.outputs;
        for output in &mut outputs {
            if let Some(most) = request.wants_classes(&output.name) {
                let labels = labels.get(&output.name).map_or(&[][..], Vec::as_slice);
                *output = kserve::classify(output, most, labels)?;
            }
        }
        let head = ResponseHead {
            model_name: name.as_str(),
            model_version: Some(&version),
            id: request.id.as_deref(),
        };
        kserve::encode_infer_response(head, &outputs, |name| request.wants_binary(name))
    })
    .await;
    encoded.map(|encoded| Answer {
        content_type: encoded.content_type,
        inference_header_length: encoded.inference_header_content_length,
        ..Answer::json(StatusCode::OK, encoded.body)
    })
}

/// Runs `work` on a thread for such things if `size` is [`LARGE`].
pub(crate) async fn off_loop_if_large<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if size < LARGE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

fn codec_error(error: &KserveError) -> Answer {
    Answer::json(error.status(), error.body())
}

/// A body that did not arrive: the connection cannot go on after it.
pub(super) fn body_error(error: &BodyError) -> Answer {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    Answer::kserve_error(status, error.code(), &error.to_string()).closing()
}

fn worker_error(error: &WorkerError) -> Answer {
    let status = match error {
        error if error.is_callers() => StatusCode::BAD_REQUEST,
        WorkerError::InferenceTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        WorkerError::Overloaded
        | WorkerError::Stopping
        | WorkerError::WorkerUnavailable { .. }
        | WorkerError::LoadTimeout { .. }
        | WorkerError::Isolation { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Answer::kserve_error(status, error.code(), &error.to_string())
}
