//! The section `attested`: fresh attested connections, as many as the machine makes.
//!
//! Each is a TCP connection, a full TLS 1.3 handshake, evidence for a fresh nonce, the client's whole check, and a close.
//! The load is a closed loop: so many callers, each of whom opens the next connection when the last one was checked. It
//! goes through [`AttestedConnection::open`], so that what is measured is what users run, and it shares the machine
//! with everything that it measures.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use nacre_client::{AttestedConnection, ClientError, Endpoint, Trust};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::graph::{self, Line, Panel};
use super::samples::Samples;
use super::{fairness, report};
use crate::platform::{Platform, repository};
use crate::processes::{Part, processor_time};

/// What an attestation costs on real hardware: the emulated module is busy as long, with one at a time.
const NSM_LATENCY_MS: &str = "80";
const CALLERS: [usize; 6] = [1, 64, 256, 512, 1024, 2048];
/// Each number of callers has its turn so often, so that a noisy machine is noisy for all.
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(4);
/// Longest wait for one connection; one that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures, draws the graph and gives the section's text.
pub fn run() -> anyhow::Result<String> {
    let platform = Platform::start_with(&["--nsm-latency-ms", NSM_LATENCY_MS])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let target = Target {
        endpoint: platform.ready("node").parse()?,
        trust: platform.trust()?,
        programs: programs(&platform)?,
    };
    let mut levels = measure(&runtime, &target)?;
    let fairness = fairness::measure(&runtime, &target, platform.ready("node"))?;
    platform.stop()?;

    let graph = repository().join("docs/attested-connections.svg");
    std::fs::write(&graph, draw(&mut levels))?;
    let mut text = render(&mut levels)?;
    text += &fairness::render(fairness)?;
    Ok(text)
}

/// An enclave and those who trust it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it is reached.
    pub endpoint: Endpoint,
    /// What its callers trust.
    pub trust: Trust,
    /// The processes of [`PROGRAMS`].
    pub programs: [u32; 4],
}

/// Whose processor time is measured.
const PROGRAMS: [&str; 4] = ["callers", "host proxy", "enclave", "NSM emulator"];

fn programs(platform: &Platform) -> anyhow::Result<[u32; 4]> {
    Ok([
        std::process::id(),
        platform.pid_of(Part::Node)?,
        platform.pid_of(Part::Enclave)?,
        platform.pid_of(Part::NsmEmulator)?,
    ])
}

/// What came of a load.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    /// From before `connect` to after the check, of each connection that was begun in the window.
    pub latency: Samples,
    /// Connections that were checked in the window.
    pub completed: usize,
    /// The windows' lengths together.
    pub window: Duration,
    /// NSM calls behind the connections of `latency`.
    pub nsm_calls: f64,
    /// Connections that failed, by error code.
    pub failed: Vec<&'static str>,
    /// All that were checked, in the window or not.
    pub checked: usize,
    /// Processor time that they cost each of [`PROGRAMS`].
    pub processor: [Duration; 4],
}

impl Outcome {
    /// Connections a second.
    pub fn per_second(&self) -> f64 {
        self.completed as f64 / self.window.as_secs_f64()
    }

    /// Callers that one NSM call answered, in the mean.
    pub fn mean_batch(&self) -> f64 {
        self.latency.len() as f64 / self.nsm_calls
    }

    /// Latency in milliseconds.
    pub fn millis(&mut self, share: f64) -> f64 {
        self.latency.percentile(share) / 1e3
    }

    /// Processor time of each program for one connection, in microseconds.
    fn micros_each(&self) -> [f64; 4] {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.checked as f64;
        self.processor.map(each)
    }

    fn extend(&mut self, other: Self) {
        self.latency.extend(other.latency);
        self.completed += other.completed;
        self.window += other.window;
        self.nsm_calls += other.nsm_calls;
        self.failed.extend(other.failed);
        self.checked += other.checked;
        for (time, more) in self.processor.iter_mut().zip(other.processor) {
            *time += more;
        }
    }

    fn add(&mut self, connection: &Connection, from: Instant, until: Instant) {
        self.checked += 1;
        let window = from..until;
        if window.contains(&(connection.begun + connection.took)) {
            self.completed += 1;
        }
        if window.contains(&connection.begun) {
            self.latency.push(connection.took);
            // A batch of n leaves is seen n times: each is 1/n of a call.
            self.nsm_calls += 1.0 / f64::from(connection.tree_size);
        }
    }
}

/// One connection that was checked.
struct Connection {
    begun: Instant,
    took: Duration,
    tree_size: u32,
}

/// So many callers at once for so long, not counting the beginning.
pub async fn load(target: &Target, callers: usize, window: Duration) -> anyhow::Result<Outcome> {
    let before = target.programs.map(processor_time);
    let from = Instant::now() + WARM_UP;
    let until = from + window;
    let target = Arc::new(target.clone());
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        let target = Arc::clone(&target);
        calling.spawn(async move { call_until(&target, until).await });
    }
    let mut outcome = Outcome {
        window,
        ..Outcome::default()
    };
    while let Some(ended) = calling.join_next().await {
        let (connections, failed) = ended.context("a caller")?;
        for connection in &connections {
            outcome.add(connection, from, until);
        }
        outcome.failed.extend(failed);
    }
    outcome.processor = target.programs.map(processor_time);
    for (time, before) in outcome.processor.iter_mut().zip(before) {
        *time -= before;
    }
    Ok(outcome)
}

async fn call_until(target: &Target, until: Instant) -> (Vec<Connection>, Vec<&'static str>) {
    let (mut connections, mut failed) = (Vec::new(), Vec::new());
    while Instant::now() < until {
        match fresh(target).await {
            Ok(connection) => connections.push(connection),
            Err(error) => failed.push(error.code()),
        }
    }
    (connections, failed)
}

async fn fresh(target: &Target) -> Result<Connection, ClientError> {
    let begun = Instant::now();
    let connection = AttestedConnection::open(&target.endpoint, &target.trust, PATIENCE).await?;
    Ok(Connection {
        begun,
        took: begun.elapsed(),
        tree_size: connection.enclave().evidence().tree_size,
    })
}

fn measure(runtime: &Runtime, target: &Target) -> anyhow::Result<Vec<Outcome>> {
    let mut levels = vec![Outcome::default(); CALLERS.len()];
    for _ in 0..ROUNDS {
        for (callers, level) in CALLERS.into_iter().zip(&mut levels) {
            level.extend(runtime.block_on(load(target, callers, WINDOW))?);
        }
    }
    Ok(levels)
}

fn render(levels: &mut [Outcome]) -> anyhow::Result<String> {
    let mut text = String::new();
    writeln!(
        text,
        "Machine: {}. Command: `make bench`. Process mode, NSM latency {NSM_LATENCY_MS} ms with one request at a time, \
         callers on the same machine.\n",
        report::machine()
    )?;
    writeln!(
        text,
        "Fresh attested connections in a closed loop, {ROUNDS} alternating rounds of {} s, from before `connect` to after \
         the whole check, ms:\n",
        WINDOW.as_secs()
    )?;
    writeln!(
        text,
        "| callers at once | connections/s | p50 | p90 | p99 | longest | callers in an NSM call | failed |"
    )?;
    writeln!(text, "|---|---|---|---|---|---|---|---|")?;
    for (callers, level) in CALLERS.into_iter().zip(levels.iter_mut()) {
        let [p50, p90, p99, longest] = [0.5, 0.9, 0.99, 1.0].map(|share| level.millis(share));
        writeln!(
            text,
            "| {callers} | {:.0} | {p50:.0} | {p90:.0} | {p99:.0} | {longest:.0} | {:.0} | {} |",
            level.per_second(),
            level.mean_batch(),
            level.failed.len()
        )?;
    }
    writeln!(
        text,
        "\nProcessor time for one connection, user and system, µs:\n"
    )?;
    writeln!(
        text,
        "| callers at once | {} | together |",
        PROGRAMS.join(" | ")
    )?;
    writeln!(text, "|---|---|---|---|---|---|")?;
    for (callers, level) in CALLERS.into_iter().zip(levels.iter()) {
        let each = level.micros_each();
        let cells = each.map(|micros| format!("{micros:.0}")).join(" | ");
        let together: f64 = each.iter().sum();
        writeln!(text, "| {callers} | {cells} | {together:.0} |")?;
    }
    writeln!(
        text,
        "\n![Connections a second and their latency against callers at once](docs/attested-connections.svg)"
    )?;
    Ok(text)
}

fn draw(levels: &mut [Outcome]) -> String {
    let mut values = |of: &dyn Fn(&mut Outcome) -> f64| levels.iter_mut().map(of).collect();
    let throughput = Panel {
        title: "fresh attested connections a second",
        lines: vec![Line {
            name: "connections/s",
            colour: "#2f86d6",
            values: values(&|level| level.per_second()),
        }],
        promise: (2_000.0, "promise: 2,000/s"),
    };
    let latency = Panel {
        title: "latency, ms",
        lines: vec![
            Line {
                name: "p50",
                colour: "#2f86d6",
                values: values(&|level| level.millis(0.5)),
            },
            Line {
                name: "p99",
                colour: "#c9851b",
                values: values(&|level| level.millis(0.99)),
            },
        ],
        promise: (400.0, "promise: 400 ms"),
    };
    let title = "Fresh attested connections, NSM latency 80 ms";
    graph::svg(title, "callers at once", &CALLERS, &[throughput, latency])
}
