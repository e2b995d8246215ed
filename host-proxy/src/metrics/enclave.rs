//! The enclave's own numbers, with the boot that they are of. A name or a count that an enclave of ours would not say is
//! left out.

use std::sync::Arc;

use nacre_protocol::control::{
    Counters, EnclaveStatus, FunctionMetrics, HISTOGRAM_ENDS, Histogram,
};
use nacre_telemetry::metrics::{Buckets, Distribution, Label, Metrics, Observed};

use super::Seen;

/// Most functions that are exposed of one enclave.
const MAX_FUNCTIONS: usize = 256;

/// Exposes what the enclave last said.
pub(super) fn expose(metrics: &mut Metrics, seen: &Arc<Seen>) {
    counters(metrics, seen);
    metrics.observe(
        "answers",
        "Requests that were answered, by the hundred of the status",
        ["boot", "status"],
        many(seen, |status| {
            let hundreds = ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter();
            let counts = hundreds.zip(status.metrics.answers);
            counts.map(|(name, n)| (name.into(), n)).collect()
        }),
    );
    metrics.observe(
        "request_seconds",
        "From a request's head to its answer's",
        ["boot"],
        one(seen, |status| distribution(&status.metrics.requests)),
    );
    for (name, help, read) in [
        (
            "memory_bytes",
            "Bytes of blobs and workers that the enclave may hold",
            (|status| Some(status.memory_bytes as f64)) as fn(&EnclaveStatus) -> Option<f64>,
        ),
        (
            "memory_used_bytes",
            "Of them, those that it holds",
            |status| Some(status.metrics.memory_used_bytes as f64),
        ),
    ] {
        metrics.observe(name, help, ["boot"], one(seen, read));
    }
    metrics.observe(
        "function_failures",
        "Inferences that failed in the model, since the function was loaded",
        ["boot", "function"],
        functions(seen, |function| Some(function.failed)),
    );
    metrics.observe(
        "function_compute_seconds",
        "The model's time for each inference that was answered, since the function was loaded",
        ["boot", "function"],
        functions(seen, |function| distribution(&function.compute)),
    );
}

fn counters(metrics: &mut Metrics, seen: &Arc<Seen>) {
    type Read = fn(&Counters) -> u64;
    let all: [(&str, &str, Read); 7] = [
        (
            "connections",
            "TLS connections that finished their handshake",
            |c| c.connections,
        ),
        ("attestations", "Evidence that was given to callers", |c| {
            c.attestations
        }),
        (
            "requests",
            "Requests other than for evidence and probes",
            |c| c.requests,
        ),
        (
            "request_bytes",
            "Bytes of requests' bodies that arrived",
            |c| c.request_bytes,
        ),
        ("receipts", "Receipts that were signed", |c| c.receipts),
        ("worker_starts", "Workers that were started", |c| {
            c.workers_started
        }),
        (
            "clock_steps",
            "How often the secure module's time was found to be stepped against monotonic time",
            |c| c.clock_steps,
        ),
    ];
    for (name, help, read) in all {
        metrics.observe(
            name,
            help,
            ["boot"],
            one(seen, move |status| Some(read(&status.counters))),
        );
    }
}

type Members<V, const N: usize> = Vec<([Label; N], V)>;

/// One number of an enclave.
fn one<V: Observed>(
    seen: &Arc<Seen>,
    read: impl Fn(&EnclaveStatus) -> Option<V> + Send + Sync + 'static,
) -> impl Fn() -> Members<V, 1> + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move || {
        let value = seen.status().and_then(|status| {
            let value = read(&status)?;
            Some(([boot(&status)], value))
        });
        value.into_iter().collect()
    }
}

/// Several numbers, each with a label of its own.
fn many<V: Observed>(
    seen: &Arc<Seen>,
    read: impl Fn(&EnclaveStatus) -> Vec<(Label, V)> + Send + Sync + 'static,
) -> impl Fn() -> Members<V, 2> + Send + Sync + 'static {
    let seen = Arc::clone(seen);
    move || {
        let Some(status) = seen.status() else {
            return Vec::new();
        };
        let values = read(&status).into_iter();
        values
            .map(|(label, value)| ([boot(&status), label], value))
            .collect()
    }
}

/// One number of each function. There is one function of a name.
fn functions<V: Observed>(
    seen: &Arc<Seen>,
    read: impl Fn(&FunctionMetrics) -> Option<V> + Send + Sync + 'static,
) -> impl Fn() -> Members<V, 2> + Send + Sync + 'static {
    many(seen, move |status| {
        let mut functions: Vec<_> = status.metrics.functions.iter().collect();
        functions.sort_by_key(|function| &function.name);
        functions.dedup_by_key(|function| &function.name);
        let values = functions
            .into_iter()
            .take(MAX_FUNCTIONS)
            .filter_map(|function| {
                let value = read(function)?;
                Some((Label::known(function.name.as_str()), value))
            });
        values.collect()
    })
}

fn boot(status: &EnclaveStatus) -> Label {
    Label::known(status.boot_id.to_string())
}

fn distribution(histogram: &Histogram) -> Option<Distribution> {
    let seconds = histogram.sum_micros as f64 / 1e6;
    Distribution::new(Buckets(&HISTOGRAM_ENDS), &histogram.counts, seconds)
}

#[cfg(test)]
mod tests {
    use nacre_protocol::control::EnclaveMetrics;
    use nacre_protocol::ids::BootId;

    use super::*;

    fn function(name: &str, counts: usize) -> FunctionMetrics {
        FunctionMetrics {
            name: name.parse().unwrap(),
            succeeded: 1,
            failed: 2,
            compute: Histogram {
                counts: vec![1; counts],
                sum_micros: 3,
            },
        }
    }

    #[test]
    fn what_an_enclave_of_ours_would_not_say_is_left_out() {
        let whole = HISTOGRAM_ENDS.len() + 1;
        let mut functions = vec![
            function("iris", whole),
            function("iris", whole),
            function("mnist", 3),
        ];
        functions.extend((0..1000).map(|n| function(&format!("x{n:04}"), whole)));
        let seen = Arc::new(Seen::default());
        seen.answered(EnclaveStatus {
            boot_id: BootId::from_random([7; 16]),
            version: String::new(),
            memory_bytes: 1,
            processors: 1,
            functions: Vec::new(),
            counters: Counters::default(),
            metrics: EnclaveMetrics {
                functions,
                ..EnclaveMetrics::default()
            },
        });
        let mut metrics = Metrics::of("test", "0");
        expose(metrics.part("enclave"), &seen);
        let text = metrics.encode();
        let of = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(of("nacre_enclave_function_failures_total{"), MAX_FUNCTIONS);
        assert_eq!(
            of("nacre_enclave_function_compute_seconds_count{"),
            MAX_FUNCTIONS - 1
        );
        assert_eq!(of("nacre_enclave_request_seconds_count"), 0, "no histogram");
    }
}
