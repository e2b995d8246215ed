//! Errors over HTTP: RFC 9457 problem details with a stable `code`.

use serde::{Deserialize, Serialize};

/// Media type of [`Problem`] in JSON.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, for people (`title`, `detail`) and programs (`code`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{title} ({code}){}", detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
pub struct Problem {
    /// The HTTP status, repeated in the body.
    pub status: u16,
    /// Stable kebab-case code; clients decide by it.
    pub code: String,
    /// One sentence that is the same for every occurrence of the code.
    pub title: String,
    /// This occurrence: what was wrong, where, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Problem {
    /// A problem without detail.
    pub fn new(status: u16, code: &str, title: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            title: title.to_owned(),
            detail: None,
        }
    }

    /// Adds what is particular to this occurrence.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}
