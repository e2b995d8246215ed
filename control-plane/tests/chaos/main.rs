//! SIGKILL beside every step of a job, hundreds of times, and what the database then says.
//!
//! Control planes run in processes of their own. Callers lay jobs in of every kind of course; nodes run them, fail, fall silent,
//! come late and lie; a receiver takes webhooks, and refuses some. Meanwhile one process after the other dies: at a failpoint
//! that a seed picks, or at any moment. At the end the database and the object store are read and held against what
//! everybody was told ([`invariants`]); logs count for nothing.
//!
//! `NACRE_CHAOS_KILLS` and `NACRE_CHAOS_SEED` say how many kills and which; `make chaos` is the long form, in which every
//! failpoint must have killed somebody.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

#[path = "../it/postgres.rs"]
mod postgres;
#[path = "../jobs/signer.rs"]
#[allow(dead_code, reason = "shared with the tests of jobs")]
mod signer;
#[path = "../it/support.rs"]
#[allow(dead_code, reason = "shared with the other tests of the API")]
mod support;

mod callers;
mod deck;
mod fleet;
mod hooks;
mod invariants;
mod kept;
mod nodes;
mod planted;
mod report;
mod run;
mod site;

#[test]
fn one_control_plane_on_sqlite_killed_at_every_step_settles_each_job_once() {
    run::run("one control plane on SQLite", None, 1);
}

#[test]
fn three_control_planes_on_one_postgresql_killed_at_every_step_settle_each_job_once() {
    let Some(postgres) = postgres::Server::start() else {
        return;
    };
    let database = postgres.create_database();
    run::run("three control planes on one PostgreSQL", Some(database), 3);
}
