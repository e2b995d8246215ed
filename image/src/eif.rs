//! The Enclave Image Format, version 4.
