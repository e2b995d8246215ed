//! Money over real sockets: nodes bring usage that their enclaves signed, and what it comes to is read from the API and from
//! the database itself, and audited.

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

mod asked;
mod audited;
mod booked;
mod capped;
mod invoiced;
mod paid;
mod priced;
mod random;
mod renewed;
mod site;

#[test]
fn the_same_holds_on_postgresql() {
    postgres::rerun("the_same_holds_on_postgresql");
}
