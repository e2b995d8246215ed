//! The Unix socket front.
//!
//! A message is its length in four bytes, big-endian, and the CBOR that `/dev/nsm` would take or
//! give. A connection carries any number of requests, each answered before the next is read. All
//! connections share one module behind one lock, as all users of the device share the kernel's
//! mutex: while one request is served, every other waits.
//!
//! What a client may cost is bounded: [`Options::max_connections`] at once (one more is closed at
//! once), a frame that began must be complete, and an answer taken, within
//! [`Options::frame_timeout`]; a frame longer than [`nsm::MAX_REQUEST`] is read past and answered
//! `InputTooLarge`, one longer than [`MAX_DRAINED`] is answered so and the connection is closed.

use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::faults::{Faults, FaultyNsm, Served};
use crate::nsm::{self, ErrorCode, Nsm};
use crate::socket_file::SocketFile;

pub use crate::socket_file::SocketError as BindError;

/// The longest frame that is read past, in bytes.
pub const MAX_DRAINED: usize = 64 * 1024;

/// How the front behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the module is busy with a request, at least. Others wait meanwhile.
    pub latency: Duration,
    /// How many connections are served at once.
    pub max_connections: usize,
    /// How long a frame may take from its first byte to its last, and an answer to be taken.
    pub frame_timeout: Duration,
    /// The clock: milliseconds since the Unix epoch.
    pub clock: fn() -> u64,
    /// What is wrong with the module.
    pub faults: Faults,
    /// Where requests are counted.
    pub served: Served,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            max_connections: 64,
            frame_timeout: Duration::from_secs(5),
            clock: system_clock,
            faults: Faults::none(),
            served: Served::default(),
        }
    }
}

/// The system's clock in milliseconds since the Unix epoch; zero before it.
#[must_use]
pub fn system_clock() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A listening socket that only its owner may use; its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    _file: SocketFile,
}

impl Socket {
    /// Listens on `path`, in place of a socket that nobody listens on any more.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When somebody listens there, something that is no socket has that name, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        let failed = |source| BindError::Io {
            path: path.to_owned(),
            source,
        };
        let (listener, file) = SocketFile::bind(path)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        Ok(Self {
            listener,
            _file: file,
        })
    }

    /// Serves `module` until `stop` is done; connections end with it.
    ///
    /// # Errors
    ///
    /// When the system no longer lets connections in.
    pub async fn serve(
        self,
        module: Nsm,
        options: Options,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let faults = options.faults.clone();
        let module = FaultyNsm::new(module, faults, options.clock, options.latency);
        let module = module.counting(options.served.clone());
        let device = Arc::new(Device {
            module: Mutex::new(module),
            options,
        });
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok(_) if connections.len() >= device.options.max_connections => {
                        tracing::warn!(limit = device.options.max_connections, "too many connections: one refused");
                    }
                    Ok((stream, _)) => {
                        connections.spawn(converse(stream, Arc::clone(&device)));
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

impl Socket {
    /// The next connection.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

/// The module and the one lock around it.
struct Device {
    module: Mutex<FaultyNsm>,
    options: Options,
}

impl Device {
    /// The answer; none is never to come.
    async fn ask(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut module = self.module.lock().await;
        let begin = Instant::now();
        let answer = module.ask(request);
        sleep_until(begin + answer.busy).await;
        answer.response
    }
}

async fn converse(mut stream: UnixStream, device: Arc<Device>) {
    if let Err(error) = exchange(&mut stream, &device).await {
        tracing::debug!(%error, "connection dropped");
    }
}

async fn exchange(stream: &mut UnixStream, device: &Device) -> io::Result<()> {
    let patience = device.options.frame_timeout;
    loop {
        let mut length = [0; 4];
        if stream.read(&mut length[..1]).await? == 0 {
            return Ok(());
        }
        let (answer, go_on) = match timeout(patience, read_frame(stream, length)).await?? {
            Frame::Request(request) => match device.ask(&request).await {
                Some(answer) => (answer, true),
                None => return wait_in_vain(stream).await,
            },
            Frame::TooLong => (nsm::error_response(ErrorCode::InputTooLarge), true),
            Frame::Absurd => (nsm::error_response(ErrorCode::InputTooLarge), false),
        };
        timeout(patience, write_frame(stream, &answer)).await??;
        if !go_on {
            return Ok(());
        }
    }
}

/// Keeps a connection until its client gives up.
async fn wait_in_vain(stream: &mut UnixStream) -> io::Result<()> {
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

enum Frame {
    Request(Vec<u8>),
    /// Longer than the device takes, and read past.
    TooLong,
    /// So long that it was not even read past.
    Absurd,
}

/// Reads a frame whose length's first byte has arrived.
async fn read_frame(stream: &mut UnixStream, mut length: [u8; 4]) -> io::Result<Frame> {
    stream.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_DRAINED {
        return Ok(Frame::Absurd);
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(if length > nsm::MAX_REQUEST {
        Frame::TooLong
    } else {
        Frame::Request(frame)
    })
}

async fn write_frame(stream: &mut UnixStream, answer: &[u8]) -> io::Result<()> {
    let length = u32::try_from(answer.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), answer].concat())
        .await
}

#[cfg(test)]
mod tests;
