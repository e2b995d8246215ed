//! The fuzz targets' bodies.

#[path = "../../../fuzz/src/emulator.rs"]
pub mod emulator;
#[path = "../../../fuzz/src/enclave.rs"]
pub mod enclave;
#[path = "../../../fuzz/src/protocol.rs"]
pub mod protocol;
#[path = "../../../fuzz/src/transport.rs"]
pub mod transport;
