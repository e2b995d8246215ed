//! The host does to the booted image what the tests of the hostile parent do to the programs, as far as it is another
//! matter with a kernel, a vsock and a secure module in between.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;
use nacre_tests::examples::Example;
use nacre_tests::hostile_wire::{Change, Fault, HostileWire, Way};
use nacre_tests::traffic::Outcome;

use crate::site::Site;

/// A damaged call may hang for as long as this.
const SHORT: Duration = Duration::from_secs(5);

#[test]
fn no_change_of_bytes_is_accepted_and_a_crowd_leaves_nothing_behind() -> anyhow::Result<()> {
    let Some(site) = Site::start(&[])? else {
        return Ok(());
    };
    let example = Example::load("iris-network")?;
    let digest = site.platform.deploy_example(&example.name)?;
    site.answers(&example, &digest)?;
    let wire = site.runtime.block_on(HostileWire::start(site.node()?))?;
    let changes = [
        (Way::In, 40, Change::Flip),
        (Way::In, 350, Change::Duplicate(64)),
        (Way::In, 420, Change::Cut),
        (Way::Out, 200, Change::Flip),
        (Way::Out, 2_000, Change::Inject(32)),
        (Way::Out, 3_000, Change::Swap(16)),
        (Way::Out, 1_500, Change::Truncate),
    ];
    for (way, at, change) in changes {
        let fault = Fault { way, at, change };
        wire.set(Some(fault));
        let outcome = site.call(&example, &digest, wire.address(), SHORT)?;
        ensure!(
            matches!(outcome, Outcome::Failed(_)),
            "{fault:?}: {outcome:?}"
        );
    }
    wire.set(None);
    let node = site.node()?;
    for _ in 0..1_000 {
        drop(TcpStream::connect(node)?);
    }
    let machine = site.machine()?;
    site.answers_within(&example, &digest, Duration::from_secs(60))?;
    ensure!(site.machine()? == machine, "the enclave died of it");
    site.platform.stop()
}
