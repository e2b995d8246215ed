//! The words everyone in Nacre shares: identifiers, the identity statement, evidence, receipts, function bundles, and the
//! shapes of the APIs between the programs.
//!
//! Nothing here does I/O, reads a clock or draws randomness, so that the crate builds for every target that wants to
//! check an answer. Formats are DESIGN §3 and §5; each module names its own section.

pub mod api;
pub mod bundle;
pub mod chain_job;
pub mod control;
pub mod dice;
pub mod digest;
pub mod egress;
pub mod eip712;
pub mod encoding;
pub mod evidence;
pub mod identity;
pub mod ids;
pub mod job;
pub mod manifest;
pub mod merkle;
pub mod operator_consent;
pub mod problem;
pub mod receipt;
pub mod receipt_file;
pub mod sealed;
pub mod uptime;
pub mod usage;
pub mod verified_enclave;
pub mod verifier_api;
pub mod vsock;

/// Request header that names the function the caller means: `sha256:<64 hex digits>`.
pub const FUNCTION_HEADER: &str = "nacre-function";
/// Request and response header with the 32-byte salt of the receipt's hashes, base64url.
pub const SALT_HEADER: &str = "nacre-salt";
/// Response header that carries the receipt, base64url of deterministic CBOR.
pub const RECEIPT_HEADER: &str = "nacre-receipt";
/// Header of a job's result with the [job receipt](job::SignedJobReceipt), base64url of deterministic CBOR.
pub const JOB_RECEIPT_HEADER: &str = "nacre-job-receipt";
/// Header of a contract's job's result with the [chain result](chain_job::SignedChainResult), base64url of deterministic CBOR.
pub const CHAIN_RESULT_HEADER: &str = "nacre-chain-result";
/// KServe's header with the length of the JSON part of a body with binary tensors.
pub const INFERENCE_HEADER_LENGTH: &str = "inference-header-content-length";
/// Media type of tensors without a word around them: data in the model's order, little-endian, row major.
pub const TENSORS_TYPE: &str = "application/vnd.nacre.tensors";
/// Path of the evidence endpoint on the attested connection.
pub const ATTESTATION_PATH: &str = "/.well-known/nacre/attestation";
