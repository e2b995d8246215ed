//! SIGKILL in the middle of jobs: each is settled once, with the right answer.

use anyhow::ensure;
use nacre_protocol::api::jobs::{CreateJob, JobState};
use nacre_tests::processes::{Part, signal};
use rustix::process::Signal;

use crate::site::Site;

/// Jobs that are under way.
const JOBS: usize = 12;

#[test]
fn a_killed_enclave_loses_no_job_and_ends_none_twice() -> anyhow::Result<()> {
    kill_amid_jobs(&[Part::Enclave])
}

#[test]
fn a_killed_node_loses_no_job_and_ends_none_twice() -> anyhow::Result<()> {
    kill_amid_jobs(&[Part::Node])
}

#[test]
fn a_killed_control_plane_loses_no_job_and_ends_none_twice() -> anyhow::Result<()> {
    kill_amid_jobs(&[Part::ControlPlane])
}

#[test]
fn everything_killed_at_once_loses_no_job_and_ends_none_twice() -> anyhow::Result<()> {
    kill_amid_jobs(&[Part::ControlPlane, Part::Enclave, Part::Node])
}

/// Holds the enclave, so that jobs are surely in the middle of it, and kills.
fn kill_amid_jobs(parts: &[Part]) -> anyhow::Result<()> {
    let site = Site::start()?;
    let enclave = site.platform.pid_of(Part::Enclave)?;
    signal(enclave, Signal::STOP)?;
    let jobs: Vec<CreateJob> = (0..JOBS)
        .map(|_| site.job(300))
        .collect::<anyhow::Result<_>>()?;
    for job in &jobs {
        site.submit(job)?;
    }
    site.until(&jobs[0].id, "the first is running", |job| {
        job.state == JobState::Running
    })?;
    let victims: Vec<u32> = parts
        .iter()
        .map(|part| site.platform.pid_of(*part))
        .collect::<anyhow::Result<_>>()?;
    for victim in victims {
        signal(victim, Signal::KILL)?;
    }
    // It may be gone already.
    let _ = signal(enclave, Signal::CONT);
    // Whoever does not know what became of a submission sends it again.
    for job in &jobs {
        site.submit(job)?;
    }
    for job in &jobs {
        let done = site.until(&job.id, "a job is done", |job| job.state.is_final())?;
        ensure!(done.state == JobState::Done, "{done:?}");
        site.check_result(&job.id)?;
    }
    let expected = i64::try_from(JOBS)?;
    for (sql, wanted) in [
        ("SELECT COUNT(*) FROM jobs", expected),
        ("SELECT COUNT(*) FROM job_settlements", expected),
        (
            "SELECT COUNT(*) FROM job_settlements WHERE ending = 'done'",
            expected,
        ),
        (
            "SELECT COUNT(*) FROM job_attempts WHERE outcome = 'done'",
            expected,
        ),
        ("SELECT COUNT(*) FROM incidents", 0),
    ] {
        let got = site.count(sql)?;
        ensure!(got == wanted, "{sql}: {got}, not {wanted}");
    }
    Ok(())
}
