//! The machine dies, or hangs: another one is booted, and its functions are back.

use std::time::Duration;

use anyhow::ensure;
use nacre_tests::examples::Example;
use nacre_tests::platform::wait_for;
use nacre_tests::processes::{is_running, signal};
use rustix::process::Signal;

use crate::site::Site;

/// Boot, registration, load, and a slow machine.
const BACK_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn a_killed_machine_is_replaced_and_a_hung_one_as_well() -> anyhow::Result<()> {
    let Some(site) = Site::start(&["--hung-after", "4s"])? else {
        return Ok(());
    };
    let example = Example::load("iris-network")?;
    let digest = site.platform.deploy_example(&example.name)?;
    site.answers(&example, &digest)?;

    for how in [Signal::KILL, Signal::STOP] {
        let machine = site.machine()?;
        signal(machine, how)?;
        wait_for("the machine is gone", BACK_WITHIN, || {
            (!is_running(machine)).then_some(())
        })?;
        let back = site.answers_within(&example, &digest, BACK_WITHIN)?;
        println!("right answers again {back:?} after the machine was gone ({how:?})");
        ensure!(site.machine()? != machine);
    }
    site.platform.stop()
}
