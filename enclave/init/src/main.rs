//! The first process inside the enclave.

fn main() {}
