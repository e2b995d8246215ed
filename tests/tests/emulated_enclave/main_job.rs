//! Deploy, attest, call, check: the developer's day, against the booted image.

use std::time::Duration;

use anyhow::ensure;
use nacre_client::AttestedConnection;
use nacre_tests::examples::Example;
use nacre_tests::image::word;
use nacre_tests::platform::wait_for;
use nacre_tests::processes::{descendants, is_running};

use crate::site::Site;

/// An emulated processor is slow.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn models_are_deployed_and_called_with_a_policy_made_from_the_image() -> anyhow::Result<()> {
    let Some(site) = Site::start(&[])? else {
        return Ok(());
    };
    let platform = &site.platform;
    let examples = [
        Example::load("iris-network")?,
        Example::load("lenet-mnist")?,
    ];
    for example in &examples {
        let digest = platform.deploy_example(&example.name)?;
        site.answers(example, &digest)?;
    }

    let (endpoint, trust) = (site.node()?.to_string().parse()?, site.trust()?);
    let open = AttestedConnection::open(&endpoint, &trust, PATIENCE);
    let connection = site.runtime.block_on(open)?;
    let measured = platform.json(&["image", "measure", &word(&site.image)])?;
    let measured = &measured["measurements"];
    let found = connection.enclave().trusted().evidence().pcrs();
    for (index, name) in [(0, "pcr0"), (1, "pcr1"), (2, "pcr2")] {
        let pcr = found
            .get(&index)
            .map(ToString::to_string)
            .unwrap_or_default();
        ensure!(measured[name] == pcr.as_str(), "{name}: {pcr}, {measured}");
    }

    let folder = tempfile::tempdir()?;
    let policy = folder.path().join("policy.json");
    std::fs::write(&policy, site.policy()?)?;
    let input = word(&examples[0].request_file);
    let call = ["invoke", "iris-network", "--input", &input];
    let receipt = word(&folder.path().join("receipt.json"));
    let answer = word(&folder.path().join("answer.json"));
    let kept = [
        "--policy",
        &word(&policy),
        "--receipt",
        &receipt,
        "--output",
        &answer,
    ];
    platform.text(&[&call[..], &kept[..]].concat())?;
    let check = [
        "receipt",
        "verify",
        &receipt,
        "--request",
        &input,
        "--response",
        &answer,
    ];
    platform.text(&[&check[..], &["--policy", &word(&policy)]].concat())?;

    // One bit of one register, and AWS's root instead of this machine's.
    let mut other: serde_json::Value = serde_json::from_slice(&site.policy()?)?;
    other["measurements"][0]["pcr2"] = "ab".repeat(48).into();
    std::fs::write(&policy, other.to_string())?;
    let refused = platform.refusal(&[&call[..], &["--policy", &word(&policy)]].concat())?;
    ensure!(refused.exit == 14, "{refused:?}");
    let refused = platform.refusal(&[&call[..], &["--root", "aws"]].concat())?;
    ensure!(refused.exit == 11, "{refused:?}");

    let family = descendants(platform.pid());
    site.platform.stop()?;
    wait_for("nothing is left", PATIENCE, || {
        family.iter().all(|pid| !is_running(*pid)).then_some(())
    })
}

/// The memory floor: an enclave of 256 MiB holds the system, the runtime and both models.
#[test]
fn a_small_enclave_holds_two_models() -> anyhow::Result<()> {
    let Some(site) = Site::start(&["--memory", "256MiB"])? else {
        return Ok(());
    };
    for name in ["iris-network", "lenet-mnist"] {
        let example = Example::load(name)?;
        let digest = site.platform.deploy_example(name)?;
        site.answers(&example, &digest)?;
    }
    site.platform.stop()
}
