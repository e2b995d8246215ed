//! `make bench`: the platform against bare ONNX Runtime in this process, side by side in one run.

pub mod bare;
pub mod load;
pub mod report;
pub mod samples;
