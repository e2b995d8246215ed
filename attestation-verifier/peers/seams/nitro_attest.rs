//! Added by Nacre's `prepare.py`; not part of `nitro_attest`.
//!
//! The crate trusts one compiled-in root. Here the calling thread may name another. As long as it names none, the
//! crate's own stands.

use std::cell::Cell;

std::thread_local! {
    static FINGERPRINT: Cell<Option<&'static [u8]>> = const { Cell::new(None) };
}

/// From now on this thread trusts the root whose DER has this SHA-256.
pub fn set(fingerprint: &'static [u8]) {
    FINGERPRINT.set(Some(fingerprint));
}

pub(crate) fn root_fingerprint(compiled_in: &'static [u8]) -> &'static [u8] {
    FINGERPRINT.get().unwrap_or(compiled_in)
}
