//! Bringing a caller's first message to a node that answers it.
//!
//! A node is tried by sending it the whole message and waiting for the first byte. If that does not come, the message goes
//! to another node: the caller has seen nothing, and a ClientHello by itself starts nothing that it would matter to start
//! twice. More of what the caller sends is not read before there is an answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nacre_transport::{ConnectError, Stream, connect_saying, proxy_header};
use rustix::io::Errno;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, timeout};

use crate::counters::Counters;
use crate::health::Sign;
use crate::node::{InFlight, Node};
use crate::routes::{Route, Routes};

/// Nodes that one connection is tried on.
const TRIES: usize = 3;

/// How nodes are reached.
#[derive(Debug, Clone, Copy)]
pub struct DialLimits {
    /// Until a node accepts.
    pub connect: Duration,
    /// From then until its first byte.
    pub answer: Duration,
    /// The same where no other node is left to be tried: longer than a host keeps callers while its enclave starts again,
    /// so that a restart looks like latency and not like refusal.
    pub last_answer: Duration,
    /// Begin with a PROXY protocol v2 header, as hosts expect it that are told `--proxy-protocol-from`.
    pub proxy_protocol: bool,
}

impl Default for DialLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(3),
            last_answer: Duration::from_secs(8),
            proxy_protocol: true,
        }
    }
}

/// A caller's first message, and where it came from and to.
#[derive(Debug)]
pub(crate) struct First {
    pub(crate) hello: Vec<u8>,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) to: Option<SocketAddr>,
}

/// Reaches nodes.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) routes: Routes,
    pub(crate) limits: DialLimits,
}

impl Dialer {
    /// A connection whose first byte back waits to be read; `None`: nobody answered.
    pub(crate) async fn dial(
        &self,
        route: &Route,
        first: First,
        counters: &Counters,
    ) -> Option<(Stream, InFlight)> {
        let mut message = self.header(&first);
        message.extend_from_slice(&first.hello);
        let mut tried = Vec::new();
        while tried.len() < TRIES
            && let Some(chosen) = self.routes.choose(route, &tried)
        {
            let last = tried.len() + 1 == TRIES || !route.has_others(&tried, chosen.node());
            let patience = if last {
                self.limits.last_answer
            } else {
                self.limits.answer
            };
            match self.try_one(chosen.node(), &message, patience).await {
                Ok(stream) => {
                    chosen.node().saw(Sign::Answered);
                    counters.answered(first.hello.len());
                    return Some((stream, chosen));
                }
                Err(sign) => {
                    if let Some(sign) = sign {
                        chosen.node().saw(sign);
                    }
                    counters.tried_again();
                    tried.push(chosen.node().clone());
                }
            }
        }
        None
    }

    fn header(&self, first: &First) -> Vec<u8> {
        match (self.limits.proxy_protocol, first.from, first.to) {
            (false, ..) => Vec::new(),
            (true, Some(from), Some(to)) => proxy_header::header(from, to),
            (true, ..) => proxy_header::LOCAL_HEADER.to_vec(),
        }
    }

    /// Fails with what that says of the node, if anything.
    async fn try_one(
        &self,
        node: &Node,
        message: &[u8],
        patience: Duration,
    ) -> Result<Stream, Option<Sign>> {
        let deadline = Instant::now() + self.limits.connect;
        let reached = connect_saying(node.address(), message, deadline).await;
        let (mut stream, said) = match reached {
            Ok(reached) => reached,
            Err(error) => {
                tracing::debug!(%error, "a node cannot be connected to");
                return Err((!is_own_fault(&error)).then_some(Sign::Unreachable));
            }
        };
        let answer = timeout(patience, answer(&mut stream, &message[said..])).await;
        if matches!(answer, Ok(Ok(true))) {
            return Ok(stream);
        }
        tracing::debug!(node = %node.address(), ?answer, "a node does not answer");
        stream.abort_on_close();
        Err(Some(Sign::Silent))
    }
}

/// Says the rest; whether a byte came back before the end.
async fn answer(stream: &mut Stream, rest: &[u8]) -> io::Result<bool> {
    stream.write_all(rest).await?;
    match stream {
        Stream::Tcp(stream) => Ok(stream.peek(&mut [0]).await? > 0),
        // Nodes are reached by TCP.
        _ => Ok(false),
    }
}

/// This machine has no file, port or memory for another connection: no node's fault.
fn is_own_fault(error: &ConnectError) -> bool {
    let ConnectError::Io(_, error) = error else {
        return false;
    };
    let own = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    Errno::from_io_error(error).is_some_and(|error| own.contains(&error))
}
