//! The relay is killed beside every step that must count once: nothing is lost, and nothing is paid for twice.

use std::time::Duration;

use anyhow::ensure;
use nacre_failpoint::{HIT, NEXT, Point, Process};
use nacre_tests::platform::wait_for;

use crate::net::{Net, ONE};
use crate::net_or_leave;
use crate::site::{Asked, Site};

#[test]
fn whatever_step_it_dies_at_each_job_is_answered_and_paid_for_once() -> anyhow::Result<()> {
    let site = Site::start(net_or_leave!())?;
    let folder = site.dir.path().join("failpoints");
    std::fs::create_dir(&folder)?;
    let mut asked = Vec::new();
    for point in Point::of(Process::Relay) {
        std::fs::write(folder.join(NEXT), point.to_string())?;
        let mut relay = site.plan("one", ONE)?.mortal(&folder).start()?;
        let job = site.ask(Asked::default())?;
        wait_for("it dies", Duration::from_secs(60), || {
            match relay.has_left() {
                Ok(false) => None,
                left => Some(left),
            }
        })??;
        ensure!(
            std::fs::remove_file(folder.join(HIT)).is_ok(),
            "{point} was not reached"
        );
        let again = site.relay("one", &[])?;
        site.answer(&job)?;
        again.stop()?;
        asked.push(job);
    }
    for job in &asked {
        assert_eq!(site.told(job)?.len(), 1);
    }
    assert_eq!(
        site.transactions(ONE)?,
        asked.len() as u64,
        "one transaction a job"
    );
    Ok(())
}
