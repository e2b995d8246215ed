//! Shapes of the audit log: `GET /v1/audit?after={cursor}` gives a page of [`AuditEntry`], the latest first.

use serde::{Deserialize, Serialize};

/// What a key did, or was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Its id.
    pub id: String,
    /// Unix milliseconds at which it was answered.
    pub at_ms: u64,
    /// Who: the id of the key that was shown; of what is done at the database, the key that it was done with.
    pub key: String,
    /// What: the operation's id in the OpenAPI document; `authenticate` where the key was refused as such.
    pub action: String,
    /// The request's method; empty at the database.
    pub method: String,
    /// The request's path; empty at the database.
    pub path: String,
    /// From where: the caller's address, or the one that the TLS proxy in front names; or `database`.
    pub address: String,
    /// What it was answered.
    #[cfg_attr(feature = "openapi", schema(minimum = 100, maximum = 599))]
    pub status: u16,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}
