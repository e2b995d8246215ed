//! What the host can say of the time, and what it can keep from the enclave: callers refuse what is dated wrongly, are
//! told what is missing, and are served when it is over, by the same boot.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nacre_attestation_verifier::ResultCode;
use nacre_client::{AttestedConnection, ClientError};
use nacre_tests::examples::Example;
use nacre_tests::image::word;
use nacre_tests::platform::wait_for;
use nacre_tests::traffic::Outcome;

use crate::site::Site;

const CLOCK_BACK: &str = "[[fault]]\nkind = \"clock-step\"\nby = \"-1h\"\n";
const CLOCK_FORWARD: &str = "[[fault]]\nkind = \"clock-step\"\nby = \"1h\"\n";
const MODULE_FAILS: &str = "[[fault]]\nkind = \"nsm-error\"\ncode = \"InternalError\"\n";
/// Until a change of the faults shows; an emulated processor is slow.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);
/// A module that does not answer keeps a caller waiting for as long as this.
const SHORT: Duration = Duration::from_secs(5);

#[test]
fn a_stepped_clock_and_a_module_that_fails_deceive_nobody() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let faults = folder.path().join("faults.toml");
    std::fs::write(&faults, "")?;
    let Some(site) = Site::start(&["--faults", &word(&faults)])? else {
        return Ok(());
    };
    let example = Example::load("iris-network")?;
    let digest = site.platform.deploy_example(&example.name)?;
    site.answers(&example, &digest)?;
    let machine = site.machine()?;
    for (fault, refused) in [
        (CLOCK_BACK, ResultCode::Time),
        // There is no document at all.
        (MODULE_FAILS, ResultCode::Malformed),
    ] {
        site.is_refused(&faults, fault, refused)?;
        put(&faults, "")?;
        wait_for("an enclave to trust again", SHOWS_WITHIN, || {
            site.open().ok()?.ok()
        })?;
        site.answers(&example, &digest)?;
    }
    // Signed time never runs backwards: an enclave that was once in the future signs nothing until that time has come.
    site.is_refused(&faults, CLOCK_FORWARD, ResultCode::Time)?;
    put(&faults, "")?;
    wait_for("true evidence", SHOWS_WITHIN, || site.open().ok()?.ok())?;
    match site.call(&example, &digest, site.node()?, SHORT)? {
        Outcome::Failed(why) => ensure!(why.contains("clock-unavailable"), "{why}"),
        other => anyhow::bail!("signed in an hour that is over: {other:?}"),
    }
    ensure!(site.machine()? == machine, "the enclave died of it");
    site.platform.stop()
}

impl Site {
    /// With this fault in force, new connections are refused for this reason, as soon as it shows.
    fn is_refused(&self, faults: &Path, fault: &str, wanted: ResultCode) -> anyhow::Result<()> {
        put(faults, fault)?;
        let mut last = None;
        let refused = wait_for(fault, SHOWS_WITHIN, || {
            last = self.open().ok()?.err();
            let code = last.as_ref()?.result_code()?;
            (code == wanted).then_some(())
        });
        refused.with_context(|| format!("the last was {last:?}"))
    }

    /// What a caller finds who opens a connection now.
    fn open(&self) -> anyhow::Result<Result<AttestedConnection, ClientError>> {
        let (endpoint, trust) = (self.node()?.to_string().parse()?, self.trust()?);
        let open = AttestedConnection::open(&endpoint, &trust, SHORT);
        Ok(self.runtime.block_on(open))
    }
}

/// Replaces the file as a whole: it is read again whenever it changes.
fn put(file: &Path, text: &str) -> anyhow::Result<()> {
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    Ok(std::fs::rename(new, file)?)
}
