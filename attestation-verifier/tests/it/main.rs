//! The verifier, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod adversarial;
mod builder;
mod corpus;
mod fuzz_replay;
mod manual;
mod properties;
mod rules;
mod verifier;
