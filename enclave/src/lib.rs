//! nacre-enclave

pub mod kserve;
pub mod tensor;
pub mod worker;
pub mod workers;
