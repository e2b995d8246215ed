//! Connections without end.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::ensure;
use nacre_tests::platform::wait_for;
use nacre_tests::processes::Part;

use crate::site::Site;

/// Connections one after the other, half of them to the control channel. What each of them left behind would show a
/// thousand times over. `NACRE_CROWD=1000000` takes minutes.
const CONNECTIONS: usize = 40_000;
/// Connections of the control channel that are open at once.
const AT_ONCE: usize = 1_000;
/// How long the enclave may take to clear up.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn connections_without_end_leave_nothing_behind() -> anyhow::Result<()> {
    let site = Site::start()?;
    site.serves_as_before()?;
    let enclave = site.platform.pid_of(Part::Enclave)?;
    let before = open_files(enclave)?;
    let (node, control) = (site.node()?, site.control()?);
    let pairs = connections()? / 2;
    let mut refused = 0;
    for _ in 0..pairs {
        // Who is in such a hurry may be turned away; the rest is taken.
        refused += usize::from(TcpStream::connect(node).is_err());
        drop(UnixStream::connect(&control)?);
    }
    ensure!(refused <= pairs / 100, "{refused} of {pairs} were refused");
    wait_for("as many open files as before", PATIENCE, || {
        (open_files(enclave).ok()? <= before + 2).then_some(())
    })?;
    site.serves_as_before()
}

/// The host holds on to every connection of its control channel that it can get: callers do not notice.
#[test]
fn a_crowd_on_the_control_channel_is_in_nobodys_way() -> anyhow::Result<()> {
    let site = Site::start()?;
    let control = site.control()?;
    let mut crowd = Vec::new();
    while crowd.len() < AT_ONCE {
        let stream = UnixStream::connect(&control)?;
        stream.set_nonblocking(true)?;
        crowd.push(stream);
    }
    let caller = site.call(site.node()?)?;
    ensure!(caller == nacre_tests::traffic::Outcome::Right, "{caller:?}");
    drop(crowd);
    site.serves_as_before()
}

fn connections() -> anyhow::Result<usize> {
    match std::env::var("NACRE_CROWD") {
        Ok(wanted) => Ok(wanted.parse()?),
        Err(_) => Ok(CONNECTIONS),
    }
}

fn open_files(pid: u32) -> anyhow::Result<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}
