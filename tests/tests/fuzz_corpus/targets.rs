//! The fuzz targets' bodies.

#[path = "../../../fuzz/src/egress.rs"]
pub mod egress;
#[path = "../../../fuzz/src/emulator.rs"]
pub mod emulator;
#[path = "../../../fuzz/src/enclave.rs"]
pub mod enclave;
#[path = "../../../fuzz/src/gateway.rs"]
pub mod gateway;
#[path = "../../../fuzz/src/image.rs"]
pub mod image;
#[path = "../../../fuzz/src/jobs.rs"]
pub mod jobs;
#[path = "../../../fuzz/src/model.rs"]
pub mod model;
#[path = "../../../fuzz/src/protocol.rs"]
pub mod protocol;
#[path = "../../../fuzz/src/transport.rs"]
pub mod transport;
#[path = "../../../fuzz/src/vsock.rs"]
pub mod vsock;
