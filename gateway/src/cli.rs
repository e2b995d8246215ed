//! `nacre gateway`: a gateway on this machine.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nacre_protocol::manifest::Timeout;
use nacre_telemetry::endpoint::MetricsArgs;
use nacre_transport::Address;
use nacre_tunnel::system;
use reqwest::Url;
use tokio_util::sync::CancellationToken;

use crate::dial::DialLimits;
use crate::gateway::{Gateway, GatewayLimits};
use crate::health::HealthTiming;
use crate::source::{ControlPlane, RoutesFile, Source};
use crate::zone::Zone;

/// Files that a gateway needs beside those of its callers.
const OWN_FILES: usize = 256 + nacre_tunnel::FILES;

/// How to run a gateway.
#[derive(Debug, Clone, clap::Args)]
pub struct GatewayArgs {
    /// Address for callers; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The DNS name below which functions are called: `<function>.ZONE`
    #[arg(long, value_name = "ZONE")]
    pub zone: Zone,
    /// URL of the control plane that knows where functions run
    #[arg(long, value_name = "URL", requires_all = ["key_file", "data"], required_unless_present = "routes")]
    pub control_plane: Option<Url>,
    /// File with the control plane's API key; read each time it is needed. With a key of the scope `gateway`, which whoever
    /// runs the platform makes at its database, the functions of all organisations are served; with an organisation's key
    /// of the scope `functions:read`, its own
    #[arg(long, value_name = "FILE", requires = "control_plane")]
    pub key_file: Option<PathBuf>,
    /// Folder where the last routes are kept, for a start without the control plane; made if absent
    #[arg(long, value_name = "DIR", requires = "control_plane")]
    pub data: Option<PathBuf>,
    /// Routes from this file (TOML) instead; read again when it changes
    #[arg(long, value_name = "FILE", conflicts_with = "control_plane")]
    pub routes: Option<PathBuf>,
    /// How often the control plane or the file is asked
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = from(100, 3600))]
    pub poll_every: Timeout,
    /// Do not begin connections with a PROXY protocol v2 header: for nodes without --proxy-protocol-from, which then count
    /// all callers as one
    #[arg(long)]
    pub no_proxy_protocol: bool,
    /// Connections that are open at once. One address may have what nobody else wants, and loses it first when somebody
    /// does. Lowered to what the files that this process may open allow
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    pub max_connections: usize,
    /// Of them, those of one address (IPv6: of 64 bits) [default: half]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub max_connections_of_one: Option<usize>,
    /// Connections that may be about to say which function they want, at once
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    pub max_hellos: usize,
    /// Of them, those of one address [default: half]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub max_hellos_of_one: Option<usize>,
    /// From a caller's connection to the end of its first message
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = from(100, 60))]
    pub hello_within: Timeout,
    /// Until a node accepts; then the next one is tried
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = from(10, 60))]
    pub connect_within: Timeout,
    /// From then until its first byte; then the next one is tried. The last one that is left has 8s at least
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = from(10, 60))]
    pub answer_within: Timeout,
    /// How long a caller waits for a function that has no node now: one that sleeps is woken. 0s: not at all. Without
    /// a control plane nobody is there to wake it
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = from(0, 300))]
    pub wake_within: Timeout,
    /// How long a connection may be silent
    #[arg(long, value_name = "TIME", default_value = "900s", value_parser = from(1000, 86_400))]
    pub idle: Timeout,
    /// How often a node is probed while no caller's connection shows that it answers
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = from(100, 3600))]
    pub probe_every: Timeout,
    /// How long open connections may take to end when the gateway stops; those left are then reset. It lets nobody more
    /// connect then, and serves everybody who was connected: take it out of its balancer first, so that nobody has to try
    /// again elsewhere
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = from(0, 3600))]
    pub drain_within: Timeout,
    /// Which nodes are drawn, for a run that can be repeated [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where its numbers are read.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Stop when standard input ends (for a parent process that must not leave this one behind)
    #[arg(long)]
    pub exit_on_stdin_eof: bool,
}

/// Runs a gateway until `stop`. Prints `listening on ADDR` to standard output once there are routes.
pub async fn run(args: GatewayArgs, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut source = args.source()?;
    let limits = args.limits(system::raise_file_limit());
    let health = HealthTiming {
        every: args.probe_every.duration(),
        ..HealthTiming::default()
    };
    let seed = args.seed.unwrap_or_else(rand::random);
    let listen = Address::from(args.listen);
    let gateway = Gateway::bind(&listen, args.zone.clone(), limits, health, seed).await?;
    let _metrics = args.metrics.serve(gateway.metrics()).await?;
    let routes = gateway.routes();
    let mut stop = std::pin::pin!(stop);
    tokio::select! {
        begun = source.begin(&routes) => begun?,
        () = &mut stop => return Ok(()),
    }
    let address = gateway.address().to_string();
    let address = address.strip_prefix("tcp://").unwrap_or(&address);
    let mut out = std::io::stdout();
    writeln!(out, "listening on {address}").and_then(|()| out.flush())?;

    let stopping = CancellationToken::new();
    let following = source.follow(routes);
    let serving = gateway.serve(stopping.clone());
    tokio::select! {
        () = serving => {}
        () = following => {}
        () = async {
            stop.await;
            stopping.cancel();
            std::future::pending::<()>().await;
        } => {}
    }
    Ok(())
}

impl GatewayArgs {
    fn source(&self) -> anyhow::Result<Source> {
        let every = self.poll_every.duration();
        if let Some(path) = &self.routes {
            return Ok(Source::File(RoutesFile::new(path.clone(), every)));
        }
        let (Some(url), Some(key_file), Some(data)) =
            (&self.control_plane, &self.key_file, &self.data)
        else {
            anyhow::bail!("--control-plane with --key-file and --data, or --routes");
        };
        std::fs::create_dir_all(data).with_context(|| format!("folder {}", data.display()))?;
        let control_plane = ControlPlane::new(url, key_file.clone(), data, every)?;
        Ok(Source::ControlPlane(control_plane))
    }

    /// What the gateway may do with this many open files.
    fn limits(&self, files: u64) -> GatewayLimits {
        let usual = GatewayLimits::default();
        // Two files a connection, and one for each that waits or is about to speak.
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let others = self.max_hellos + 2 * usual.waiting + OWN_FILES;
        let most = (files.saturating_sub(others) / 2).max(1);
        if most < self.max_connections {
            tracing::warn!(
                most,
                files,
                "fewer connections: this process may not open more files"
            );
        }
        let connections = self.max_connections.min(most);
        let half = |all: usize| all.div_ceil(2);
        let of_one = self.max_connections_of_one;
        GatewayLimits {
            connections,
            connections_of_one: of_one.unwrap_or(half(connections)).min(connections),
            hellos: self.max_hellos,
            hellos_of_one: self.max_hellos_of_one.unwrap_or(half(self.max_hellos)),
            hello: self.hello_within.duration(),
            wake: match self.control_plane {
                Some(_) => self.wake_within.duration(),
                None => Duration::ZERO,
            },
            dial: DialLimits {
                connect: self.connect_within.duration(),
                answer: self.answer_within.duration(),
                last_answer: usual.dial.last_answer.max(self.answer_within.duration()),
                proxy_protocol: !self.no_proxy_protocol,
            },
            patience: nacre_tunnel::Patience {
                idle: self.idle.duration(),
                ..usual.patience
            },
            drain: self.drain_within.duration(),
            ..usual
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(error) => Err(format!("{error}")),
    }
}

/// A time between so many milliseconds and so many seconds.
fn from(
    millis: u64,
    seconds: u64,
) -> impl Fn(&str) -> Result<Timeout, String> + Clone + Send + Sync + 'static {
    move |text| {
        let time: Timeout = text.parse().map_err(|error| format!("{error}"))?;
        let range = Duration::from_millis(millis)..=Duration::from_secs(seconds);
        match range.contains(&time.duration()) {
            true => Ok(time),
            false => Err(format!("{millis}ms to {seconds}s")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Gateway {
        #[command(flatten)]
        args: GatewayArgs,
    }

    fn parse(words: &[&str]) -> Result<GatewayArgs, clap::Error> {
        let all = [&["gateway", "--zone", "fn.example.org"], words].concat();
        Gateway::try_parse_from(all).map(|gateway| gateway.args)
    }

    #[test]
    fn connections_are_no_more_than_there_are_files_for() {
        let args = parse(&["--routes", "r"]).unwrap();
        let connections = |files| args.limits(files).connections;
        assert_eq!(connections(u64::MAX), 10_000);
        assert_eq!(connections(1 << 16), 10_000);
        let others = 1024 + 2 * 512 + 256 + 2 * 64 + 4 * 8;
        assert_eq!(connections(4096), (4096 - others) / 2);
        assert_eq!(connections(100), 1);
        assert_eq!(args.limits(4096).connections_of_one, (4096 - others) / 4);
    }

    #[test]
    fn routes_come_from_one_source_that_is_whole() {
        for words in [
            &[][..],
            &["--control-plane", "http://localhost"],
            &["--control-plane", "http://localhost", "--key-file", "k"],
            &["--control-plane", "http://localhost", "--data", "d"],
            &["--routes", "r", "--key-file", "k"],
            &[
                "--routes",
                "r",
                "--control-plane",
                "http://localhost",
                "--key-file",
                "k",
                "--data",
                "d",
            ],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
        let control_plane = ["--control-plane", "http://localhost", "--key-file", "k"];
        assert!(parse(&[&control_plane[..], &["--data", "d"]].concat()).is_ok());
    }

    #[test]
    fn a_number_out_of_range_is_refused() {
        for words in [
            ["--max-hellos", "0"],
            ["--hello-within", "2m"],
            ["--hello-within", "61s"],
            ["--drain-within", "3601s"],
            ["--poll-every", "1ms"],
            ["--zone", "192.0.2.1"],
        ] {
            let words = [&["--routes", "r"], &words[..]].concat();
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
