//! Logs, and with them traces: set up once, at the beginning of a process of the host.

use std::time::Duration;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use crate::export::{self, Exporter};
use crate::trace;

/// Which events are logged, as `tracing_subscriber::EnvFilter` reads it: `info`, `warn,nacre_host_proxy=debug`.
pub const FILTER_VARIABLE: &str = "NACRE_LOG";

/// How long spans that wait may take to leave when the process ends.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line: timestamp, level, target, fields (with the message), span
    Json,
}

/// How a process logs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct LogArgs {
    /// How lines of the log look, on standard error. Which lines there are is NACRE_LOG's, such as `info` or
    /// `warn,nacre_gateway=debug`
    #[arg(long, global = true, value_enum, value_name = "FORMAT", env = "NACRE_LOG_FORMAT", default_value_t = LogFormat::Text, ignore_case = true)]
    pub log_format: LogFormat,
}

impl LogFormat {
    /// The words that give another process of ours the same.
    pub fn words(self) -> [std::ffi::OsString; 2] {
        let word = match self {
            Self::Text => "text",
            Self::Json => "json",
        };
        ["--log-format".into(), word.into()]
    }
}

/// Logs and traces while it is kept.
#[derive(Debug)]
#[must_use]
pub struct Telemetry(Option<Exporter>);

/// Begins to log to standard error, and to send spans where the environment says so. `process` is the service's name unless
/// OTEL_SERVICE_NAME says another; `fallback` is the filter unless NACRE_LOG has one. To be called once, within the runtime
/// that is to send.
pub fn start(process: &'static str, args: LogArgs, fallback: &str) -> Telemetry {
    let (filter, refused) = filter(fallback);
    let (exporter, failed) = match export::exporter(process) {
        Ok(exporter) => (exporter, None),
        Err(error) => (None, Some(error)),
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match args.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().with_span_list(false).boxed(),
    };
    let spans = exporter.as_ref().map(|exporter| {
        let leaves = filter_fn(|metadata| metadata.is_span() && metadata.target() == trace::TARGET);
        exporter.layer::<Registry>().with_filter(leaves)
    });
    let subscriber = tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter));
    // A second call changes nothing.
    let _ = subscriber.try_init();
    if let Some(error) = refused {
        tracing::warn!(%error, "{FILTER_VARIABLE} is no filter: as if it were not there");
    }
    if let Some(error) = failed {
        tracing::warn!(code = error.code(), %error, "no traces are sent");
    }
    Telemetry(exporter)
}

fn filter(fallback: &str) -> (EnvFilter, Option<String>) {
    let given = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    if given.trim().is_empty() {
        return (EnvFilter::new(fallback), None);
    }
    match EnvFilter::builder().parse(&given) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(fallback), Some(error.to_string())),
    }
}

impl Telemetry {
    /// Sends the spans that wait, for a few seconds at most. The runtime must run still; this blocks, and is no task's to
    /// call.
    pub fn end(self) {
        if let Some(exporter) = self.0
            && let Err(error) = exporter.shut_down(LAST_SPANS)
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}
