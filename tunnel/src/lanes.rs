//! The threads that carry connections. Each has a runtime of its own, accepts for itself and keeps what it accepted:
//! handing a connection from thread to thread costs more than all that is done with it otherwise. So only one that would
//! leave the lanes unequal is handed over, before anything is done with it.

mod door;
mod shut;
pub(crate) mod watch;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nacre_transport::{Address, Listener, Stream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use door::{Accepted, Door};
use watch::Watch;

/// After a failed `accept`: no file is left.
const PAUSE: Duration = Duration::from_millis(50);
/// Nobody else waits to be accepted when nobody came for so long: longer than most callers are away.
const QUIET: Duration = Duration::from_millis(200);
/// Lanes at most. The cores of such a host are the enclave's, and every idle lane is woken for every caller.
const MOST: usize = 4;
/// Connections by which one lane may have more to do than another before it hands new ones over.
const UNEQUAL: usize = 2;
/// Connections that wait to be taken by the lane that they were handed to.
const HANDED: usize = 256;
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
    /// Closing the socket resets who waits to be accepted. So after the stop nobody more may begin to connect, and those who
    /// have begun are still accepted, until nobody came for a while, and for no longer than this. Zero: neither is done.
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
            for (lane, handed) in Lane::row(lanes()) {
                let loads = Arc::clone(&lane.loads);
                let number = lane.number;
                match start(&listener, carrier.clone(), lane, handed).await {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        loads[number].store(usize::MAX, Relaxed);
                        tracing::warn!(%error, "a thread less carries connections");
                    }
                }
            }
        }
        if threads.is_empty()
            && let Some((lane, handed)) = Lane::row(1).pop()
        {
            carrier.accept_on(Door::Any(listener), lane, handed);
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
    handed: mpsc::Receiver<Handed>,
) -> io::Result<JoinHandle<()>>
where
    T: Fn(Stream, Option<SocketAddr>) -> Option<F> + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let socket = listener.as_fd().try_clone_to_owned()?;
    let (ready, is_ready) = oneshot::channel();
    let thread = thread::Builder::new()
        .name(format!("lane-{}", lane.number))
        .spawn(move || match runtime_with(socket, &lane.watch) {
            Ok((runtime, door)) => runtime.block_on(async {
                let open = carrier.open.clone();
                let watch = Arc::clone(&lane.watch);
                // Not by this future itself: to wake that one costs a system call.
                tokio::spawn(async move { watch.look_on().await });
                carrier.accept_on(door, lane, handed);
                let _ = ready.send(Ok(()));
                open.wait().await;
            }),
            Err(error) => drop(ready.send(Err(error))),
        })?;
    is_ready.await.map_err(io::Error::other)??;
    Ok(thread)
}

fn runtime_with(socket: OwnedFd, watch: &Arc<Watch>) -> io::Result<(Runtime, Door)> {
    let watch = Arc::clone(watch);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || watch.before_sleep())
        .build()?;
    let door = {
        let _inside = runtime.enter();
        Door::tcp(socket)?
    };
    Ok((runtime, door))
}

/// One lane among all.
struct Lane {
    number: usize,
    /// Connections of every lane.
    loads: Arc<[AtomicUsize]>,
    /// The ways to all lanes.
    ways: Vec<mpsc::Sender<Handed>>,
    watch: Arc<Watch>,
}

/// A connection that one lane accepted and another carries.
struct Handed(Accepted, Carried);

/// One connection of a lane, until dropped.
struct Carried {
    loads: Arc<[AtomicUsize]>,
    number: usize,
}

impl Lane {
    /// So many lanes, each with what is handed to it.
    fn row(lanes: usize) -> Vec<(Self, mpsc::Receiver<Handed>)> {
        let loads: Arc<[AtomicUsize]> = (0..lanes).map(|_| AtomicUsize::new(0)).collect();
        let (ways, ends): (Vec<_>, Vec<_>) = (0..lanes).map(|_| mpsc::channel(HANDED)).unzip();
        let with_end = |(number, end)| {
            let lane = Self {
                number,
                loads: Arc::clone(&loads),
                ways: ways.clone(),
                watch: Arc::default(),
            };
            (lane, end)
        };
        ends.into_iter().enumerate().map(with_end).collect()
    }

    fn load(&self) -> usize {
        self.loads[self.number].load(Relaxed)
    }

    /// The lane with the least to do, and how much that is.
    fn least(&self) -> (usize, usize) {
        let loads = self.loads.iter().map(|load| load.load(Relaxed));
        let least = loads.enumerate().min_by_key(|(_, load)| *load);
        least.unwrap_or((self.number, 0))
    }

    fn one_more_on(&self, number: usize) -> Carried {
        self.loads[number].fetch_add(1, Relaxed);
        Carried {
            loads: Arc::clone(&self.loads),
            number,
        }
    }

    /// Counts one that was accepted, and hands it over if another lane has much less to do.
    fn keep(&self, accepted: Accepted) -> Option<Handed> {
        let (least, load) = self.least();
        if self.load() < load.saturating_add(UNEQUAL) || !matches!(accepted, Accepted::Tcp(..)) {
            return Some(Handed(accepted, self.one_more_on(self.number)));
        }
        let handed = Handed(accepted, self.one_more_on(least));
        match self.ways[least].try_send(handed) {
            Ok(()) => None,
            Err(TrySendError::Full(back) | TrySendError::Closed(back)) => {
                Some(Handed(back.0, self.one_more_on(self.number)))
            }
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.loads[self.number].fetch_sub(1, Relaxed);
    }
}

impl<T, F> Carrier<T>
where
    T: Fn(Stream, Option<SocketAddr>) -> Option<F> + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Accepts in the background, until it is to stop.
    fn accept_on(&self, door: Door, lane: Lane, mut handed: mpsc::Receiver<Handed>) {
        let this = self.clone();
        self.open.spawn(async move {
            // Until no lane accepts any more.
            while let Some(connection) = handed.recv().await {
                this.carry(connection);
            }
        });
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
            if lane.load() > lane.least().1 {
                yield_now().await;
            }
            match door.accept().await {
                Ok(accepted) => self.take_in(accepted, lane),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep_until(Instant::now() + PAUSE).await;
                }
            }
        }
    }

    async fn accept_the_last(&self, door: &Door, lane: &Lane) {
        if self.last_call.is_zero() {
            return;
        }
        if let Err(error) = door.shut() {
            tracing::warn!(%error, "callers who come in the last moment may be reset");
        }
        let until = Instant::now() + self.last_call;
        while Instant::now() < until
            && let Ok(Ok(accepted)) = timeout(QUIET, door.accept()).await
        {
            self.take_in(accepted, lane);
        }
    }

    fn take_in(&self, accepted: Accepted, lane: &Lane) {
        if let Some(connection) = lane.keep(accepted) {
            self.carry(connection);
        }
    }

    fn carry(&self, Handed(accepted, carried): Handed) {
        let (caller, from) = match accepted.into_stream() {
            Ok(accepted) => accepted,
            Err(error) => return tracing::warn!(%error, "cannot wait for a connection"),
        };
        if let Some(connection) = (self.take)(caller, from) {
            // Where it stays: a task is moved several times before it runs.
            let connection = Box::pin(connection);
            self.open.spawn(async move {
                connection.await;
                drop(carried);
            });
        }
    }
}

#[cfg(test)]
mod tests;
