//! nacre-enclave

pub mod tensor;
