//! What can go wrong with API keys.

use crate::keys::MAX_NAME;
use crate::token::KeyId;

/// Why a key is not made, rotated or shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRefused {
    /// The organisation has no such key.
    #[error("there is no key {0}")]
    NotFound(KeyId),
    /// An empty, long or unprintable name.
    #[error("a key's name is 1 to {MAX_NAME} printable characters")]
    Name,
    /// No scope at all.
    #[error("a key without scopes opens nothing: name at least one")]
    NoScopes,
    /// An end that has passed, or is beyond all calendars.
    #[error("expires_ms must be later than now, {now_ms}, and before the year 10000")]
    Expiry {
        /// The control plane's time.
        now_ms: u64,
    },
    /// More than 30 days.
    #[error("grace_ms may be 2592000000 (30 days) at most")]
    Grace,
    /// More than the caller's own key has.
    #[error(
        "a key is given no scope that the caller's key lacks, and no longer time than that has"
    )]
    TooWide,
    /// A revoked key stays revoked.
    #[error("key {0} is revoked: make a new one")]
    Revoked(KeyId),
}

impl KeyRefused {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NotFound(_) => (404, "key-not-found", "There is no such key."),
            Self::Name => (422, "key-name-invalid", "The key's name is refused."),
            Self::NoScopes => (422, "key-scopes-missing", "The key has no scopes."),
            Self::Expiry { .. } => (422, "key-expiry-invalid", "The key's end is out of range."),
            Self::Grace => (
                422,
                "key-grace-too-long",
                "The former secret would be taken for too long.",
            ),
            Self::TooWide => (
                403,
                "grant-too-wide",
                "The caller's key may not give so much.",
            ),
            Self::Revoked(_) => (409, "key-revoked", "The key is revoked."),
        }
    }
}
