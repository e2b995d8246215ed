//! SIGKILL to any part in the middle of load: service is back within five seconds, functions come back by themselves,
//! and no answer is ever wrong.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedClient, ClientOptions};
use nacre_tests::examples::Example;
use nacre_tests::platform::{Platform, Service, wait_for};
use nacre_tests::processes::{Part, descendants, is_running, signal};
use nacre_tests::traffic::{Lane, Traffic};
use rustix::process::Signal;

const BACK_WITHIN: Duration = Duration::from_secs(5);
/// After it nothing of a platform whose `nacre dev` was killed runs any more.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How long callers may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(15);
/// Right answers on each lane before something is killed, and after it.
const STEADY: usize = 25;

#[test]
fn a_killed_worker_takes_nobody_with_it() -> anyhow::Result<()> {
    let site = Site::start()?;
    let (killed, lanes) = site.kill(site.load()?, Part::Worker, site.network_worker)?;
    back_in_time(&lanes, killed)?;
    for lane in lanes
        .iter()
        .filter(|lane| lane.name.contains("lenet-mnist"))
    {
        ensure!(
            lane.failures().is_empty(),
            "{}: {:?}",
            lane.name,
            lane.failures()
        );
    }
    site.answers_from_the_command_line()
}

#[test]
fn a_killed_enclave_is_back_with_its_functions() -> anyhow::Result<()> {
    let site = Site::start()?;
    let boot = site.platform.enclave_status()?.boot_id;
    let (killed, lanes) = site.kill(
        site.load()?,
        Part::Enclave,
        site.platform.pid_of(Part::Enclave)?,
    )?;
    back_in_time(&lanes, killed)?;
    nobody_was_told_that_a_function_is_gone(&lanes)?;
    ensure!(
        site.platform.enclave_status()?.boot_id != boot,
        "the same boot"
    );
    site.answers_from_the_command_line()
}

#[test]
fn a_killed_host_proxy_is_back_with_its_enclave() -> anyhow::Result<()> {
    let site = Site::start()?;
    let node = site.platform.pid_of(Part::Node)?;
    let (before, runtime_dir) = (descendants(node), runtime_dir(&site.platform)?);
    let (killed, lanes) = site.kill(site.load()?, Part::Node, node)?;
    back_in_time(&lanes, killed)?;
    nobody_was_told_that_a_function_is_gone(&lanes)?;
    wait_for("the old enclave is gone", GONE_WITHIN, || {
        let gone = before.iter().all(|pid| !is_running(*pid)) && !runtime_dir.exists();
        gone.then_some(())
    })?;
    site.answers_from_the_command_line()
}

#[test]
fn a_killed_control_plane_is_missed_by_no_caller() -> anyhow::Result<()> {
    let site = Site::start()?;
    let pid = site.platform.pid_of(Part::ControlPlane)?;
    let load = site.load()?;
    let hung = Hung::stop(pid)?;
    let served = load
        .traffic
        .wait_for_right(4 * STEADY, Instant::now(), PATIENCE);
    served.context("while it hangs")?;
    drop(hung);

    let (killed, lanes) = site.kill(load, Part::ControlPlane, pid)?;
    for lane in &lanes {
        ensure!(
            lane.failures().is_empty(),
            "{}: {:?}",
            lane.name,
            lane.failures()
        );
    }
    back_in_time(&lanes, killed)?;
    site.answers_from_the_command_line()?;
    site.platform
        .deploy_example("iris-regression")
        .context("a new function")?;
    Ok(())
}

#[test]
fn a_killed_platform_has_its_functions_when_it_is_started_again() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    let example = Example::load("iris-network")?;
    let digest = platform.deploy_example(&example.name)?;
    let family = family(&platform)?;
    platform.signal(Signal::KILL)?;
    let gone = || family.iter().all(|pid| !is_running(*pid));
    wait_for("everything is gone", GONE_WITHIN, || gone().then_some(()))?;

    let platform = platform.start_again()?;
    let input = example.request_file.display().to_string();
    let invoke = ["invoke", &example.name, "--input", &input];
    let done = wait_for("it answers", BACK_WITHIN, || platform.json(&invoke).ok())?;
    ensure!(done["function"] == digest.as_str(), "{done}");
    example.check(&done["response"])
}

#[test]
fn nothing_outlives_a_killed_platform() -> anyhow::Result<()> {
    let platform = Platform::start()?;
    platform.deploy_example("iris-network")?;
    let (family, runtime_dir) = (family(&platform)?, runtime_dir(&platform)?);
    platform.signal(Signal::KILL)?;
    let killed = Instant::now();
    let gone = || family.iter().all(|pid| !is_running(*pid)) && !runtime_dir.exists();
    wait_for("everything is gone", GONE_WITHIN, || gone().then_some(()))?;
    println!("everything gone {:?} after the kill", killed.elapsed());
    Ok(())
}

#[test]
fn ctrl_c_and_sigterm_leave_nothing_behind() -> anyhow::Result<()> {
    for how in [Signal::INT, Signal::TERM] {
        let mut platform = Platform::start()?;
        platform.deploy_example("iris-network")?;
        let (family, runtime_dir) = (family(&platform)?, runtime_dir(&platform)?);
        platform.signal(how)?;
        let status = platform.wait()?;
        ensure!(status.code() == Some(0), "{how:?}: {status}");
        let left: Vec<_> = family.into_iter().filter(|pid| is_running(*pid)).collect();
        ensure!(left.is_empty(), "{how:?}: {left:?} still run");
        ensure!(
            !runtime_dir.exists(),
            "{how:?}: {} is left",
            runtime_dir.display()
        );
    }
    Ok(())
}

/// A platform with two functions.
struct Site {
    platform: Platform,
    examples: [Example; 2],
    digests: [String; 2],
    network_worker: u32,
}

impl Site {
    fn start() -> anyhow::Result<Self> {
        let platform = Platform::start()?;
        let examples = [
            Example::load("iris-network")?,
            Example::load("lenet-mnist")?,
        ];
        let network = platform.deploy_example("iris-network")?;
        let network_worker = platform.pid_of(Part::Worker)?;
        let lenet = platform.deploy_example("lenet-mnist")?;
        Ok(Self {
            platform,
            examples,
            digests: [network, lenet],
            network_worker,
        })
    }

    /// Callers of both functions, who attest themselves or come through `nacre proxy`, once all of them are served.
    fn load(&self) -> anyhow::Result<Load> {
        let proxy = self.platform.nacre([
            "--json",
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--exit-on-stdin-eof",
        ]);
        let proxy = Service::start(proxy)?;
        let address = proxy.ready()["listening"].as_str().unwrap_or_default();
        let mut traffic = Traffic::new()?;
        for (example, digest) in self.examples.iter().zip(&self.digests) {
            let client = AttestedClient::new(
                self.platform.trust()?,
                Some(digest.parse()?),
                vec![self.platform.ready("node").parse()?],
                ClientOptions::default(),
            );
            traffic.attested(example, client.clone());
            traffic.attested(example, client);
            traffic.through_proxy(example, address)?;
        }
        let steady = traffic.wait_for_right(STEADY, Instant::now(), PATIENCE);
        steady.context("before")?;
        Ok(Load {
            traffic,
            _proxy: proxy,
        })
    }

    /// Kills a process while callers call, and gives when, and what the callers saw until they were served steadily.
    fn kill(&self, load: Load, part: Part, pid: u32) -> anyhow::Result<(Instant, Vec<Lane>)> {
        // Taken first: a caller may see the end before this task runs on.
        let killed = Instant::now();
        signal(pid, Signal::KILL)?;
        let replaced =
            || self.platform.pids(part).iter().any(|now| *now != pid) && !is_running(pid);
        wait_for("another process in its place", BACK_WITHIN, || {
            replaced().then_some(())
        })?;
        println!("{part:?}: another process after {:?}", killed.elapsed());
        let steady = load
            .traffic
            .wait_for_right(STEADY, Instant::now(), PATIENCE);
        steady.context("after")?;
        let lanes = load.traffic.stop();
        lanes.iter().try_for_each(|lane| lane.check(killed))?;
        Ok((killed, lanes))
    }

    /// Somebody who comes later notices nothing: endpoints, digests and deployments are what they were.
    fn answers_from_the_command_line(&self) -> anyhow::Result<()> {
        for (example, digest) in self.examples.iter().zip(&self.digests) {
            let input = example.request_file.display().to_string();
            let done = wait_for(
                "the control plane knows that it is ready",
                BACK_WITHIN,
                || {
                    self.platform
                        .json(&["invoke", &example.name, "--input", &input])
                        .ok()
                },
            )?;
            example.check(&done["response"])?;
            ensure!(done["function"] == digest.as_str(), "{done}");
            let listed = self.platform.json(&["functions", &example.name])?;
            let versions = listed[0]["versions"].as_array().map(Vec::len);
            ensure!(versions == Some(1), "deployed again: {listed}");
        }
        Ok(())
    }
}

/// Callers, and the proxy that some of them need.
struct Load {
    traffic: Traffic,
    _proxy: Service,
}

/// A process that is there and does nothing, until this ends.
struct Hung(u32);

impl Hung {
    fn stop(pid: u32) -> anyhow::Result<Self> {
        signal(pid, Signal::STOP)?;
        Ok(Self(pid))
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // One that is gone needs no waking.
        let _ = signal(self.0, Signal::CONT);
    }
}

fn back_in_time(lanes: &[Lane], killed: Instant) -> anyhow::Result<()> {
    for lane in lanes {
        let back = lane
            .back_after(killed)
            .with_context(|| format!("{} is not back", lane.name))?;
        let failures = lane.failures();
        let last = failures.last().map(String::as_str).unwrap_or("none");
        println!(
            "{}: back after {back:?}, {} right, {} failed, the last: {last}",
            lane.name,
            lane.right(),
            failures.len()
        );
        ensure!(
            back < BACK_WITHIN,
            "{}: back after {back:?}: {last}",
            lane.name
        );
    }
    Ok(())
}

/// A restart is slow at worst: no caller hears that a deployed function does not exist.
fn nobody_was_told_that_a_function_is_gone(lanes: &[Lane]) -> anyhow::Result<()> {
    for lane in lanes {
        let denied = |failure: &String| failure.contains("unknown-model");
        if let Some(told) = lane.failures().into_iter().find(denied) {
            anyhow::bail!("{}: {told}", lane.name);
        }
    }
    Ok(())
}

/// Every process of a platform, `nacre dev` first.
fn family(platform: &Platform) -> anyhow::Result<Vec<u32>> {
    for part in [
        Part::ControlPlane,
        Part::Node,
        Part::NsmEmulator,
        Part::Enclave,
        Part::Worker,
    ] {
        platform.pid_of(part)?;
    }
    Ok([vec![platform.pid()], descendants(platform.pid())].concat())
}

/// Where the sockets of a platform's enclave lie.
fn runtime_dir(platform: &Platform) -> anyhow::Result<std::path::PathBuf> {
    let socket = platform.control_socket()?;
    let dir = socket.parent().map(Path::to_owned);
    dir.filter(|dir| dir.is_dir())
        .context("no runtime directory")
}
