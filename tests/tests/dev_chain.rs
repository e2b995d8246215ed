//! `nacre dev --chain`: a contract asks for a digit, an enclave reads it, and the door opens or stays shut; a second start goes
//! on with the same chain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its setting fails"
)]

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use anyhow::{Context as _, ensure};
use nacre_chain::anvil;
use nacre_chain::contracts::risk_parameter::RiskParameter;
use nacre_chain::contracts::{EnclaveRegistry, JobRelay};
use nacre_chain::deployment::Name;
use nacre_protocol::digest::Digest;
use nacre_tests::dev_chain::{ARGUMENTS, DevChain, FEE, drawing};
use nacre_tests::platform::{Platform, Refusal, nacre, repository, wait_for};
use nacre_tests::processes::{command_line, descendants, is_running, signal};
use rustix::process::Signal;

/// Until a drawing is read again after something was killed.
const PATIENCE: Duration = Duration::from_secs(120);
/// From an answer until it counts, seconds.
const DELAY: u64 = 4;
/// Until everything of a platform has gone.
const GONE: Duration = Duration::from_secs(20);

/// Says in one line that a test is left out, where this machine has no anvil.
macro_rules! platform_or_leave {
    () => {
        match anvil::find() {
            Some(_) => Platform::start_with(&ARGUMENTS)?,
            None => {
                eprintln!("left out: anvil is not installed (make contracts)");
                return Ok(());
            }
        }
    };
}

#[test]
fn the_door_opens_for_the_right_digit_alone_and_a_second_start_remembers_it() -> anyhow::Result<()>
{
    let platform = platform_or_leave!();
    let chain = DevChain::of(&platform)?;
    let wanted = u8::try_from(chain.ready["wanted"].as_u64().context("no digit")?)?;
    ensure!(chain.ready["begun_anew"].is_null(), "there was no chain");

    let seen = chain.play(&drawing(3)?)?;
    assert_eq!((seen.digit, seen.won), (3, false));
    assert_eq!(chain.winner()?, Address::ZERO, "it stays shut");
    let seen = chain.play(&drawing(wanted)?)?;
    assert_eq!((seen.digit, seen.won), (wanted, true));
    assert_eq!(chain.winner()?, chain.user, "it opens");
    checks_out(&chain)?;
    let (gate, jobs) = (chain.address("digit_gate")?, jobs(&chain)?);
    assert_eq!(jobs, 2);
    drop(chain);

    let platform = platform.start_again_with(&ARGUMENTS)?;
    let chain = DevChain::of(&platform)?;
    ensure!(chain.ready["begun_anew"].is_null(), "the chain was lost");
    assert_eq!(chain.address("digit_gate")?, gate);
    assert_eq!(chain.winner()?, chain.user, "it remembers who won");
    let seen = chain.play(&drawing(5)?)?;
    assert_eq!((seen.digit, seen.won), (5, false));
    assert_eq!(self::jobs(&chain)?, 3);
    checks_out(&chain)?;
    platform.stop()
}

#[test]
fn whatever_is_killed_comes_back_or_goes_with_the_rest() -> anyhow::Result<()> {
    let platform = platform_or_leave!();
    let chain = DevChain::of(&platform)?;
    for program in ["anvil", "nacre-relay", "nacre-enclave"] {
        signal(the_only(&platform, program)?, Signal::KILL)?;
        let seen = wait_for("a drawing is read again", PATIENCE, || {
            chain.play(&drawing(3).ok()?).ok()
        })?;
        assert_eq!(seen.digit, 3, "after the end of {program}");
    }
    let family = descendants(platform.pid());
    ensure!(!family.is_empty(), "nothing runs");
    platform.signal(Signal::KILL)?;
    wait_for("all of it has gone", GONE, || {
        family.iter().all(|pid| !is_running(*pid)).then_some(())
    })?;

    let platform = platform.start_again_with(&ARGUMENTS)?;
    let again = DevChain::of(&platform)?;
    ensure!(again.ready["begun_anew"].is_null(), "the chain was lost");
    assert_eq!(again.play(&drawing(3)?)?.digit, 3);
    platform.stop()
}

#[test]
fn a_kept_chain_that_is_broken_is_replaced_and_that_is_said() -> anyhow::Result<()> {
    let platform = platform_or_leave!();
    let deployment = DevChain::of(&platform)?.ready["deployment"].clone();
    let deployment = std::path::PathBuf::from(deployment.as_str().context("no path")?);
    let state = deployment.with_file_name("state");
    ensure!(state.is_file(), "nothing was kept");
    let pid = platform.pid();
    platform.signal(Signal::TERM)?;
    wait_for("it leaves", GONE, || (!is_running(pid)).then_some(()))?;
    std::fs::write(&state, b"no chain")?;
    let platform = platform.start_again_with(&ARGUMENTS)?;
    let chain = DevChain::of(&platform)?;
    let reason = chain.ready["begun_anew"].as_str().unwrap_or_default();
    ensure!(reason.contains("state"), "{:?}", chain.ready);
    assert_eq!(chain.play(&drawing(3)?)?.digit, 3);
    platform.stop()
}

#[test]
fn without_anvil_it_says_what_to_run() -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    let mut command = nacre(home.path());
    command
        .args(["--json", "dev", "--chain", "--rpc-port", "0"])
        .args(["--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0"])
        .env(anvil::PROGRAM, home.path().join("no-anvil"));
    let refusal = Refusal::of(command)?;
    assert_eq!(refusal.is(), (2, "anvil-missing"));
    ensure!(refusal.message.contains("make contracts"), "{refusal:?}");
    Ok(())
}

/// A model acts on money only as far as the contract lets it: within bounds, by steps, after a delay.
#[test]
fn a_model_moves_a_parameter_within_bounds_by_steps_and_after_a_delay() -> anyhow::Result<()> {
    let platform = platform_or_leave!();
    let chain = DevChain::of(&platform)?;
    let digest = platform.deploy_example("haircut")?;
    let digest: Digest = digest.parse()?;
    let limits = RiskParameter::Limits {
        lowest: 500,
        highest: 1_400,
        step: 300,
        delay: DELAY.try_into()?,
    };
    let relay = chain.deployment()?.address(Name::JobRelay);
    let contract = chain.runtime.block_on(RiskParameter::deploy(
        &chain.provider,
        relay,
        B256::from(*digest.as_bytes()),
        chain.user,
        limits,
        1_000,
    ))?;
    let now = || {
        chain
            .runtime
            .block_on(contract.value().call().into_future())
    };
    // The model sees 24 hourly returns, here all of one size: what it says of them was found out with ONNX Runtime alone.
    for (size, said, before, after) in [
        (300, 3_815, 1_000, 1_300),
        (300, 3_815, 1_300, 1_400),
        (10, 172, 1_400, 1_100),
    ] {
        assert_eq!(now()?, before);
        let returns = (0..24).map(|hour: i16| if hour % 2 == 0 { size } else { -size });
        let returns: Vec<u8> = returns.flat_map(i16::to_le_bytes).collect();
        let call = contract.refresh(returns.into()).value(U256::from(FEE));
        let asked = chain
            .runtime
            .block_on(async { anyhow::Ok(call.send().await?.get_receipt().await?) })?;
        let from = asked.block_number.context("a receipt without a block")?;
        let proposed = wait_for("a proposal", PATIENCE, || {
            let filter = contract.Proposed_filter().from_block(from);
            let found = chain.runtime.block_on(filter.query().into_future());
            found.ok()?.into_iter().next()
        })?;
        let (proposed, log) = proposed;
        // Another processor may round to the next point.
        ensure!(
            proposed.asked.abs_diff(U256::from(said)) <= U256::from(1),
            "the model said {}",
            proposed.asked
        );
        assert_eq!(proposed.value, after, "within bounds and a step");
        let told = log.block_number.context("an event without a block")?;
        let at = |block: u64| {
            let value = contract.value().block(block.into());
            chain.runtime.block_on(value.call().into_future())
        };
        assert_eq!(at(told)?, before, "it does not count at once");
        let counts = chain.until(proposed.from.to())?;
        assert_eq!(at(counts - 1)?, before, "nor in the last block before that");
        assert_eq!(at(counts)?, after, "it counts after its delay");
    }
    platform.stop()
}

/// That the key which answered last is registered: for the staked operator, of the image that clients hold the node to, by the
/// verifier's word.
fn checks_out(chain: &DevChain) -> anyhow::Result<()> {
    let deployment = chain.deployment()?;
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &chain.provider);
    let registry = deployment.address(Name::EnclaveRegistry);
    let registry = EnclaveRegistry::new(registry, &chain.provider);
    chain.runtime.block_on(async {
        let answers = relay.Answered_filter().from_block(0).query().await?;
        let (answer, _) = answers.last().context("nothing was answered")?;
        let known = registry.workerOf(answer.key).call().await?;
        assert_eq!(known.operator, chain.address("operator")?);
        let verifier: Address = chain.ready["verifier"]["signer"]
            .as_str()
            .context("no signer")?
            .parse()?;
        assert_eq!(known.verifier, verifier);
        let operator = registry.workerOperator(answer.key, B256::ZERO);
        let operator = operator.call().await?;
        assert_eq!(operator, known.operator, "the key counts now");
        assert_eq!(answer.payee, chain.address("relay")?);
        let result = relay.resultOf(answer.jobId).call().await?;
        assert_eq!(result.status, 0);
        Ok(())
    })
}

fn jobs(chain: &DevChain) -> anyhow::Result<u64> {
    let deployment = chain.deployment()?;
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &chain.provider);
    let state = chain
        .runtime
        .block_on(relay.drawState().call().into_future())?;
    Ok(state.nonce)
}

/// The one process of this program below a platform.
fn the_only(platform: &Platform, program: &str) -> anyhow::Result<u32> {
    let mut family = descendants(platform.pid());
    family.retain(|pid| {
        let line = command_line(*pid);
        is_running(*pid)
            && line
                .first()
                .is_some_and(|name| name.rsplit('/').next() == Some(program))
    });
    ensure!(family.len() == 1, "{program}: {family:?}");
    Ok(family[0])
}

/// What a contract's author is shown is what is compiled, and the model that it names is the one beside it.
#[test]
fn the_contract_that_is_shown_is_the_one_that_runs() -> anyhow::Result<()> {
    let root = repository();
    let door = std::fs::read_to_string(root.join("examples/contract/Door.sol"))?;
    let begin = door.find("contract Door").context("no contract")?;
    let shown = format!("```solidity\n{}```", &door[begin..]);
    let beside = std::fs::read_to_string(root.join("examples/contract/README.md"))?;
    ensure!(beside.contains(&shown), "examples/contract/README.md");
    let readme = std::fs::read_to_string(root.join("README.md"))?;
    let blocks = readme.matches("```solidity").count();
    assert_eq!(readme.matches(&shown).count(), blocks, "README.md");

    let home = tempfile::tempdir()?;
    let digest = nacre(home.path())
        .arg("digest")
        .arg(root.join("examples/digit"))
        .output()?;
    let digest = String::from_utf8(digest.stdout)?;
    let digest = digest.trim().strip_prefix("sha256:").context("no digest")?;
    ensure!(
        door.contains(&format!("DIGIT = 0x{digest};")),
        "it is {digest}"
    );
    Ok(())
}
