//! What a launched image measures.

use std::collections::BTreeMap;

use serde::Serialize;

/// An image as it was launched, measured on the host before anything started. It proves nothing to anybody: a client
/// believes the NSM's document alone. It tells an operator which image runs, and a crash report which one ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaunchedImage {
    /// PCR index → 96 hex digits: what the enclave's documents will say. In debug mode all zero.
    pub pcrs: BTreeMap<u8, String>,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Whether it runs in debug mode, where nothing protects it.
    pub debug: bool,
}
