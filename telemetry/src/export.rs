//! Spans to an OpenTelemetry collector: OTLP over HTTP, as the standard variables say and nothing else.
//!
//! | variable | |
//! |---|---|
//! | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where to; without one of them nothing is sent, unless `OTEL_TRACES_EXPORTER=otlp` |
//! | `OTEL_SDK_DISABLED=true`, `OTEL_TRACES_EXPORTER=none` | nothing is sent |
//! | `OTEL_EXPORTER_OTLP_[TRACES_]HEADERS`, `…_TIMEOUT`, `…_PROTOCOL` | the protocol is `http/protobuf`; another is refused |
//! | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | who sends |
//! | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_*`, `OTEL_SPAN_*` | as the SDK reads them |
//!
//! That nothing is sent without an endpoint is the one difference from the standard, whose default is a collector on this
//! machine: a command line must not post to whoever listens there.

use std::env;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::registry::LookupSpan;

/// Longest answer of a collector that is read, bytes.
const MAX_ANSWER: usize = 64 << 10;
/// How long a collector may take unless the environment says otherwise (OTLP's default).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nothing is sent although it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// Another protocol or exporter than there is here.
    #[error("{variable}={value}: there is {known} here")]
    Unknown {
        variable: String,
        value: String,
        known: &'static str,
    },
    /// A variable cannot be read.
    #[error(transparent)]
    Build(#[from] ExporterBuildError),
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
    /// Called outside of a runtime.
    #[error("there is no runtime that could send")]
    NoRuntime,
}

impl ExportError {
    /// Stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "otel-unknown-value",
            Self::Build(_) => "otel-configuration",
            Self::Client(_) => "otel-client",
            Self::NoRuntime => "otel-no-runtime",
        }
    }
}

/// What sends spans, in batches, in the background. A full queue drops spans, and keeps nobody waiting.
#[derive(Debug)]
pub(crate) struct Exporter {
    provider: SdkTracerProvider,
}

/// The exporter that the environment asks for, if it does.
pub(crate) fn exporter(process: &'static str) -> Result<Option<Exporter>, ExportError> {
    if !is_wanted()? {
        return Ok(None);
    }
    for variable in [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ] {
        known(variable, &["http/protobuf"], "http/protobuf")?;
    }
    let client = Collector::new()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .build()?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource(process))
        .build();
    Ok(Some(Exporter { provider }))
}

impl Exporter {
    /// What hears of spans. It adds nothing to what their fields say: no thread, no place in the source.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
    ) -> OpenTelemetryLayer<S, Tracer> {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("nacre"))
            .with_location(false)
            .with_threads(false)
            .with_level(false)
            .with_target(false)
            .with_tracked_inactivity(false)
    }

    /// Sends what waits.
    pub(crate) fn shut_down(&self, within: Duration) -> Result<(), OTelSdkError> {
        self.provider.shutdown_with_timeout(within)
    }
}

fn is_wanted() -> Result<bool, ExportError> {
    if value("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match known("OTEL_TRACES_EXPORTER", &["none", "otlp"], "none and otlp")?.as_deref() {
        Some("none") => Ok(false),
        Some(_) => Ok(true),
        None => Ok(value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| value("OTEL_EXPORTER_OTLP_ENDPOINT"))
            .is_some()),
    }
}

/// The standard takes an empty variable for one that is not there.
fn value(variable: &str) -> Option<String> {
    let value = env::var(variable).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn known(
    variable: &str,
    words: &[&str],
    known: &'static str,
) -> Result<Option<String>, ExportError> {
    match value(variable) {
        Some(value) if !words.contains(&value.as_str()) => Err(ExportError::Unknown {
            variable: variable.to_owned(),
            value,
            known,
        }),
        found => Ok(found),
    }
}

fn resource(process: &'static str) -> Resource {
    let attributes = value("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = value("OTEL_SERVICE_NAME").is_some()
        || attributes
            .split(',')
            .any(|pair| pair.trim_start().starts_with("service.name="));
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    match is_named {
        true => resource.build(),
        false => resource.with_service_name(process).build(),
    }
}

/// The HTTP client of everything else here. The SDK asks it from a thread of its own; the work is the runtime's.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
}

impl Collector {
    fn new() -> Result<Self, ExportError> {
        let millis = |variable| value(variable)?.parse().ok().map(Duration::from_millis);
        let timeout = millis("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .or_else(|| millis("OTEL_EXPORTER_OTLP_TIMEOUT"))
            .unwrap_or(TIMEOUT);
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let runtime = Handle::try_current().map_err(|_| ExportError::NoRuntime)?;
        Ok(Self { http, runtime })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let sent = self.runtime.spawn(send(self.http.clone(), request));
        sent.await?
    }
}

async fn send(
    http: reqwest::Client,
    request: reqwest::Request,
) -> Result<http::Response<Bytes>, HttpError> {
    let mut response = http.execute(request).await?;
    let mut answer = http::Response::new(Bytes::new());
    *answer.status_mut() = response.status();
    *answer.headers_mut() = response.headers().clone();
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err("the collector's answer is too long".into());
        }
        body.extend_from_slice(&chunk);
    }
    *answer.body_mut() = body.freeze();
    Ok(answer)
}
