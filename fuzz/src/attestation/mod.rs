//! The attestation verifier: envelopes, payloads, certificates and policies as raw bytes; whole documents raw, and made to
//! order and signed again; and the same bytes to every backend.

mod accepted;
mod differential;
pub mod forge;
mod policy;
mod raw;
mod signed;

pub use differential::differential;
pub use policy::policy;
pub use raw::{certificate, document, envelope, payload};
pub use signed::{Verdict, broken_rules, has_edits, signed_document};
