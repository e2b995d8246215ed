//! The server: a listener, a bounded number of connections, and an orderly end.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use nacre_telemetry::endpoint::Endpoint;
use nacre_transport::BindError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tower::ServiceExt as _;

use crate::api::{self, Peer};
use crate::config::{Config, Database};
use crate::error::Error;
use crate::keys::make_folder;
use crate::platform::Platform;

/// Connections that are open at a time; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long a client may take for the head of a request, and how long an idle connection stays.
const HEAD: Duration = Duration::from_secs(60);
/// How long requests may take to end when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// How often jobs are looked at to which time has done something.
const JOBS_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether time has done something to the market.
const TICK_EVERY: Duration = Duration::from_millis(100);
/// And every how many times the market is told of the load.
const LOAD_ROUNDS: u32 = 5;
/// How often webhooks are looked at.
const WEBHOOKS_EVERY: Duration = Duration::from_millis(500);
/// How often the ledger is looked at to which time has done something.
const LEDGER_EVERY: Duration = Duration::from_secs(1);
/// How often what is old is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// A control plane that serves.
#[derive(Debug)]
pub struct ControlPlane {
    address: SocketAddr,
    platform: Arc<Platform>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    sweeping: JoinHandle<()>,
    following: JoinHandle<()>,
    moving: JoinHandle<()>,
    ticking: JoinHandle<()>,
    posting: JoinHandle<()>,
    judging: JoinHandle<()>,
    metrics: Option<Endpoint>,
    /// Released when this is dropped.
    _lock: Option<File>,
}

/// Why a control plane does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Tokens and models would travel in the clear.
    #[error(
        "refusing to listen on {0}: this server speaks no TLS, so API keys and models would cross the network in the clear. Listen on loopback behind a TLS proxy, or, if a proxy on another address already terminates TLS, say --behind-tls-proxy"
    )]
    Plaintext(SocketAddr),
    /// The address cannot be taken.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    /// The data folder cannot be made or locked.
    #[error("data folder {0}: {1}")]
    Folder(PathBuf, #[source] io::Error),
    /// Another control plane runs on it.
    #[error("data folder {0} is in use by another control plane")]
    InUse(PathBuf),
    /// The database or the object store cannot be opened.
    #[error(transparent)]
    Open(#[from] Error),
    /// The address for metrics cannot be taken.
    #[error("metrics: {0}")]
    Metrics(#[from] BindError),
    /// A period of zero.
    #[error(
        "--report-every-ms and --offline-after-ms must be above 0, and the second above the first"
    )]
    Periods,
}

impl ControlPlane {
    /// Opens database and object store, listens and serves.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        if !config.listen.ip().is_loopback() && !config.behind_tls_proxy {
            return Err(StartError::Plaintext(config.listen));
        }
        if config.report_every.is_zero() || config.offline_after <= config.report_every {
            return Err(StartError::Periods);
        }
        let lock = match &config.database {
            Database::Folder(data) => Some(lock(data)?),
            Database::Postgres(_) => None,
        };
        let failed = |error| StartError::Listen(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let platform = Arc::new(Platform::open(&config).await?);
        // Before anybody is served: whoever comes later would find that we were away for longer.
        if let Err(error) = platform.notice_outages().await {
            platform.doze();
            tracing::error!(%error, "whether nobody was at work is looked at later");
        }
        let measured = Arc::clone(&platform);
        let read = move || {
            let platform = Arc::clone(&measured);
            async move { platform.read_metrics().await }
        };
        let metrics = config.metrics.serve_read(read).await?;
        let stop = watch::Sender::new(false);
        let router = api::router(Arc::clone(&platform), &config);
        let serving = tokio::spawn(serve(listener, router, stop.subscribe()));
        let every = config.offline_after / 10;
        let sweeping = tokio::spawn(sweep(Arc::clone(&platform), every, stop.subscribe()));
        let following = tokio::spawn(follow(Arc::clone(&platform), stop.subscribe()));
        let moving = tokio::spawn(move_jobs(Arc::clone(&platform), stop.subscribe()));
        let ticking = tokio::spawn(tick_market(Arc::clone(&platform), stop.subscribe()));
        let posting = tokio::spawn(post_webhooks(Arc::clone(&platform), stop.subscribe()));
        let judging = tokio::spawn(look_at_uptime(Arc::clone(&platform), stop.subscribe()));
        Ok(Self {
            address,
            platform,
            stop,
            serving,
            sweeping,
            following,
            moving,
            ticking,
            posting,
            judging,
            metrics,
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDR`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends long polls at once, lets other requests end, and closes the database.
    pub async fn shutdown(mut self) {
        drop(self.metrics.take());
        self.stop.send_replace(true);
        self.platform.wakers().stop();
        // They end on `stop`; a panic in one of them was reported when it happened.
        let _ = self.serving.await;
        let _ = self.sweeping.await;
        let _ = self.following.await;
        let _ = self.moving.await;
        let _ = self.ticking.await;
        let _ = self.posting.await;
        let _ = self.judging.await;
        self.platform.close().await;
    }
}

fn lock(data: &Path) -> Result<File, StartError> {
    let failed = |error| StartError::Folder(data.to_owned(), error);
    make_folder(data).map_err(failed)?;
    let file = File::create(data.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(data.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection = connection(stream, peer, router.clone(), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: give connections time to end.
                tracing::error!(%error, "cannot accept connections");
                let _ = timeout(Duration::from_millis(100), stopped(&mut stop)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all_done = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all_done).await.is_err() {
        tracing::warn!("requests were cut off: they did not end within {GRACE:?}");
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, Peer(peer), place))
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    mut stop: watch::Receiver<bool>,
) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<_>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request.map(Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = core::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Ends when the server stops, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn follow(platform: Arc<Platform>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = platform.follow() => {}
    }
}

async fn sweep(platform: Arc<Platform>, every: Duration, mut stop: watch::Receiver<bool>) {
    let mut silence = interval(every.max(Duration::from_millis(10)));
    silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut forget = interval(FORGET_EVERY);
    forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ledger = interval(LEDGER_EVERY);
    ledger.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let done = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = silence.tick() => platform.take_silent_nodes_offline().await,
            _ = ledger.tick() => platform.tick_ledger().await,
            _ = forget.tick() => platform.forget_old().await,
        };
        if let Err(error) = done {
            platform.meters().failed(&error);
            tracing::error!(%error, "sweep failed; it is tried again");
        }
    }
}

async fn move_jobs(platform: Arc<Platform>, mut stop: watch::Receiver<bool>) {
    let mut tick = interval(JOBS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = tick.tick() => {}
        }
        let moved = platform.move_overdue_jobs().await;
        let moved = moved.and(platform.end_overrun_jobs().await);
        if let Err(error) = moved.and(platform.delete_expired_objects().await) {
            platform.meters().failed(&error);
            tracing::error!(%error, "jobs were not moved; it is tried again");
        }
    }
}

async fn tick_market(platform: Arc<Platform>, mut stop: watch::Receiver<bool>) {
    let mut rounds = 0;
    let mut tick = interval(TICK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = tick.tick() => {}
        }
        rounds = (rounds + 1) % LOAD_ROUNDS;
        let told = match rounds {
            0 => tell_market(&platform).await,
            _ => Ok(()),
        };
        if let Err(error) = told.and(platform.tick_market().await) {
            tracing::error!(%error, "the market hears nothing; it is tried again");
        }
    }
}

/// One that fails keeps the market from nothing else.
async fn tell_market(platform: &Platform) -> Result<(), Error> {
    let load = platform.follow_load().await;
    let conduct = platform.follow_conduct().await;
    let weights = platform.follow_weights().await;
    load.and(conduct).and(weights)
}

/// Whoever does not answer must not keep anything else waiting.
async fn post_webhooks(platform: Arc<Platform>, mut stop: watch::Receiver<bool>) {
    let mut tick = interval(WEBHOOKS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let posted = tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            posted = async {
                tick.tick().await;
                platform.post_webhooks().await
            } => posted,
        };
        if let Err(error) = posted {
            platform.meters().failed(&error);
            tracing::error!(%error, "webhooks were not posted; it is tried again");
        }
    }
}

async fn look_at_uptime(platform: Arc<Platform>, mut stop: watch::Receiver<bool>) {
    let slot = Duration::from_millis(platform.schedule().slot_ms().into());
    let mut tick = interval(slot / 4);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = platform.look_at_uptime().await {
            platform.doze();
            tracing::error!(%error, "uptime was not looked at; it is tried again");
        }
    }
}
