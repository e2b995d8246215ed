//! How often something took how long, for the host's metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nacre_protocol::control::{HISTOGRAM_ENDS, Histogram};

/// A live histogram; [`HISTOGRAM_ENDS`] says where its buckets end.
#[derive(Debug, Default)]
pub(crate) struct Times {
    counts: [AtomicU64; HISTOGRAM_ENDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Times {
    /// One more that took so long.
    pub(crate) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = HISTOGRAM_ENDS.partition_point(|end| *end < seconds);
        self.counts[bucket].fetch_add(1, Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    /// The counts now.
    pub(crate) fn snapshot(&self) -> Histogram {
        Histogram {
            counts: self.counts.iter().map(|n| n.load(Relaxed)).collect(),
            sum_micros: self.sum_micros.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_first_bucket_that_it_fits_into() {
        let times = Times::default();
        for micros in [0, 500, 501, 1_000, 30_000_000, 30_000_001] {
            times.observe(Duration::from_micros(micros));
        }
        let Histogram { counts, sum_micros } = times.snapshot();
        assert_eq!(counts, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(sum_micros, 60_002_002);
    }
}
