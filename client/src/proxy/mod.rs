//! Plain HTTP/1.1 on this machine in, attested TLS out: so that unmodified KServe clients call functions in enclaves.
//!
//! The proxy is the relying party for clients that cannot be one. It sends nothing of a request before the enclave's
//! evidence satisfied the policy, names the function digest in each request, and passes on no answer whose receipt
//! does not prove it. Between it and its caller nothing is encrypted, so that it listens on loopback or on a Unix
//! socket of its user only; and since every page in a browser can reach loopback, requests that a page sent are
//! refused by `Host` (DNS rebinding) and `Origin`.
//!
//! | path | goes to |
//! |---|---|
//! | `/v2/models/{name}…` | that function |
//! | `/v2`, `/v2/health/live`, `/v2/health/ready`, `/v2/repository/index` | an enclave of any function |
//! | `/v1/…` | the function, where exactly one is served |
//! | `/healthz` | the proxy itself |
//!
//! An answer says what it is worth: `nacre-verdict: trusted; root=AWS`, or `trusted; root=DEVELOPMENT ROOT`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use nacre_protocol::digest::Digest;
use nacre_protocol::ids::FunctionName;
use nacre_telemetry::metrics::Metrics;
use nacre_transport::{Address, BindError, Listener};

use crate::connection::Endpoint;
use crate::pool::ClientOptions;
use crate::trust::Trust;

mod body;
mod forward;
mod guard;
mod headers;
mod meters;
mod refusal;
mod route;
mod server;
mod upstream;

use guard::Guard;
use meters::Meters;
use upstream::{DynResolver, Upstream};

/// How a proxy listens, and its limits.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Where it listens.
    pub listen: ProxyListen,
    /// Names that callers may have in `Host`, with or without a port, besides loopback's names.
    pub allow_hosts: Vec<String>,
    /// Largest request body, as sent and decoded, bytes. Default 64 MiB.
    pub max_body: usize,
    /// Most connections of callers at once; others wait. Default 256.
    pub max_connections: usize,
    /// How long an enclave that cannot be reached is tried again while a caller waits. Default 5 s.
    pub patience: Duration,
    /// Limits towards enclaves.
    pub client: ClientOptions,
}

impl ProxyConfig {
    /// The defaults, for a place to listen.
    pub fn new(listen: ProxyListen) -> Self {
        let client = ClientOptions {
            handshake_timeout: Duration::from_secs(5),
            ..ClientOptions::default()
        };
        Self {
            listen,
            allow_hosts: Vec::new(),
            max_body: 64 << 20,
            max_connections: 256,
            patience: Duration::from_secs(5),
            client,
        }
    }
}

/// Where a proxy listens: `127.0.0.1:7610`, `[::1]:7610`, `localhost:7610` or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyListen {
    /// A loopback address; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// A Unix socket: mode 0600, a stale file is replaced, and the file is removed at the end.
    Unix(PathBuf),
}

/// A function that the proxy serves, pinned to a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxiedFunction {
    /// The name that callers use as the model's.
    pub name: FunctionName,
    /// The digest that must answer.
    pub digest: Digest,
}

/// Knows where functions run.
pub trait Resolver: Send + Sync + 'static {
    /// The endpoints of a function now; the error is for people. Asked at the first request, and again when the known
    /// endpoints fail.
    fn endpoints(
        &self,
        function: &FunctionName,
    ) -> impl Future<Output = Result<Vec<Endpoint>, String>> + Send;
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// Where to listen cannot be read.
    #[error("{0:?} is not a place to listen: write a loopback address with its port, or unix:PATH")]
    ListenSyntax(String),
    /// Callers on other machines would send in the clear.
    #[error(
        "{0} is not a loopback address: what callers send is not encrypted before it reaches the proxy"
    )]
    NotLoopback(SocketAddr),
    /// An allowed host is not one.
    #[error("{0:?} is not a host name, with or without a port")]
    AllowHost(String),
    /// There is nothing to serve.
    #[error("no function to serve")]
    NoFunction,
    /// Two functions of one name.
    #[error("function {0} is named twice")]
    DuplicateFunction(FunctionName),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl ProxyError {
    /// Stable kebab-case code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ListenSyntax(_) => "listen-syntax",
            Self::NotLoopback(_) => "not-loopback",
            Self::AllowHost(_) => "allow-host-syntax",
            Self::NoFunction => "no-function",
            Self::DuplicateFunction(_) => "duplicate-function",
            Self::Bind(BindError::InUse(_)) => "address-in-use",
            Self::Bind(_) => "bind-failed",
        }
    }
}

/// A proxy that listens.
#[derive(Debug)]
pub struct Proxy {
    listener: Listener,
    listen: ProxyListen,
    shared: Arc<Shared>,
}

/// What every request needs.
#[derive(Debug)]
struct Shared {
    upstreams: BTreeMap<FunctionName, Upstream>,
    guard: Guard,
    max_body: usize,
    max_connections: usize,
    patience: Duration,
    meters: Meters,
}

/// Begins to listen for these functions. Enclaves are connected to when the first request comes.
pub async fn bind(
    config: ProxyConfig,
    trust: Trust,
    functions: Vec<ProxiedFunction>,
    resolver: impl Resolver,
) -> Result<Proxy, ProxyError> {
    let guard = Guard::new(&config.listen, &config.allow_hosts)?;
    let resolver: Arc<dyn DynResolver> = Arc::new(resolver);
    let mut upstreams = BTreeMap::new();
    for function in functions {
        let name = function.name.clone();
        let options = config.client.clone();
        let upstream = Upstream::new(function, trust.clone(), options, Arc::clone(&resolver));
        if upstreams.insert(name.clone(), upstream).is_some() {
            return Err(ProxyError::DuplicateFunction(name));
        }
    }
    if upstreams.is_empty() {
        return Err(ProxyError::NoFunction);
    }
    let listener = Listener::bind(&address(&config.listen)?).await?;
    let listen = match (listener.local_address(), config.listen) {
        (Address::Tcp { port, .. }, ProxyListen::Tcp(asked)) => {
            ProxyListen::Tcp(SocketAddr::new(asked.ip(), *port))
        }
        (_, asked) => asked,
    };
    let shared = Shared {
        upstreams,
        guard,
        max_body: config.max_body,
        max_connections: config.max_connections,
        patience: config.patience,
        meters: Meters::new(),
    };
    Ok(Proxy {
        listener,
        listen,
        shared: Arc::new(shared),
    })
}

impl Proxy {
    /// Where it listens, with the port that the kernel chose where 0 was asked for.
    pub fn local_addr(&self) -> &ProxyListen {
        &self.listen
    }

    /// What it counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.shared.meters.exposed)
    }

    /// Serves until `shutdown` is ready, then finishes what is under way, for a few seconds at most.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        server::serve(self.listener, self.shared, shutdown).await;
    }
}

fn address(listen: &ProxyListen) -> Result<Address, ProxyError> {
    match listen {
        ProxyListen::Tcp(address) if !address.ip().to_canonical().is_loopback() => {
            Err(ProxyError::NotLoopback(*address))
        }
        ProxyListen::Tcp(address) => Ok(Address::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        }),
        ProxyListen::Unix(path) => Ok(Address::Unix(path.clone())),
    }
}

impl FromStr for ProxyListen {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let error = || ProxyError::ListenSyntax(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err(error()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        if let Some(port) = text.strip_prefix("localhost:") {
            let port = port.parse().map_err(|_| error())?;
            return Ok(Self::Tcp((IpAddr::from([127, 0, 0, 1]), port).into()));
        }
        Ok(Self::Tcp(text.parse().map_err(|_| error())?))
    }
}

/// Writes what callers connect to: `http://127.0.0.1:7610` without the scheme, or `unix:PATH`.
impl fmt::Display for ProxyListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_are_read() {
        for (text, shown) in [
            ("127.0.0.1:7610", "127.0.0.1:7610"),
            ("[::1]:0", "[::1]:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("unix:/run/p.sock", "unix:/run/p.sock"),
        ] {
            assert_eq!(text.parse::<ProxyListen>().unwrap().to_string(), shown);
        }
        for bad in [
            "",
            "unix:",
            "7610",
            "localhost",
            "example.org:80",
            "localhost:x",
        ] {
            let error = bad.parse::<ProxyListen>().unwrap_err();
            assert_eq!(error.code(), "listen-syntax", "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_listened_on() {
        for open in [
            "0.0.0.0:80",
            "[::]:80",
            "192.0.2.1:80",
            "[::ffff:192.0.2.1]:80",
        ] {
            let error = address(&open.parse().unwrap()).unwrap_err();
            assert_eq!(error.code(), "not-loopback", "{open}");
        }
        for loopback in ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80"] {
            assert!(address(&loopback.parse().unwrap()).is_ok(), "{loopback}");
        }
    }
}
