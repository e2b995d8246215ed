//! The section `bytes`: the host proxy against socat, HAProxy and nginx on the same sockets.
//!
//! Every proxy stands between the same callers (TCP) and the same far end (a Unix socket, then TCP), one at a time. Rounds
//! are short and many, and another one begins each of them, so that a noisy machine is noisy for all; what is told is the
//! median of the rounds, and how far apart they are. Load, proxy and far end share the machine: a proxy that needs less
//! processor time leaves more to the others.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use nacre_transport::Address;

use super::bytes_load as load;
use super::bytes_peers::{Carrier, Peers, Running, start};
use super::report;

/// Each proxy has its turn so often.
const ROUNDS: usize = 17;
/// The variable that leaves out all rows whose name does not contain its value, for a look at one of them.
const ONLY: &str = "NACRE_BENCH_ROWS";
const WINDOW: Duration = Duration::from_millis(300);
/// Callers that open connections at once.
const CALLERS: usize = 16;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    In,
    Out,
    Connections,
    Ping(usize),
    PingOfMany(usize),
}

const ROWS: [Row; 7] = [
    Row::In,
    Row::Out,
    Row::Connections,
    Row::Ping(1),
    Row::Ping(1024),
    Row::PingOfMany(1),
    Row::PingOfMany(1024),
];

impl Row {
    fn name(self) -> String {
        match self {
            Self::In => "bulk in, MB/s".to_owned(),
            Self::Out => "bulk out, MB/s".to_owned(),
            Self::Connections => "new connections a second".to_owned(),
            Self::Ping(bytes) => format!("ping-pong of {bytes} B, p99 µs"),
            Self::PingOfMany(bytes) => {
                format!("the same on 32 connections at once, {bytes} B, p99 µs")
            }
        }
    }

    fn more_is_better(self) -> bool {
        matches!(self, Self::In | Self::Out | Self::Connections)
    }

    fn measure(self, proxy: &Running) -> anyhow::Result<f64> {
        let address = proxy.address;
        let before = proxy.processor_time();
        let value = match self {
            Self::In => load::pour_in(address, 1, WINDOW)? / 1e6,
            Self::Out => load::pour_out(address, 1, WINDOW)? / 1e6,
            Self::Connections => load::new_connections(address, CALLERS, WINDOW)?,
            Self::Ping(bytes) => load::ping_pong(address, 1, bytes, WINDOW)?.percentile(0.99),
            Self::PingOfMany(bytes) => {
                load::ping_pong(address, 32, bytes, WINDOW)?.percentile(0.99)
            }
        };
        if std::env::var_os("NACRE_BENCH_VERBOSE").is_some() {
            let used = proxy.processor_time().saturating_sub(before);
            eprintln!(
                "{:8} {:52} {value:10.1}  processor {used:?}",
                proxy.carrier.to_string(),
                self.name()
            );
        }
        Ok(value)
    }
}

/// The figures of one row: rounds by carrier.
struct Figures {
    row: Row,
    of: Vec<Vec<f64>>,
}

/// Measures and gives the section's text.
pub fn run() -> anyhow::Result<String> {
    let peers = Peers::find()?;
    let (present, absent): (Vec<_>, Vec<_>) = Carrier::ALL.into_iter().partition(|c| peers.has(*c));
    let dir = tempfile::tempdir()?;
    let socket = Address::Unix(dir.path().join("far-end"));
    if let Address::Unix(path) = &socket {
        load::serve_unix(path)?;
    }
    let tcp = Address::from(load::serve_tcp()?);
    let rows = std::env::var(ONLY).unwrap_or_default();
    let mut text = String::new();
    for (name, far_end) in [("TCP to a Unix socket", &socket), ("TCP to TCP", &tcp)] {
        let figures = measure(&present, &rows, far_end, &peers, dir.path())?;
        text += &render(name, &present, &figures)?;
    }
    writeln!(
        text,
        "\nMedians of {ROUNDS} interleaved rounds of {} ms each, and what half of the rounds lie within; the best of a row is bold. {}.",
        WINDOW.as_millis(),
        report::machine()
    )?;
    for carrier in absent {
        writeln!(text, "{carrier} is not on this machine and was left out.")?;
    }
    if !rows.is_empty() {
        println!("{text}");
        bail!("{ONLY} is set: a part of the table is kept nowhere");
    }
    Ok(text)
}

fn measure(
    carriers: &[Carrier],
    rows: &str,
    far_end: &Address,
    peers: &Peers,
    dir: &Path,
) -> anyhow::Result<Vec<Figures>> {
    let running = carriers
        .iter()
        .map(|carrier| start(*carrier, far_end, peers, dir));
    let running: Vec<Running> = running.collect::<anyhow::Result<_>>()?;
    let wanted = |row: &Row| row.name().contains(rows);
    let mut figures: Vec<Figures> = ROWS
        .into_iter()
        .filter(wanted)
        .map(|row| Figures {
            row,
            of: vec![Vec::new(); carriers.len()],
        })
        .collect();
    for round in 0..ROUNDS {
        for row in &mut figures {
            for turn in 0..running.len() {
                let turn = (round + turn) % running.len();
                row.of[turn].push(row.row.measure(&running[turn])?);
            }
        }
    }
    Ok(figures)
}

fn render(name: &str, carriers: &[Carrier], figures: &[Figures]) -> anyhow::Result<String> {
    let mut text = format!("\n| {name} |");
    carriers
        .iter()
        .try_for_each(|carrier| write!(text, " {carrier} |"))?;
    text += "\n|---|";
    carriers.iter().for_each(|_| text += "---:|");
    for row in figures {
        write!(text, "\n| {} |", row.row.name())?;
        let spreads: Vec<Spread> = row.of.iter().map(|rounds| Spread::of(rounds)).collect();
        let better = |a: f64, b: f64| {
            if row.row.more_is_better() {
                a.max(b)
            } else {
                a.min(b)
            }
        };
        let medians = spreads.iter().map(|spread| spread.median);
        let best = medians.fold(f64::NAN, better);
        for spread in spreads {
            let bold = if spread.median == best { "**" } else { "" };
            let [low, median, high] = [spread.low, spread.median, spread.high].map(shown);
            write!(text, " {bold}{median}{bold} ({low}–{high}) |")?;
        }
    }
    text.push('\n');
    Ok(text)
}

fn shown(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// The median of some rounds, and the quartiles beside it.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(rounds: &[f64]) -> Self {
        let mut rounds = rounds.to_vec();
        rounds.sort_by(f64::total_cmp);
        let last = rounds.len().saturating_sub(1);
        let at = |quarters: usize| rounds.get(last * quarters / 4).copied().unwrap_or(f64::NAN);
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}
