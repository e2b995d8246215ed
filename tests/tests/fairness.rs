//! One address that takes what it can get does not keep the others out: whoever comes from elsewhere gets a fresh
//! attested connection in time.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nacre_client::{AttestedConnection, Endpoint};
use nacre_tests::attacker::{Attack, Attackers};
use nacre_tests::platform::{Platform, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long the module is busy with each call.
const NSM_LATENCY_MS: &str = "80";
/// Longest wait of a well-behaved caller. He shares a small machine with an attacker who is as fast as he can be.
const IN_TIME: Duration = Duration::from_secs(10);
/// Well-behaved callers, one after the other.
const CALLERS: usize = 5;

#[test]
fn one_connection_that_asks_in_a_loop() -> anyhow::Result<()> {
    let site = Site::start()?;
    let attackers = site.attack(Attack::AskInALoop(1), |a| a.refused() > 2)?;
    site.others_are_served()?;
    // Sixteen at once, and one a second while they are answered: then he has to connect again.
    let (answered, refused) = (attackers.answered(), attackers.refused());
    let most = (refused + 1) * (16 + 8);
    ensure!(answered <= most, "{answered} answers, {refused} refusals");
    Ok(())
}

#[test]
fn many_connections_that_ask_in_a_loop_share_few_calls_to_the_module() -> anyhow::Result<()> {
    let site = Site::start()?;
    let before = site.platform.enclave_status()?.counters.attestations;
    let attackers = site.attack(Attack::AskInALoop(128), |a| a.answered() > 128)?;
    let largest = site.others_are_served()?;
    ensure!(largest > 1, "nobody shared a call");
    // The module does one call after the other, so that the time bounds their number.
    let calls = site.begun.elapsed().as_millis() / 80 + 1;
    let answered = site.platform.enclave_status()?.counters.attestations - before;
    ensure!(
        u128::from(answered) > 4 * calls,
        "{answered} answers of at most {calls} calls"
    );
    drop(attackers);
    Ok(())
}

#[test]
fn many_connections_that_begin_again_and_again() -> anyhow::Result<()> {
    let site = Site::start()?;
    let _attackers = site.attack(Attack::ConnectInALoop(128), |a| a.answered() > 128)?;
    site.others_are_served()?;
    Ok(())
}

#[test]
fn more_connections_than_there_are_places_that_never_say_a_word() -> anyhow::Result<()> {
    let site = Site::start()?;
    let _attackers = site.attack(Attack::SayNothing(6000), |a| a.connected() > 5500)?;
    site.others_are_served()?;
    Ok(())
}

#[test]
fn connections_that_never_read_their_answers() -> anyhow::Result<()> {
    let site = Site::start()?;
    let _attackers = site.attack(Attack::NeverRead(128), |a| a.connected() >= 128)?;
    site.others_are_served()?;
    Ok(())
}

struct Site {
    platform: Platform,
    runtime: tokio::runtime::Runtime,
    begun: Instant,
}

impl Site {
    fn start() -> anyhow::Result<Self> {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        setrlimit(Resource::Nofile, raised)?;
        Ok(Self {
            platform: Platform::start_with(&["--nsm-latency-ms", NSM_LATENCY_MS])?,
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()?,
            begun: Instant::now(),
        })
    }

    /// Attackers who have come so far.
    fn attack(
        &self,
        attack: Attack,
        far_enough: impl Fn(&Attackers) -> bool,
    ) -> anyhow::Result<Attackers> {
        let node = self.platform.ready("node").parse()?;
        let attackers = Attackers::start(node, attack)?;
        wait_for("the attack begins", Duration::from_secs(60), || {
            far_enough(&attackers).then_some(())
        })?;
        Ok(attackers)
    }

    /// Well-behaved callers from another address; the largest batch that one of them was in.
    fn others_are_served(&self) -> anyhow::Result<u32> {
        let endpoint: Endpoint = self.platform.ready("node").parse()?;
        let trust = self.platform.trust()?;
        let mut largest = 0;
        for n in 0..CALLERS {
            let open = AttestedConnection::open(&endpoint, &trust, IN_TIME);
            let connection = self.runtime.block_on(open);
            let connection = connection.with_context(|| format!("caller {n}"))?;
            largest = largest.max(connection.enclave().evidence().tree_size);
        }
        Ok(largest)
    }
}
