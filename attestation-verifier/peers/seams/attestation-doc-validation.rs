//! Added by Nacre's `prepare.py`; not part of `attestation-doc-validation`.
//!
//! The crate trusts one compiled-in root and reads the system clock. Here the calling thread may name another root and
//! another time. As long as it names none, the crate's own root and the clock stand.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

std::thread_local! {
    static ROOT_PEM: Cell<Option<&'static [u8]>> = const { Cell::new(None) };
    static NOW: Cell<Option<SystemTime>> = const { Cell::new(None) };
}

/// From now on this thread trusts this root, and the time is `seconds` after the Unix epoch.
pub fn set(root_pem: &'static [u8], seconds: u64) {
    ROOT_PEM.set(Some(root_pem));
    NOW.set(SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
}

pub(crate) fn root_pem(compiled_in: &'static [u8]) -> &'static [u8] {
    ROOT_PEM.get().unwrap_or(compiled_in)
}

pub(crate) fn now(clock: SystemTime) -> SystemTime {
    NOW.get().unwrap_or(clock)
}
