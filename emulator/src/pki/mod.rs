//! The development PKI: five levels of certificates in AWS's shape, below a root of our own.
//!
//! | level | subject's common name | lives | made |
//! |---|---|---|---|
//! | root | `nacre-dev.nitro-enclaves` | 30 years | once, kept on disk ([`store`]) |
//! | regional | `<16 hex>.local-1.nacre-dev.nitro-enclaves` | 20 days | in memory |
//! | zonal | `<16 hex>.zonal.local-1.nacre-dev.nitro-enclaves` | 6 days | in memory |
//! | instance | `i-<17 hex>.local-1.nacre-dev.nitro-enclaves` | 1 day | in memory |
//! | leaf | `<module id>.local-1.nacre-dev` | 3 hours | in memory |
//!
//! Extensions, their order and criticality, the order and string types of the names' attributes,
//! serial lengths and how far validity reaches back follow what seventy of AWS's documents from
//! 2021 to 2026 show. What differs says so: the organisation is `Nacre`, the country `XX`, the
//! unit `DEVELOPMENT`, and the root's unit `DEVELOPMENT ROOT`.

mod certificate;
mod chain;
mod identity;
mod key;
pub mod levels;
mod root;
pub mod store;

pub use certificate::{
    Attribute, DistinguishedName, Extension, IssueError, Issuer, Template, Validity, usage,
};
pub use chain::Chain;
pub use identity::{IdentityError, InstanceIdentity};
pub use key::Key;
pub use root::Root;
