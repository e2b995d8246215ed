//! Shapes of the API for API keys: who may do what, until when.
//!
//! | request | answer |
//! |---|---|
//! | `POST /v1/keys` with [`CreateKey`] | 201 [`IssuedKey`] |
//! | `GET /v1/keys?after={cursor}` | a page of [`ApiKey`] |
//! | `GET /v1/keys/{id}` | [`ApiKey`] |
//! | `POST /v1/keys/{id}/rotate` with [`RotateKey`] | 200 [`IssuedKey`]: the same key, a new secret |
//! | `DELETE /v1/keys/{id}` | 204: refused from now on |

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::OrganisationName;

/// What a key may be used for: within its organisation, or as a gateway of the whole platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Look at functions, deployments, logs and blobs.
    #[serde(rename = "functions:read")]
    FunctionsRead,
    /// Upload blobs, make versions, deploy and delete functions.
    #[serde(rename = "functions:write")]
    FunctionsWrite,
    /// Lay in, look at and cancel jobs.
    #[serde(rename = "jobs")]
    Jobs,
    /// Register nodes for the organisation, and look at what concerns its nodes.
    #[serde(rename = "nodes")]
    Nodes,
    /// Look at usage, caps, invoices and payouts, set caps, and ask for payouts.
    #[serde(rename = "billing")]
    Billing,
    /// Make, rotate and revoke the organisation's keys, and read its audit log.
    #[serde(rename = "admin")]
    Admin,
    /// Read the routes of all organisations' functions, and say who waits for one of them: for the platform's gateways. A key
    /// with it belongs to no organisation and has no other scope; it is made at the database only.
    #[serde(rename = "gateway")]
    Gateway,
}

impl Scope {
    /// All that a key of an organisation may have.
    pub const OF_ORGANISATIONS: [Self; 6] = [
        Self::FunctionsRead,
        Self::FunctionsWrite,
        Self::Jobs,
        Self::Nodes,
        Self::Billing,
        Self::Admin,
    ];

    /// All there are.
    pub const ALL: [Self; 7] = {
        let [a, b, c, d, e, f] = Self::OF_ORGANISATIONS;
        [a, b, c, d, e, f, Self::Gateway]
    };

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FunctionsRead => "functions:read",
            Self::FunctionsWrite => "functions:write",
            Self::Jobs => "jobs",
            Self::Nodes => "nodes",
            Self::Billing => "billing",
            Self::Admin => "admin",
            Self::Gateway => "gateway",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of functions:read, functions:write, jobs, nodes, billing, admin, gateway")]
pub struct NoSuchScope(String);

impl FromStr for Scope {
    type Err = NoSuchScope;

    fn from_str(text: &str) -> Result<Self, NoSuchScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == text);
        found.ok_or_else(|| NoSuchScope(text.chars().take(40).collect()))
    }
}

/// A key as it is listed; its secret is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// The 16 hex digits after `nacre_`.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Whose things it opens. Absent: it is the platform's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub organisation: Option<OrganisationName>,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// Unix milliseconds.
    pub created_ms: u64,
    /// From when on it is refused, Unix milliseconds. Absent: never by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When it got its present secret, if it was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_ms: Option<u64>,
    /// Until when the secret before the last rotation is taken too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_until_ms: Option<u64>,
    /// Since when it is refused because somebody revoked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// `POST /v1/keys`: a key of the caller's own organisation, with no scope that the caller's key lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateKey {
    /// What it is for: 1 to 100 printable characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    /// What it may be used for; at least one, and not `gateway`, which is the platform's to give.
    #[cfg_attr(feature = "openapi", schema(min_items = 1))]
    pub scopes: BTreeSet<Scope>,
    /// From when on it is refused, Unix milliseconds. Absent: never by itself, or when the caller's key expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// `POST /v1/keys/{id}/rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RotateKey {
    /// How long the former secret is taken too, milliseconds, at most 30 days. Absent: one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 2_592_000_000u64))]
    pub grace_ms: Option<u64>,
}

/// A key with its secret: shown now or never.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IssuedKey {
    /// The whole key: `nacre_<id>_<secret>`. Secret.
    pub key: String,
    /// What it is.
    #[serde(flatten)]
    pub about: ApiKey,
}

impl fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedKey")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}
