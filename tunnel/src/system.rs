//! What a program that carries many connections asks of the system.

use std::time::Duration;

use nacre_transport::Listener;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Asks the kernel to probe silent callers, so that one who vanished does not hold its place. What is accepted inherits it.
pub fn notice_dead_peers(listener: &Listener) -> std::io::Result<()> {
    sockopt::set_tcp_keepidle(listener, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(listener, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(listener, 3)?;
    Ok(sockopt::set_socket_keepalive(listener, true)?)
}

/// As many open files as the system lets us have; how many that is.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files stays low");
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
