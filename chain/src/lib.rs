//! Nacre's contracts from Rust: bindings, deployment, transactions (DESIGN §7).
