//! How an enclave divides the memory that it finds, where its arguments do not say.
//!
//! What is there to divide is the kernel's `MemAvailable` at the start: the machine's memory less the kernel's own and less the
//! image, which is unpacked into memory that can never be given back. Of it, an eighth but at least 20 MiB is kept for the
//! supervisor and the kernel, and the rest is what blobs and workers may hold together:
//!
//! ```text
//! functions   = available − max(available / 8, 20 MiB)
//! bodies      = functions / 4, at most four of the largest body
//! connections = functions / 256 KiB, at least 64 and at most 4096
//! ```
//!
//! Jobs' inputs together may have the length of the largest body beside that. Bodies and connections are not taken off the
//! functions' part, because no function uses all that it may at every moment.
//! Where callers fill every buffer while every function is at its limit, the kernel ends a worker, never the supervisor
//! (see `worker::sandbox`), and the worker is started again.

use std::io;

use crate::config::Limits;

/// Least that is kept.
const LEAST_KEPT: u64 = 20 << 20;
/// Memory that functions have for each connection. A connection itself holds less than a quarter of it.
const FOR_A_CONNECTION: u64 = 256 << 10;
/// Fewest connections.
const FEWEST_CONNECTIONS: u64 = 64;

/// Who may have how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Bytes that blobs and workers may hold together.
    pub functions: u64,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Bytes that all request bodies together may hold.
    pub body_memory: usize,
    /// Most connections at once.
    pub max_connections: usize,
}

impl Share {
    /// Divides `available` bytes, with request bodies of at most `max_body` bytes.
    pub fn of(available: u64, max_body: usize) -> Self {
        let functions = available.saturating_sub(LEAST_KEPT.max(available / 8));
        let quarter = usize::try_from(functions / 4).unwrap_or(usize::MAX);
        let most_connections = Limits::default().max_connections;
        let connections = (functions / FOR_A_CONNECTION).max(FEWEST_CONNECTIONS);
        Self {
            functions,
            max_body: max_body.min(quarter),
            body_memory: max_body.saturating_mul(4).min(quarter),
            max_connections: usize::try_from(connections).map_or(most_connections, |connections| {
                connections.min(most_connections)
            }),
        }
    }
}

/// Bytes that could be used now without ending anything.
///
/// # Errors
///
/// Where `/proc/meminfo` cannot be read.
pub fn available() -> io::Result<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo")?;
    available_in(&meminfo).ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))
}

fn available_in(meminfo: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::DEFAULT_MAX_BODY;

    const MIB: u64 = 1 << 20;

    #[test]
    fn two_functions_of_64_mib_fit_where_150_mib_are_left() {
        let share = Share::of(150 * MIB, DEFAULT_MAX_BODY);
        assert_eq!(share.functions, 130 * MIB);
        assert_eq!(share.body_memory as u64, 32 * MIB + MIB / 2);
        assert_eq!(share.max_body, share.body_memory);
        assert_eq!(share.max_connections, 520);
    }

    #[test]
    fn a_large_machine_has_the_usual_limits() {
        let share = Share::of(8 << 30, DEFAULT_MAX_BODY);
        assert_eq!(share.functions, 7 << 30);
        assert_eq!(share.max_body, DEFAULT_MAX_BODY);
        assert_eq!(share.body_memory, Limits::default().body_memory);
        assert_eq!(share.max_connections, Limits::default().max_connections);
    }

    #[test]
    fn the_kernel_says_what_is_available() {
        let meminfo =
            "MemTotal:  236000 kB\nMemFree:  1 kB\nMemAvailable:     153600 kB\nBuffers: 0 kB\n";
        assert_eq!(available_in(meminfo), Some(150 * MIB));
        assert_eq!(available_in("MemTotal: 1 kB\n"), None);
        assert_eq!(
            available_in("MemAvailable: 18446744073709551615 kB\n"),
            None
        );
        assert!(available().unwrap() > 0);
    }

    proptest! {
        #[test]
        fn nobody_gets_what_is_not_there(available in any::<u64>(), max_body in any::<usize>()) {
            let share = Share::of(available, max_body);
            prop_assert!(share.functions <= available.saturating_sub(LEAST_KEPT));
            prop_assert!(share.body_memory as u64 <= share.functions / 4);
            prop_assert!(share.max_body <= share.body_memory && share.max_body <= max_body);
            prop_assert!((64..=4096).contains(&share.max_connections));
        }
    }
}
