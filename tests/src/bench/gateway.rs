//! The section `gateway`: `nacre gateway` against HAProxy in TCP mode that routes by the server name.
//!
//! Both read the same ClientHello, begin with a PROXY protocol header, and choose of two draws the node with fewer
//! connections; both stand between the same callers and the same two far ends, one at a time and in turn, so that a noisy
//! machine is noisy for both. What is told is the median of the rounds.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nacre_gateway::hello::parse;

use super::bytes_peers::{Carrier, Peers};
use super::gateway_load::{Door, hello, serve};
use super::report;
use crate::platform::binary;

/// Each gateway has its turn so often.
const ROUNDS: usize = 7;
const WINDOW: Duration = Duration::from_millis(1000);
/// Callers that open connections at once.
const CALLERS: usize = 16;
const NAME: &str = "iris-network.fn.example.org";

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gateway {
    Nacre,
    HaProxy,
}

const GATEWAYS: [Gateway; 2] = [Gateway::Nacre, Gateway::HaProxy];

/// One row of the table.
const ROWS: [&str; 4] = [
    "bulk in, MB/s",
    "bulk out, MB/s",
    "new connections a second, 16 callers",
    "a new connection to its first byte back, p99 µs",
];

/// Measures and gives the section's text.
pub fn run() -> anyhow::Result<String> {
    let peers = Peers::find()?;
    let hello = Arc::new(hello(NAME)?);
    let far_ends = [serve(hello.len())?, serve(hello.len())?];
    let dir = tempfile::tempdir()?;
    let mut running = Vec::new();
    for gateway in GATEWAYS {
        running.push(start(gateway, far_ends, &hello, &peers, dir.path())?);
    }
    let mut rounds = vec![vec![Vec::new(); GATEWAYS.len()]; ROWS.len()];
    for _ in 0..ROUNDS {
        for (at, gateway) in running.iter().enumerate() {
            rounds[0][at].push(gateway.door.pour_in(WINDOW)? / 1e6);
        }
        for (at, gateway) in running.iter().enumerate() {
            rounds[1][at].push(gateway.door.pour_out(WINDOW)? / 1e6);
        }
        for (at, gateway) in running.iter().enumerate() {
            let (rate, mut samples) = gateway.door.new_connections(CALLERS, WINDOW)?;
            rounds[2][at].push(rate);
            rounds[3][at].push(samples.percentile(0.99));
        }
    }
    drop(running);
    render(&rounds, hello.len(), reading(&hello)?)
}

/// What reading one ClientHello costs, in microseconds of one core.
fn reading(hello: &[u8]) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut read = 0u32;
    while begun.elapsed() < WINDOW {
        for _ in 0..100 {
            let name = parse(hello)?.server_name;
            ensure!(name.as_deref() == Some(NAME), "another name");
        }
        read += 100;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(read))
}

fn render(rounds: &[Vec<Vec<f64>>], hello: usize, reading: f64) -> anyhow::Result<String> {
    let mut text = "\n| TCP to TCP, by server name | Nacre | HAProxy |\n|---|---:|---:|".to_owned();
    for (name, of) in ROWS.iter().zip(rounds) {
        let medians: Vec<f64> = of.iter().map(|values| median(values)).collect();
        write!(text, "\n| {name} |")?;
        let less_is_better = name.contains("p99");
        for value in &medians {
            let best = match less_is_better {
                true => medians.iter().all(|other| other >= value),
                false => medians.iter().all(|other| other <= value),
            };
            let bold = if best { "**" } else { "" };
            write!(text, " {bold}{value:.0}{bold} |")?;
        }
    }
    writeln!(
        text,
        "\n\nMedians of {ROUNDS} interleaved rounds of {} ms each; the better of a row is bold. Both gateways read a \
         ClientHello of {hello} bytes, send a PROXY protocol header and choose between two nodes; callers, gateway and \
         nodes share the machine. Reading the ClientHello costs {reading:.1} µs of one core. {}.",
        WINDOW.as_millis(),
        report::machine()
    )?;
    Ok(text)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A gateway that runs, until dropped.
struct Running {
    door: Door,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts one before these far ends; waits until callers are brought to them.
fn start(
    gateway: Gateway,
    far_ends: [SocketAddr; 2],
    hello: &Arc<Vec<u8>>,
    peers: &Peers,
    dir: &Path,
) -> anyhow::Result<Running> {
    let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let mut command = match gateway {
        Gateway::Nacre => nacre(address, far_ends, dir)?,
        Gateway::HaProxy => haproxy(peers.command(Carrier::HaProxy)?, address, far_ends, dir)?,
    };
    let log = std::fs::File::create(dir.join(format!("{gateway:?}.log")))?;
    let command = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let child = command
        .spawn()
        .with_context(|| format!("starting {gateway:?}"))?;
    let mut running = Running {
        door: Door {
            address,
            hello: Arc::clone(hello),
        },
        child,
    };
    let begun = Instant::now();
    while !running.door.answers() {
        if let Some(status) = running.child.try_wait()? {
            bail!("{gateway:?} ended with {status}; see its log");
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(10),
            "{gateway:?} does not answer"
        );
        std::thread::yield_now();
    }
    Ok(running)
}

fn nacre(
    address: SocketAddr,
    [first, second]: [SocketAddr; 2],
    dir: &Path,
) -> anyhow::Result<Command> {
    let routes = dir.join("routes.toml");
    let text = format!("[[functions.iris-network]]\nnodes = [\"{first}\", \"{second}\"]\n");
    std::fs::write(&routes, text)?;
    let mut command = Command::new(binary("nacre"));
    command
        .args(["gateway", "--zone", "fn.example.org", "--listen"])
        .arg(address.to_string())
        .arg("--routes")
        .arg(routes);
    Ok(command)
}

fn haproxy(
    mut command: Command,
    address: SocketAddr,
    [first, second]: [SocketAddr; 2],
    dir: &Path,
) -> anyhow::Result<Command> {
    let text = format!(
        "global\n nbthread 2\n maxconn 4000\n\
         defaults\n mode tcp\n option splice-auto\n backlog 4096\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         frontend callers\n bind {address}\n tcp-request inspect-delay 5s\n\
         \u{20}tcp-request content accept if {{ req.ssl_hello_type 1 }}\n\
         \u{20}use_backend iris if {{ req.ssl_sni -i {NAME} }}\n\
         backend iris\n balance random(2)\n server a {first} send-proxy-v2\n server b {second} send-proxy-v2\n"
    );
    let file = dir.join("haproxy-sni.cfg");
    std::fs::write(&file, text)?;
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
