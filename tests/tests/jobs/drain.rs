//! A node that is to stop.

use std::net::TcpStream;

use anyhow::ensure;
use nacre_protocol::api::jobs::{CreateJob, Job, JobState};
use nacre_tests::platform::wait_for;
use nacre_tests::processes::{Part, signal};
use rustix::process::Signal;

use crate::site::{PATIENCE, Site};

#[test]
fn a_node_that_drains_finishes_the_jobs_that_it_has_and_takes_no_more() -> anyhow::Result<()> {
    let site = Site::start()?;
    // Held, so that jobs are surely in the middle of it.
    let enclave = site.platform.pid_of(Part::Enclave)?;
    signal(enclave, Signal::STOP)?;
    let jobs: Vec<CreateJob> = (0..3)
        .map(|_| site.job(300))
        .collect::<anyhow::Result<_>>()?;
    for job in &jobs[..2] {
        site.submit(job)?;
        site.until(&job.id, "it is running", |job| {
            job.state == JobState::Running
        })?;
    }
    let node = site.platform.pid_of(Part::Node)?;
    signal(node, Signal::TERM)?;
    let address = site.platform.ready("node").to_owned();
    let drains = || TcpStream::connect(&address).is_err().then_some(());
    wait_for("it takes no more connections", PATIENCE, drains)?;
    site.submit(&jobs[2])?;
    signal(enclave, Signal::CONT)?;

    let done = |job: &CreateJob| -> anyhow::Result<Job> {
        let done = site.until(&job.id, "it is done", |job| job.state.is_final())?;
        ensure!(
            (done.state, done.attempts) == (JobState::Done, 1),
            "{done:?}"
        );
        site.check_result(&job.id)?;
        Ok(done)
    };
    let by = |job: Job| job.result.map(|result| result.boot_id);
    let (first, second) = (by(done(&jobs[0])?), by(done(&jobs[1])?));
    // The third waited for the node that `nacre dev` started in its place.
    let third = by(done(&jobs[2])?);
    ensure!(first.is_some() && first == second, "{first:?} {second:?}");
    ensure!(third.is_some() && third != first, "{third:?}");
    Ok(())
}
