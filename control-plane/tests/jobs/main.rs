//! Jobs over real sockets: callers lay them in, nodes with evidence from the NSM emulator take them, and what counts is read
//! from the database.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../it/postgres.rs"]
mod postgres;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "shared with the other tests of the API")]
mod support;

mod chain;
mod course;
mod hostile;
mod repeated;
mod signer;
mod site;
mod webhooks;

#[test]
fn the_same_holds_on_postgresql() {
    postgres::rerun("the_same_holds_on_postgresql");
}
