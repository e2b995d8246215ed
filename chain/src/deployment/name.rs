//! The contracts of a deployment, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is deployed, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Name {
    /// The stake's token, on development chains.
    DevToken,
    /// Stake.
    OperatorStaking,
    /// Enclaves' keys.
    EnclaveRegistry,
    /// Jobs.
    JobRelay,
    /// Nodes.
    NodeBook,
    /// Watchers' words.
    UptimeOracle,
    /// Jobs paid in advance.
    JobSubscriptions,
    /// Where the present version of each is.
    ContractDirectory,
}

impl Name {
    /// All, in the order in which they are deployed: whoever is named in a constructor comes before.
    pub const ALL: [Self; 8] = [
        Self::DevToken,
        Self::OperatorStaking,
        Self::EnclaveRegistry,
        Self::JobRelay,
        Self::NodeBook,
        Self::UptimeOracle,
        Self::JobSubscriptions,
        Self::ContractDirectory,
    ];
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
