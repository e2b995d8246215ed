//! The proxies that are measured beside each other: this project's, and what else carries bytes between sockets.

use std::fmt;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nacre_host_proxy::proxy::{Exposure, Proxy, ProxyLimits};
use nacre_host_proxy::supervisor::EnclaveEndpoints;
use nacre_transport::Address;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::processes::descendants;

/// The hidden first argument with which the benchmark's program is the host proxy alone.
pub const HOST_PROXY: &str = "--host-proxy";

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// No proxy: the caller's socket is the far end's.
    Nothing,
    /// The host proxy.
    Nacre,
    /// socat, a process a connection.
    Socat,
    /// HAProxy in TCP mode, with splicing.
    HaProxy,
    /// nginx's stream module.
    Nginx,
}

impl Carrier {
    /// Those that are compared.
    pub const ALL: [Self; 4] = [Self::Nacre, Self::HaProxy, Self::Nginx, Self::Socat];

    fn package(self) -> &'static str {
        match self {
            Self::Nothing | Self::Nacre => "",
            Self::Socat => "socat",
            Self::HaProxy => "haproxy",
            Self::Nginx => "nginx",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "no proxy",
            Self::Nacre => "Nacre",
            Self::Socat => "socat",
            Self::HaProxy => "HAProxy",
            Self::Nginx => "nginx",
        })
    }
}

/// A proxy that runs, until dropped.
#[derive(Debug)]
pub struct Running {
    /// What it is.
    pub carrier: Carrier,
    /// Where callers connect.
    pub address: SocketAddr,
    child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in descendants(self.child.id()) {
            let _ = crate::processes::signal(pid, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Processor time so far, of it and of all its children, ended ones too.
    pub fn processor_time(&self) -> Duration {
        let own = std::iter::once(self.child.id());
        let all = own.chain(descendants(self.child.id()));
        all.map(with_ended_children).sum()
    }
}

/// proc(5): fields 14 to 17 of `stat`, in ticks of 10 ms.
fn with_ended_children(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let times = after_name.split_whitespace().skip(11).take(4);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Starts a carrier before this far end; waits until callers are taken.
pub fn start(
    carrier: Carrier,
    far_end: &Address,
    peers: &Peers,
    dir: &Path,
) -> anyhow::Result<Running> {
    let address = free_port()?;
    let mut command = match carrier {
        Carrier::Nothing => bail!("no proxy is not started"),
        Carrier::Nacre => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([HOST_PROXY, &address.to_string(), &far_end.to_string()]);
            command
        }
        Carrier::Socat => socat(peers.command(carrier)?, address, far_end),
        Carrier::HaProxy => haproxy(peers.command(carrier)?, address, far_end, dir)?,
        Carrier::Nginx => nginx(peers, address, far_end, dir)?,
    };
    let log = std::fs::File::create(dir.join(format!("{carrier}.log")))?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let child = command
        .spawn()
        .with_context(|| format!("starting {carrier}"))?;
    let mut running = Running {
        carrier,
        address,
        child,
    };
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        ensure!(
            running.child.try_wait()?.is_none(),
            "{carrier} ended; see its log"
        );
        ensure!(
            begun.elapsed() < Duration::from_secs(10),
            "{carrier} does not listen"
        );
        std::thread::yield_now();
    }
    Ok(running)
}

fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

fn socat(mut command: Command, address: SocketAddr, far_end: &Address) -> Command {
    let to = match far_end {
        Address::Unix(path) => format!("UNIX-CONNECT:{}", path.display()),
        other => other.to_string().replacen("tcp://", "TCP:", 1) + ",nodelay",
    };
    let port = address.port();
    let listen = format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork,backlog=4096,nodelay");
    command.args(["-b", "262144", &listen, &to]);
    command
}

fn haproxy(
    mut command: Command,
    address: SocketAddr,
    far_end: &Address,
    dir: &Path,
) -> anyhow::Result<Command> {
    let to = match far_end {
        Address::Unix(path) => format!("unix@{}", path.display()),
        other => other.to_string().replacen("tcp://", "", 1),
    };
    let text = format!(
        "global\n nbthread 2\n maxconn 4000\n\
         defaults\n mode tcp\n option splice-auto\n backlog 4096\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
         listen bytes\n bind {address}\n server far {to}\n"
    );
    let file = dir.join("haproxy.cfg");
    std::fs::write(&file, text)?;
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}

fn nginx(
    peers: &Peers,
    address: SocketAddr,
    far_end: &Address,
    dir: &Path,
) -> anyhow::Result<Command> {
    let to = match far_end {
        Address::Unix(path) => format!("unix:{}", path.display()),
        other => other.to_string().replacen("tcp://", "", 1),
    };
    let module = peers.file("usr/lib/nginx/modules/ngx_stream_module.so")?;
    let (dir, module) = (dir.display(), module.display());
    let text = format!(
        "load_module {module};\nuser root root;\nworker_processes 2;\ndaemon off;\npid {dir}/nginx.pid;\n\
         events {{ worker_connections 8192; multi_accept on; }}\n\
         stream {{ proxy_buffer_size 64k; proxy_half_close on; server {{ listen {address} reuseport backlog=4096; proxy_pass {to}; }} }}\n"
    );
    let file = PathBuf::from(format!("{dir}/nginx.conf"));
    std::fs::write(&file, text)?;
    let mut command = peers.command(Carrier::Nginx)?;
    command
        .args(["-e", "stderr", "-p"])
        .arg(format!("{dir}"))
        .arg("-c")
        .arg(file);
    Ok(command)
}

/// Where the peers' programs are: those of the machine, or Debian's packages unpacked into a folder of the cache.
#[derive(Debug)]
pub struct Peers {
    root: PathBuf,
}

/// What the peers' packages need that a small machine does not have.
const PACKAGES: [&str; 7] = [
    "socat",
    "haproxy",
    "nginx",
    "libnginx-mod-stream",
    "liblua5.3-0",
    "libopentracing-c-wrapper0",
    "libopentracing1",
];

impl Peers {
    /// Looks for them, and fetches what is missing with `apt-get download`, which needs no root.
    pub fn find() -> anyhow::Result<Self> {
        let cache = std::env::var_os("NACRE_CACHE").map(PathBuf::from);
        let cache =
            cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/nacre")));
        let root = cache
            .context("no HOME, and no NACRE_CACHE")?
            .join("byte-peers");
        let peers = Self { root };
        let missing = Carrier::ALL
            .iter()
            .any(|c| !c.package().is_empty() && peers.command(*c).is_err());
        if missing && !peers.root.exists() {
            peers.fetch()?;
        }
        Ok(peers)
    }

    fn fetch(&self) -> anyhow::Result<()> {
        let parent = self.root.parent().context("a cache folder")?;
        std::fs::create_dir_all(parent)?;
        let new = tempfile::tempdir_in(parent)?;
        for package in PACKAGES {
            let fetched = Command::new("apt-get")
                .args(["download", "-q", package])
                .current_dir(&new)
                .output();
            if !fetched.is_ok_and(|done| done.status.success()) {
                eprintln!("{package} cannot be fetched");
            }
        }
        let mut unpacked = 0;
        for entry in std::fs::read_dir(&new)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                let done = Command::new("dpkg-deb")
                    .arg("-x")
                    .arg(&path)
                    .arg(new.path())
                    .status();
                unpacked += usize::from(done.is_ok_and(|done| done.success()));
                std::fs::remove_file(path)?;
            }
        }
        ensure!(unpacked > 0, "no peer could be fetched");
        Ok(std::fs::rename(new.keep(), &self.root)?)
    }

    /// Whether this one can be measured.
    pub fn has(&self, carrier: Carrier) -> bool {
        carrier.package().is_empty() || self.command(carrier).is_ok()
    }

    pub(super) fn command(&self, carrier: Carrier) -> anyhow::Result<Command> {
        let name = carrier.package();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.push("/usr/sbin".into());
        let own = folders
            .iter()
            .map(|dir| dir.join(name))
            .find(|file| file.is_file());
        if let Some(program) = own {
            return Ok(Command::new(program));
        }
        let unpacked = ["usr/sbin", "usr/bin"].map(|dir| self.root.join(dir).join(name));
        let program = unpacked.iter().find(|file| file.is_file());
        let mut command = Command::new(program.with_context(|| format!("there is no {name}"))?);
        command.env(
            "LD_LIBRARY_PATH",
            self.root.join("usr/lib/x86_64-linux-gnu"),
        );
        command.arg0(name);
        Ok(command)
    }

    fn file(&self, path: &str) -> anyhow::Result<PathBuf> {
        let places = [Path::new("/").join(path), self.root.join(path)];
        let found = places.into_iter().find(|file| file.is_file());
        found.with_context(|| format!("there is no {path}"))
    }
}

/// The host proxy alone, as a process: `--host-proxy LISTEN FAR-END`.
pub fn host_proxy(arguments: &[String]) -> anyhow::Result<()> {
    let [listen, far_end] = arguments else {
        bail!("{HOST_PROXY} LISTEN FAR-END");
    };
    let listen: Address = format!("tcp://{listen}").parse()?;
    let far_end: Address = far_end.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let limits = ProxyLimits::default();
        let proxy = Proxy::bind(&listen, Exposure::LoopbackOnly, limits).await?;
        let (_state, enclave) = watch::channel(Some(Arc::new(EnclaveEndpoints {
            launch: 1,
            control: far_end.clone(),
            tls: far_end,
            egress: None,
            image: None,
        })));
        proxy.serve(enclave, CancellationToken::new()).await;
        Ok(())
    })
}
