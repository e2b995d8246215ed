//! Loads for a byte proxy, and the far end that they reach through it.
//!
//! Everything here is plain blocking sockets and threads, so that the same load meets every proxy.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use super::samples::Samples;

/// Connections that the far end serves at once.
const FAR_END_THREADS: usize = 96;
/// Bytes of one read or write of bulk.
const CHUNK: usize = 256 * 1024;
/// A load that stands still this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first byte of a connection says what its far end does.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
enum Ask {
    Echo = b'e',
    Swallow = b's',
    Pour = b'p',
}

/// A far end on a Unix socket, for as long as the process lives.
pub fn serve_unix(path: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(path).context("the far end's Unix socket")?;
    serve(move || {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    Ok(())
}

/// A far end on TCP, for as long as the process lives; where it listens.
pub fn serve_tcp() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("the far end's TCP socket")?;
    let address = listener.local_addr()?;
    serve(move || {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    });
    Ok(address)
}

fn serve<S: Read + Write>(accept: impl Fn() -> io::Result<S> + Send + Sync + 'static) {
    let accept = Arc::new(accept);
    for _ in 0..FAR_END_THREADS {
        let accept = Arc::clone(&accept);
        std::thread::spawn(move || {
            let mut chunk = vec![0; CHUNK];
            loop {
                // What goes wrong with one connection is seen by the load at its other end.
                if let Ok(mut stream) = accept() {
                    let _ = answer(&mut stream, &mut chunk);
                }
            }
        });
    }
}

fn answer(stream: &mut (impl Read + Write), chunk: &mut [u8]) -> io::Result<()> {
    let mut ask = [0];
    stream.read_exact(&mut ask)?;
    match ask[0] {
        b'e' => loop {
            match stream.read(chunk)? {
                0 => return Ok(()),
                n => stream.write_all(&chunk[..n])?,
            }
        },
        b's' => {
            while stream.read(chunk)? > 0 {}
            stream.write_all(b"!")
        }
        _ => loop {
            stream.write_all(chunk)?;
        },
    }
}

fn connect(proxy: SocketAddr, ask: Ask) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[ask as u8])?;
    Ok(stream)
}

/// Bytes a second from caller to far end, over so many connections together, until all have arrived.
pub fn pour_in(proxy: SocketAddr, connections: usize, window: Duration) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let sent = on_threads(connections, move |_| {
        let mut stream = connect(proxy, Ask::Swallow)?;
        let chunk = vec![0; CHUNK];
        let mut sent = 0;
        while begun.elapsed() < window {
            stream.write_all(&chunk)?;
            sent += CHUNK as u64;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_exact(&mut [0])?;
        Ok(sent)
    })?;
    Ok(sent.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

/// Bytes a second from far end to caller.
pub fn pour_out(proxy: SocketAddr, connections: usize, window: Duration) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let got = on_threads(connections, move |_| {
        let mut stream = connect(proxy, Ask::Pour)?;
        let mut chunk = vec![0; CHUNK];
        let mut got = 0;
        while begun.elapsed() < window {
            match stream.read(&mut chunk)? {
                0 => return Err(anyhow!("the stream ended early")),
                n => got += n as u64,
            }
        }
        Ok(got)
    })?;
    Ok(got.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

/// New connections a second: each is opened, carries one byte there and back, and is closed.
pub fn new_connections(proxy: SocketAddr, callers: usize, window: Duration) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let made = on_threads(callers, move |_| {
        let mut made = 0;
        while begun.elapsed() < window {
            let mut stream = connect(proxy, Ask::Echo)?;
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
            made += 1;
        }
        Ok(made)
    })?;
    Ok(made.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

/// Round trips of so many bytes, each on one of so many connections at once.
pub fn ping_pong(
    proxy: SocketAddr,
    connections: usize,
    bytes: usize,
    window: Duration,
) -> anyhow::Result<Samples> {
    let stop = Arc::new(AtomicBool::new(false));
    let open = Arc::new(AtomicU64::new(0));
    let all = on_threads(connections, move |_| {
        let mut stream = connect(proxy, Ask::Echo)?;
        let (out, mut back) = (vec![7; bytes], vec![0; bytes]);
        let mut samples = Samples::default();
        // All are open before the first is timed.
        stream.write_all(&out)?;
        stream.read_exact(&mut back)?;
        open.fetch_add(1, Relaxed);
        while open.load(Relaxed) < connections as u64 {
            std::thread::yield_now();
        }
        let begun = Instant::now();
        while !stop.load(Relaxed) {
            let sent = Instant::now();
            stream.write_all(&out)?;
            stream.read_exact(&mut back)?;
            samples.push(sent.elapsed());
            if begun.elapsed() >= window {
                stop.store(true, Relaxed);
            }
        }
        Ok(samples)
    })?;
    let mut together = Samples::default();
    all.into_iter().for_each(|samples| together.extend(samples));
    Ok(together)
}

fn on_threads<T: Send + 'static>(
    threads: usize,
    work: impl Fn(usize) -> anyhow::Result<T> + Send + Sync + 'static,
) -> anyhow::Result<Vec<T>> {
    let work = Arc::new(work);
    let running: Vec<_> = (0..threads)
        .map(|n| {
            let work = Arc::clone(&work);
            std::thread::spawn(move || work(n))
        })
        .collect();
    let joined = running.into_iter().map(|thread| {
        let panicked = |_| Err(anyhow!("a load thread panicked"));
        thread.join().unwrap_or_else(panicked)
    });
    joined.collect()
}
