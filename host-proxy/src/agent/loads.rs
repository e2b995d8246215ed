//! How much each function has to do, from what the enclave counts.

use std::collections::BTreeMap;
use std::time::Instant;

use nacre_protocol::api::DesiredFunction;
use nacre_protocol::control::{FunctionLoad, FunctionStatus};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;

/// What every function that the enclave serves has to do.
#[derive(Debug, Default)]
pub(super) struct Loads(BTreeMap<(FunctionName, Digest), Measured>);

#[derive(Debug, Clone, Copy)]
struct Measured {
    at: Instant,
    counted: FunctionLoad,
    in_flight: u32,
}

impl Loads {
    /// Takes what the enclave counted until now. Functions that it no longer has are forgotten.
    pub(super) fn note(&mut self, functions: &[FunctionStatus], now: Instant) {
        let before = std::mem::take(&mut self.0);
        for status in functions {
            let key = (status.name.clone(), status.digest);
            let counted = status.load;
            let in_flight = in_flight(before.get(&key), counted, now);
            let measured = Measured {
                at: now,
                counted,
                in_flight,
            };
            self.0.insert(key, measured);
        }
    }

    /// Requests at once since the look before: on average, rounded up, or now, whichever is more. `None` of a function
    /// that the enclave does not have.
    pub(super) fn in_flight(&self, function: &DesiredFunction) -> Option<u32> {
        self.of(function).map(|measured| measured.in_flight)
    }

    /// How long the first of those that wait in the enclave has waited, milliseconds.
    pub(super) fn oldest_wait_ms(&self, function: &DesiredFunction) -> Option<u64> {
        self.of(function)
            .map(|measured| measured.counted.oldest_wait_ms)
    }

    fn of(&self, function: &DesiredFunction) -> Option<&Measured> {
        self.0.get(&(function.name.clone(), function.digest))
    }
}

/// By Little's law from the time that the requests took which ended since. A look alone would miss short ones; and one
/// long request that ends counts as one, however long it was.
fn in_flight(before: Option<&Measured>, counted: FunctionLoad, now: Instant) -> u32 {
    let (since, ended, busy_ms) = match before {
        // Fewer than before: it was loaded anew.
        Some(before) if before.counted.requests <= counted.requests => (
            now.duration_since(before.at),
            counted.requests - before.counted.requests,
            counted.busy_ms.saturating_sub(before.counted.busy_ms),
        ),
        _ => return counted.in_flight.max(u32::from(counted.requests > 0)),
    };
    let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1);
    let average = busy_ms
        .div_ceil(since_ms)
        .clamp(u64::from(ended > 0), ended);
    counted
        .in_flight
        .max(u32::try_from(average).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nacre_protocol::control::FunctionState;
    use nacre_protocol::ids::LeaseId;

    use super::*;

    /// What is reported after looks a second apart.
    fn reported(looks: &[(u32, u64, u64)]) -> Vec<u32> {
        let (name, digest) = ("iris".parse().unwrap(), Digest::of(b"1"));
        let function = DesiredFunction {
            lease: LeaseId::from_random([0; 16]),
            name,
            digest,
        };
        let begin = Instant::now();
        let mut loads = Loads::default();
        let looks = looks.iter().enumerate();
        looks
            .map(|(n, (in_flight, requests, busy_ms))| {
                let status = FunctionStatus {
                    name: function.name.clone(),
                    digest,
                    lease: None,
                    state: FunctionState::Ready,
                    error: None,
                    load: FunctionLoad {
                        in_flight: *in_flight,
                        oldest_wait_ms: 0,
                        requests: *requests,
                        busy_ms: *busy_ms,
                    },
                };
                loads.note(&[status], begin + Duration::from_secs(n as u64));
                loads.in_flight(&function).unwrap()
            })
            .collect()
    }

    #[test]
    fn short_requests_between_two_looks_are_seen() {
        assert_eq!(reported(&[(0, 0, 0), (0, 3, 2), (0, 3, 2)]), [0, 1, 0]);
    }

    #[test]
    fn many_at_once_count_as_many() {
        // 4000 ms of work in a second: four at once.
        assert_eq!(reported(&[(0, 0, 0), (1, 40, 4000)]), [0, 4]);
        assert_eq!(reported(&[(0, 0, 0), (9, 40, 4000)]), [0, 9]);
    }

    #[test]
    fn a_long_request_that_ends_counts_as_one() {
        assert_eq!(
            reported(&[(1, 0, 0), (0, 1, 60_000), (0, 1, 60_000)]),
            [1, 1, 0]
        );
    }

    #[test]
    fn a_function_that_was_loaded_anew_counts_from_then() {
        assert_eq!(reported(&[(0, 50, 5000), (0, 0, 0), (0, 1, 5)]), [1, 0, 1]);
    }
}
