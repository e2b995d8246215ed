//! The threads that carry connections. Each has a runtime of its own, accepts for itself and keeps what it accepted: a
//! connection is never handed from thread to thread, which costs more than all that is done with it otherwise.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nacre_transport::{Address, Listener, Stream};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After a failed `accept`: no file is left.
const PAUSE: Duration = Duration::from_millis(50);
/// Nobody else waits to be accepted when nobody came for so long.
const QUIET: Duration = Duration::from_millis(50);
/// Lanes at most. The cores of such a host are the enclave's, and every idle lane is woken for every caller.
const MOST: usize = 4;
/// Files of one lane: its listening socket, and what its runtime waits with.
const FILES_OF_ONE: usize = 8;
/// Files of all lanes.
pub(crate) const FILES: usize = MOST * FILES_OF_ONE;

/// What is done with connections that are accepted.
#[derive(Debug, Clone)]
pub struct Carrier<T> {
    /// Takes one, and gives the rest of its life; `None` when it has been turned away.
    pub take: T,
    /// Every task of every lane. When it is closed and empty, the lanes end.
    pub open: TaskTracker,
    /// Ends accepting.
    pub stop: CancellationToken,
    /// Closing the socket resets who waits to be accepted. So after the stop they are still accepted, until nobody came
    /// for a while, and for no longer than this.
    pub last_call: Duration,
}

/// The lanes of one proxy.
#[derive(Debug)]
pub struct Lanes(Vec<JoinHandle<()>>);

impl Lanes {
    /// Starts them; they accept until they are to stop, and then listen no more. What is not TCP, and a machine that gives
    /// no threads, is served by the runtime of who calls.
    pub async fn start<T, F>(listener: Listener, carrier: &Carrier<T>) -> Self
    where
        T: Fn(Stream, Option<SocketAddr>) -> Option<F> + Clone + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut threads = Vec::new();
        if matches!(listener.local_address(), Address::Tcp { .. }) {
            let loads: Loads = (0..lanes()).map(|_| AtomicUsize::new(0)).collect();
            for number in 0..loads.len() {
                let lane = Lane {
                    all: Arc::clone(&loads),
                    number,
                };
                match start(&listener, carrier.clone(), lane).await {
                    Ok(thread) => threads.push(thread),
                    Err(error) => tracing::warn!(%error, "a thread less carries connections"),
                }
            }
        }
        if threads.is_empty() {
            let all = Arc::new([AtomicUsize::new(0)]);
            carrier.accept_on(Door::Any(listener), Lane { all, number: 0 });
        }
        Self(threads)
    }

    /// Waits until they have ended.
    pub async fn ended(self) {
        let joined = spawn_blocking(|| {
            self.0
                .into_iter()
                .map(JoinHandle::join)
                .all(|end| end.is_ok())
        });
        if !joined.await.unwrap_or(false) {
            tracing::error!("a thread that carried connections panicked");
        }
    }
}

fn lanes() -> usize {
    thread::available_parallelism()
        .map_or(1, usize::from)
        .min(MOST)
}

/// Starts one; returns when callers can reach it.
async fn start<T, F>(
    listener: &Listener,
    carrier: Carrier<T>,
    lane: Lane,
) -> io::Result<JoinHandle<()>>
where
    T: Fn(Stream, Option<SocketAddr>) -> Option<F> + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let socket = listener.as_fd().try_clone_to_owned()?;
    let (ready, is_ready) = oneshot::channel();
    let thread = thread::Builder::new()
        .name(format!("lane-{}", lane.number))
        .spawn(move || match runtime_with(socket) {
            Ok((runtime, door)) => runtime.block_on(async {
                let open = carrier.open.clone();
                // Not by this future itself: to wake that one costs a system call.
                carrier.accept_on(door, lane);
                let _ = ready.send(Ok(()));
                open.wait().await;
            }),
            Err(error) => drop(ready.send(Err(error))),
        })?;
    is_ready.await.map_err(io::Error::other)??;
    Ok(thread)
}

fn runtime_with(socket: OwnedFd) -> io::Result<(Runtime, Door)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let door = {
        let _inside = runtime.enter();
        Door::Tcp(TcpListener::from_std(socket.into())?)
    };
    Ok((runtime, door))
}

/// Where connections come in.
enum Door {
    /// A lane's own handle of the socket that all lanes listen on.
    Tcp(TcpListener),
    /// The one handle of a socket of any kind.
    Any(Listener),
}

impl Door {
    async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Any(listener) => listener.accept_from().await,
            Self::Tcp(listener) => loop {
                match listener.accept().await {
                    // Nagle's algorithm is off as it is on the listening socket (tcp(7)).
                    Ok((stream, from)) => return Ok((Stream::Tcp(stream), Some(from))),
                    // The peer gave up while it waited; accept(2).
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(error),
                }
            },
        }
    }
}

/// Connections of every lane.
type Loads = Arc<[AtomicUsize]>;

/// One lane among all.
#[derive(Clone)]
struct Lane {
    all: Loads,
    number: usize,
}

/// One connection of a lane, until dropped.
struct Carried(Lane);

impl Lane {
    fn one_more(&self) -> Carried {
        self.all[self.number].fetch_add(1, Relaxed);
        Carried(self.clone())
    }

    /// Whether another lane has less to do.
    fn is_above_another(&self) -> bool {
        let own = self.all[self.number].load(Relaxed);
        self.all.iter().any(|load| load.load(Relaxed) < own)
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.all[self.0.number].fetch_sub(1, Relaxed);
    }
}

impl<T, F> Carrier<T>
where
    T: Fn(Stream, Option<SocketAddr>) -> Option<F> + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Accepts in the background, until it is to stop.
    fn accept_on(&self, door: Door, lane: Lane) {
        let this = self.clone();
        self.open.spawn(async move {
            tokio::select! {
                () = this.stop.cancelled() => {}
                () = this.accept_all(&door, &lane) => {}
            }
            this.accept_the_last(&door, &lane).await;
            this.open.close();
        });
    }

    async fn accept_all(&self, door: &Door, lane: &Lane) {
        loop {
            // Gives the others a chance to take the next one of many who come at once.
            if lane.is_above_another() {
                yield_now().await;
            }
            match door.accept().await {
                Ok((caller, from)) => self.carry(caller, from, lane),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep_until(Instant::now() + PAUSE).await;
                }
            }
        }
    }

    async fn accept_the_last(&self, door: &Door, lane: &Lane) {
        let until = Instant::now() + self.last_call;
        while Instant::now() < until
            && let Ok(Ok((caller, from))) = timeout(QUIET, door.accept()).await
        {
            self.carry(caller, from, lane);
        }
    }

    fn carry(&self, caller: Stream, from: Option<SocketAddr>, lane: &Lane) {
        if let Some(connection) = (self.take)(caller, from) {
            let carried = lane.one_more();
            self.open.spawn(async move {
                connection.await;
                drop(carried);
            });
        }
    }
}
