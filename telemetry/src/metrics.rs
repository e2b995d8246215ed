//! Numbers for Prometheus, and how they are named.
//!
//! A name is `nacre_<process>_<what>[_<unit>]`, a counter's with `_total` after it; units are base units (`seconds`,
//! `bytes`). A label has few values that are known beforehand: a code, a state, a route's pattern, or the name of a function
//! that somebody has deployed. What a caller sends never becomes one, and a family that should all the same grow past
//! [`MAX_SERIES`] counts what comes then under `other`.
//!
//! Everything that is registered is exposed from the start, also a family that has no member yet, so that what a process
//! exposes does not depend on what has happened to it.

use std::borrow::Cow;
use std::fmt;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

mod family;
mod observed;
mod process;

pub use family::{Family, Member};
pub use observed::{Buckets, Distribution, Observed};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::Histogram;

/// Media type of [`Metrics::encode`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Most members of one family.
pub const MAX_SERIES: usize = 2048;

/// Upper ends in seconds for what takes from half a millisecond to half a minute.
pub const SECONDS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0, 30.0,
];

/// A label's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Cow<'static, str>);

impl Label {
    /// A value that is not written in the program, and of which there are nevertheless few that no caller chooses: an id of
    /// our own, or the name of what was deployed.
    pub fn known(value: impl Into<String>) -> Self {
        Self(Cow::Owned(value.into()))
    }
}

impl From<&'static str> for Label {
    fn from(value: &'static str) -> Self {
        Self(Cow::Borrowed(value))
    }
}

impl EncodeLabelValue for Label {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

/// The value that stands for all that are too many.
const OTHER: &str = "other";

/// An HTTP status as a label: one that is a number between 100 and 599.
pub fn status_label(status: u16) -> Label {
    match status {
        100..=599 => Label::known(status.to_string()),
        _ => OTHER.into(),
    }
}

/// A request's method as a label: one of those that are asked for, or `other`.
pub fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let found = KNOWN.into_iter().find(|known| *known == method);
    found.unwrap_or(OTHER)
}

/// What a process exposes. Made once, at its start.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    part: &'static str,
}

impl Metrics {
    /// The metrics of this process, with its version, its memory and its open files among them.
    pub fn of(process: &'static str, version: &'static str) -> Self {
        let build = vec![("version", version.to_owned())];
        Self::built(process, "The program's version", build)
    }

    /// The same, with more to say of how the program was built.
    pub fn built(process: &'static str, help: &str, build: Vec<(&'static str, String)>) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            part: process,
        };
        metrics.register("build", help, Info::new(build));
        process::register(&mut metrics.registry);
        metrics
    }

    /// Goes on with the metrics of another part, which this process exposes too.
    pub fn part(&mut self, part: &'static str) -> &mut Self {
        self.part = part;
        self
    }

    /// A number that only rises; `_total` is added to its name.
    pub fn counter(&mut self, name: &str, help: &str) -> Counter {
        let counter = Counter::default();
        self.register(name, help, counter.clone());
        counter
    }

    /// A number that rises and falls.
    pub fn gauge(&mut self, name: &str, help: &str) -> Gauge {
        let gauge = Gauge::default();
        self.register(name, help, gauge.clone());
        gauge
    }

    /// How often something took how long.
    pub fn histogram(&mut self, name: &str, help: &str, ends: &'static [f64]) -> Histogram {
        let histogram = Histogram::new(ends.iter().copied());
        self.register(name, help, histogram.clone());
        histogram
    }

    /// Counters, one for each set of labels.
    pub fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
    ) -> Family<Counter, N> {
        self.family(name, help, labels, Counter::default)
    }

    /// Histograms, one for each set of labels.
    pub fn histograms<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        ends: &'static [f64],
    ) -> Family<Histogram, N> {
        self.family(name, help, labels, || Histogram::new(ends.iter().copied()))
    }

    /// Numbers that are kept elsewhere and read whenever somebody asks.
    pub fn observe<V: Observed, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        read: impl Fn() -> Vec<([Label; N], V)> + Send + Sync + 'static,
    ) {
        self.register(name, help, observed::Read::new(labels, read));
    }

    /// The same for one number.
    pub fn observe_one<V: Observed>(
        &mut self,
        name: &str,
        help: &str,
        read: impl Fn() -> V + Send + Sync + 'static,
    ) {
        self.observe(name, help, [], move || vec![([], read())]);
    }

    /// All of it in OpenMetrics' text, which Prometheus reads.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // A text takes everything.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn family<M: Member, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; N],
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Family<M, N> {
        let family = Family::new(labels, make);
        self.register(name, help, family.clone());
        family
    }

    fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        let name = format!("nacre_{}_{name}", self.part);
        self.registry.register(name, help, metric);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        Metrics {
            registry: Registry::default(),
            part: "test",
        }
    }

    #[test]
    fn everything_is_there_from_the_start_under_its_whole_name() {
        let mut metrics = metrics();
        metrics.counter("calls", "Calls").inc();
        metrics.counters("refusals", "Refusals", ["code"]);
        metrics
            .part("other")
            .histogram("wait_seconds", "Waits", &[0.1]);
        let text = metrics.encode();
        let expected = "# HELP nacre_test_calls Calls.\n# TYPE nacre_test_calls counter\nnacre_test_calls_total 1\n\
             # HELP nacre_test_refusals Refusals.\n# TYPE nacre_test_refusals counter\n\
             # HELP nacre_other_wait_seconds Waits.\n# TYPE nacre_other_wait_seconds histogram\n\
             nacre_other_wait_seconds_sum 0.0\nnacre_other_wait_seconds_count 0\n\
             nacre_other_wait_seconds_bucket{le=\"0.1\"} 0\nnacre_other_wait_seconds_bucket{le=\"+Inf\"} 0\n# EOF\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_family_that_grows_too_large_counts_the_rest_as_other() {
        let mut metrics = metrics();
        let family = metrics.counters("calls", "Calls", ["who"]);
        for n in 0..MAX_SERIES + 10 {
            family.of([Label::known(n.to_string())]).inc();
        }
        let text = metrics.encode();
        let members = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(members, MAX_SERIES + 1);
        assert!(text.contains("nacre_test_calls_total{who=\"other\"} 10\n"));
    }

    #[test]
    fn what_is_no_method_or_status_has_one_name() {
        assert_eq!(method_label("GET"), "GET");
        assert_eq!(method_label("GET\"} 1\nx"), "other");
        assert_eq!(status_label(204), Label::known("204"));
        assert_eq!(status_label(0), status_label(65535));
    }

    #[test]
    fn numbers_that_are_kept_elsewhere_are_read_each_time() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

        let mut metrics = metrics();
        let kept = Arc::new(AtomicU64::new(3));
        let read = Arc::clone(&kept);
        metrics.observe("waiting", "Waiting", ["kind"], move || {
            vec![(["a\"b".into()], read.load(Relaxed) as f64)]
        });
        assert!(
            metrics
                .encode()
                .contains("nacre_test_waiting{kind=\"a\\\"b\"} 3.0\n")
        );
        kept.store(5, Relaxed);
        assert!(metrics.encode().contains("{kind=\"a\\\"b\"} 5.0\n"));
    }

    #[test]
    fn a_distribution_has_as_many_counts_as_its_buckets_and_one() {
        const ENDS: Buckets = Buckets(&[0.1, 1.0]);
        assert!(Distribution::new(ENDS, &[1, 2], 0.5).is_none());
        let mut metrics = metrics();
        metrics.observe_one("took_seconds", "Took", || {
            Distribution::new(ENDS, &[1, 2, 3], 9.5).unwrap()
        });
        let text = metrics.encode();
        for line in [
            "nacre_test_took_seconds_sum 9.5",
            "nacre_test_took_seconds_count 6",
            "nacre_test_took_seconds_bucket{le=\"0.1\"} 1",
            "nacre_test_took_seconds_bucket{le=\"1.0\"} 3",
            "nacre_test_took_seconds_bucket{le=\"+Inf\"} 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
