//! From enclaves to contracts on a real Ethereum node: receipt keys that a verifier vouched for, and watchers' words that
//! cost a dead node its stake.
//!
//! Platform, nodes, watchers and `nacre chain` are processes as their users start them; the verifier is its service under an
//! emulated secure module, because the program itself believes the root that it was built for and no other.

#![allow(clippy::unwrap_used, reason = "tests")]

mod accounts;
mod liar;
mod plan;
mod site;
mod uptime;
mod verifier;

use anyhow::{Context as _, ensure};
use nacre_protocol::eip712::EthAddress;

use site::Site;

/// Says in one line that a test is left out, where this machine has no anvil.
macro_rules! leave_without_anvil {
    () => {
        if nacre_chain::anvil::find().is_none() {
            eprintln!("left out: anvil is not installed (make contracts)");
            return Ok(());
        }
    };
}
pub(crate) use leave_without_anvil;

/// From nothing to a key that contracts take, and to its end. Whatever is wrong on the way costs the account nothing and has
/// a code.
#[test]
fn a_nodes_key_is_registered_prolonged_and_revoked() -> anyhow::Result<()> {
    leave_without_anvil!();
    let site = Site::start()?;
    site.block_a_second()?;
    let verifier = site.verifier(true)?;

    let offered = site.keys()?;
    let key: EthAddress = offered["key"].as_str().context("no key")?.parse()?;
    ensure!(
        offered["operator"] == site.operator.to_string(),
        "{offered}"
    );
    ensure!(
        site.standing()? == (false, false),
        "it is registered already"
    );

    // The chain knows neither image nor verifier: nothing is sent.
    ensure!(site.refused(&verifier)? == "not-verifier");
    site.approve_verifier(&verifier)?;
    ensure!(site.refused(&verifier)? == "image-unknown");
    site.approve_workers()?;
    // A verifier that believes another root gives no word for this document.
    let other = site.verifier(false)?;
    ensure!(site.refused(&other)? == "untrusted-root");
    // Another enclave at the verifier's address is found out before it is asked.
    ensure!(site.refused_by(&verifier, &other.policy)? == "untrusted-root");
    // Whose enclave a new key is in, only its operator knows: not named, it is left; named by somebody else, refused.
    let left = site.register(&verifier, &[])?;
    ensure!(left[0]["outcome"] == "not-named", "{left}");
    ensure!(site.refused_for_a_stranger(&verifier)? == "not-the-operator");
    ensure!(site.sent()? == 0, "a refused registration cost gas");

    let done = site.register(&verifier, &site.named()?)?;
    ensure!(done[0]["outcome"] == "registered", "{done}");
    ensure!(site.standing()? == (true, true));
    ensure!(site.worker_operator(key)? == site.operator);

    // A key that is valid for long is left alone, one that ends soon gets a new document.
    let again = site.register(&verifier, &[])?;
    ensure!(again[0]["outcome"] == "valid-already", "{again}");
    ensure!(site.sent()? == 1);
    let prolonged = site.register(&verifier, &["--before".into(), "999999999".into()])?;
    ensure!(prolonged[0]["outcome"] == "prolonged", "{prolonged}");
    ensure!(site.sent()? == 2);

    // The chain's time runs on, the document does not get younger.
    site.pass(3 * 86_400)?;
    ensure!(site.refused(&verifier)? == "document-time");

    let ended = site.revoke(key)?;
    ensure!(ended["key"] == key.to_string(), "{ended}");
    ensure!(site.standing()? == (true, false), "a revoked key counts");
    site.revoke_verifier(&verifier)?;
    ensure!(site.refused(&verifier)? == "verifier-is-revoked");
    ensure!(site.sent()? == 3);
    Ok(())
}
