//! The routes: which nodes answer for which function.
//!
//! One shape for both sources and for what is kept on disk, written in TOML:
//!
//! ```toml
//! [[functions.iris]]
//! digest = "sha256:…"                # optional, for people
//! weight = 9                         # 1 unless given; a version with 0 gets no connection
//! nodes = ["192.0.2.1:8443", "node-7.example.org:8443"]
//!
//! [[functions.iris]]                 # a canary: one connection in ten
//! nodes = ["192.0.2.9:8443"]
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use nacre_protocol::api::market::{FunctionRoutes, RouteNode};
use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use nacre_transport::Address;
use serde::{Deserialize, Serialize};

/// Bytes of a table as text, at most.
pub const MAX_TABLE: usize = 64 << 20;
/// Versions of one function at once.
const MAX_VERSIONS: usize = 16;
/// Nodes of one version.
const MAX_NODES: usize = 1024;

/// All routes at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The versions of each function that callers may reach; none of them: none can be reached now.
    #[serde(default)]
    pub functions: BTreeMap<FunctionName, Vec<Version>>,
}

/// One version of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Its digest, if the source says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Its share of new connections, beside those of the other versions.
    #[serde(default = "one")]
    pub weight: u32,
    /// Where it runs.
    pub nodes: Vec<NodeAddress>,
}

fn one() -> u32 {
    1
}

/// Where a node takes callers: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeAddress(String);

/// Why a text is no table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// No TOML, or not this shape.
    #[error("routes-syntax: {0}")]
    Syntax(#[from] toml::de::Error),
    /// No UTF-8.
    #[error("routes-not-text: the routes are no UTF-8")]
    NotText,
    /// Above a bound.
    #[error("routes-too-large: {0}")]
    TooLarge(String),
}

impl TableError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "routes-syntax",
            Self::NotText => "routes-not-text",
            Self::TooLarge(_) => "routes-too-large",
        }
    }
}

impl Table {
    /// Reads TOML.
    pub fn from_toml(bytes: &[u8]) -> Result<Self, TableError> {
        if bytes.len() > MAX_TABLE {
            return Err(TableError::TooLarge(format!("more than {MAX_TABLE} bytes")));
        }
        let text = str::from_utf8(bytes).map_err(|_| TableError::NotText)?;
        let table: Self = toml::from_str(text)?;
        for (name, versions) in &table.functions {
            if versions.len() > MAX_VERSIONS {
                let what = format!("{name} has more than {MAX_VERSIONS} versions");
                return Err(TableError::TooLarge(what));
            }
            if versions.iter().any(|v| v.nodes.len() > MAX_NODES) {
                let what = format!("a version of {name} has more than {MAX_NODES} nodes");
                return Err(TableError::TooLarge(what));
            }
        }
        Ok(table)
    }

    /// The same as text.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// What the control plane says: functions that are deployed, with the versions that answer for each.
    pub fn of(functions: &[FunctionRoutes]) -> Self {
        let routed = functions.iter().map(|function| {
            let answers = function.routes.iter().any(|route| route.weight > 0);
            let versions = function
                .routes
                .iter()
                .take(MAX_VERSIONS)
                .map(|route| Version {
                    digest: Some(route.digest),
                    // Where the control plane hears of nobody, those who answered last may be cut off from it alone.
                    weight: if answers { route.weight } else { 1 },
                    nodes: route
                        .nodes
                        .iter()
                        .filter_map(address)
                        .take(MAX_NODES)
                        .collect(),
                });
            (function.function.clone(), versions.collect())
        });
        Self {
            functions: routed.collect(),
        }
    }
}

/// An operator's word: one that makes no sense costs only its own node its callers.
fn address(node: &RouteNode) -> Option<NodeAddress> {
    let address = node.endpoint.parse();
    if address.is_err() {
        tracing::warn!(node = %node.node, endpoint = node.endpoint, "not an address: left out");
    }
    address.ok()
}

impl NodeAddress {
    /// The address to connect to.
    pub fn address(&self) -> Result<Address, nacre_transport::AddressSyntaxError> {
        format!("tcp://{}", self.0).parse()
    }
}

/// A text that is no [`NodeAddress`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not where a node can be: host:port, with a port above 0")]
pub struct NodeAddressError(String);

impl FromStr for NodeAddress {
    type Err = NodeAddressError;

    fn from_str(text: &str) -> Result<Self, NodeAddressError> {
        match format!("tcp://{text}").parse() {
            Ok(Address::Tcp { port: 1.., .. }) => Ok(Self(text.to_owned())),
            _ => Err(NodeAddressError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for NodeAddress {
    type Error = NodeAddressError;

    fn try_from(text: String) -> Result<Self, NodeAddressError> {
        text.parse()
    }
}

impl From<NodeAddress> for String {
    fn from(address: NodeAddress) -> Self {
        address.0
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
