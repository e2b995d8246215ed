//! Attested connections: nothing is sent to an enclave before its evidence satisfies the caller's policy.
//!
//! The order of a connection is DESIGN §3.2: TLS 1.3 handshake, one request for evidence that is bound to this very
//! connection, appraisal against roots and policy, and only then the caller's requests. Each request names the function
//! digest it is meant for, and each answer's receipt is checked against it, so that neither the host nor the control
//! plane can swap the model.
//!
//! - [`Trust`] says what the caller trusts: roots, measurement policy.
//! - [`AttestedConnection`] is one connection that passed.
//! - [`AttestedClient`] keeps a pool of them over several endpoints of one function.
//! - [`KserveClient`] speaks the Open Inference Protocol v2 over it.
//! - [`proxy`] lets unmodified HTTP clients call functions over it.
//! - [`sealed`] seals jobs to attested enclaves, and opens and checks their results.
//! - [`verify_receipt_file`] checks a kept receipt off line.

mod appraisal;
mod body;
mod checked;
mod connection;
mod error;
mod kserve;
mod offline;
mod pool;
pub mod proxy;
pub mod sealed;
mod tls;
mod trust;

pub use appraisal::{AttestedEnclave, ChannelBinding, appraise};
pub use checked::{CheckedResponse, Proof};
pub use connection::{AttestedConnection, Endpoint};
pub use error::ClientError;
pub use kserve::{InferInput, InferOutput, KserveClient, KserveError};
pub use offline::{ReceiptFileError, VerifiedReceipt, verify_receipt_file};
pub use pool::{AttestedClient, ClientOptions};
pub use trust::Trust;
