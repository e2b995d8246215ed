//! The crate against a real chain: anvil. Where that is missing, these tests are left out, in a line each.

#![allow(clippy::unwrap_used, reason = "tests")]

mod book;
mod cli;
mod deploy;
mod desk;
mod images;
mod nodes;
mod request;
mod slash;
mod subscribe;
mod support;
