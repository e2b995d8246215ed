//! Durations, sorted once, asked for percentiles.

use std::time::Duration;

/// Latencies of one kind of call.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    durations: Vec<Duration>,
}

impl Samples {
    /// Adds one.
    pub fn push(&mut self, duration: Duration) {
        self.durations.push(duration);
    }

    /// Adds all of another.
    pub fn extend(&mut self, other: Self) {
        self.durations.extend(other.durations);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.durations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.durations.is_empty()
    }

    /// The value that this share (0 to 1) of the samples does not exceed, in microseconds.
    pub fn percentile(&mut self, share: f64) -> f64 {
        self.durations.sort_unstable();
        let last = self.durations.len().saturating_sub(1);
        let at = ((last as f64) * share).round() as usize;
        self.durations
            .get(at)
            .map_or(f64::NAN, |d| d.as_secs_f64() * 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_samples() {
        let mut samples = Samples::default();
        (1..=101)
            .rev()
            .for_each(|n| samples.push(Duration::from_micros(n)));
        assert_eq!(samples.percentile(0.5), 51.0);
        assert_eq!(samples.percentile(0.99), 100.0);
        assert!(Samples::default().percentile(0.5).is_nan());
    }
}
