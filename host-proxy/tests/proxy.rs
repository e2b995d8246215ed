//! The byte proxy between real sockets.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use nacre_host_proxy::proxy::{Counters, Exposure, Proxy, ProxyError, ProxyLimits};
use nacre_host_proxy::supervisor::{EnclaveEndpoints, EnclaveState};
use nacre_transport::{Address, Listener, Stream, connect};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

const SOON: Duration = Duration::from_secs(20);

struct Setup {
    dir: TempDir,
    state: watch::Sender<EnclaveState>,
    address: Address,
    counters: Arc<Counters>,
    running: JoinHandle<()>,
    stop: DropGuard,
}

async fn setup(limits: ProxyLimits) -> Setup {
    let (state, enclave) = watch::channel(None);
    let any_port = "tcp://127.0.0.1:0".parse().unwrap();
    let proxy = Proxy::bind(&any_port, Exposure::LoopbackOnly, limits)
        .await
        .unwrap();
    let stop = CancellationToken::new();
    Setup {
        dir: tempfile::tempdir().unwrap(),
        state,
        address: proxy.address().clone(),
        counters: proxy.counters(),
        running: tokio::spawn(proxy.serve(enclave, stop.clone())),
        stop: stop.drop_guard(),
    }
}

impl Setup {
    /// An enclave that listens, and is announced.
    async fn enclave(&self, launch: u64) -> Listener {
        let tls = Address::Unix(self.dir.path().join(format!("tls{launch}")));
        let listener = Listener::bind(&tls).await.unwrap();
        self.state.send_replace(Some(Arc::new(EnclaveEndpoints {
            launch,
            control: tls.clone(),
            tls,
            egress: None,
            image: None,
        })));
        listener
    }

    async fn caller(&self) -> Stream {
        connect(&self.address, Instant::now() + SOON).await.unwrap()
    }

    async fn pair(&self, enclave: &Listener) -> (Stream, Stream) {
        let (caller, inside) = tokio::join!(self.caller(), enclave.accept());
        (caller, inside.unwrap())
    }
}

#[tokio::test]
async fn process_mode_is_for_loopback_only() {
    for address in ["tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://localhost:0"] {
        let address = address.parse().unwrap();
        let error = Proxy::bind(&address, Exposure::LoopbackOnly, ProxyLimits::default())
            .await
            .unwrap_err();
        assert!(matches!(error, ProxyError::LoopbackOnly(_)));
        assert_eq!(error.code(), "process-mode-loopback-only");
        assert!(error.to_string().starts_with(error.code()));
    }
}

#[tokio::test]
async fn either_side_may_close_first() {
    let setup = setup(ProxyLimits::default()).await;
    let enclave = setup.enclave(1).await;
    for caller_first in [true, false] {
        let (caller, inside) = setup.pair(&enclave).await;
        let (mut first, mut second) = if caller_first {
            (caller, inside)
        } else {
            (inside, caller)
        };
        first.write_all(b"ping").await.unwrap();
        first.shutdown().await.unwrap();
        let mut text = String::new();
        second.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "ping");
        second.write_all(b"pong").await.unwrap();
        drop(second);
        text.clear();
        first.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "pong");
    }
    assert_eq!(setup.counters.snapshot().aborted, 0);
}

async fn send_megabytes(mut stream: Stream, megabytes: u32, seed: u8) -> [u8; 32] {
    let mut hash = Sha256::new();
    for n in 0..megabytes {
        let chunk: Vec<u8> = (0..1 << 20)
            .map(|i: u32| seed ^ (i.wrapping_mul(31) ^ n) as u8)
            .collect();
        hash.update(&chunk);
        stream.write_all(&chunk).await.unwrap();
    }
    stream.shutdown().await.unwrap();
    // Keep the reading half until the peer has closed, too.
    let _ = stream.read_u8().await;
    hash.finalize().into()
}

async fn receive(stream: &mut Stream) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 100_000];
    loop {
        match stream.read(&mut chunk).await.unwrap() {
            0 => return hash.finalize().into(),
            n => hash.update(&chunk[..n]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_megabytes_arrive_as_they_were_sent() {
    let setup = setup(ProxyLimits::default()).await;
    let enclave = setup.enclave(1).await;
    for inward in [true, false] {
        let (caller, inside) = setup.pair(&enclave).await;
        let (from, mut to) = if inward {
            (caller, inside)
        } else {
            (inside, caller)
        };
        let sender = tokio::spawn(send_megabytes(from, 24, u8::from(inward)));
        let received = receive(&mut to).await;
        drop(to);
        assert_eq!(received, sender.await.unwrap());
    }
    let carried = setup.counters.snapshot();
    assert_eq!((carried.bytes_in, carried.bytes_out), (24 << 20, 24 << 20));
}

#[tokio::test]
async fn a_slow_reader_costs_bounded_memory() {
    let setup = setup(ProxyLimits::default()).await;
    let enclave = setup.enclave(1).await;
    let (mut caller, inside) = setup.pair(&enclave).await;
    let chunk = vec![1; 1 << 16];
    let mut sent = 0;
    // Write until nothing moves any more, while the enclave reads nothing.
    while let Ok(written) = timeout(Duration::from_millis(300), caller.write(&chunk)).await {
        sent += written.unwrap();
        assert!(
            sent < 64 << 20,
            "nobody reads, and still the proxy takes more"
        );
    }
    let carried = setup.counters.snapshot().bytes_in;
    assert!(
        carried < 1 << 20,
        "{carried} bytes into a socket that nobody reads"
    );
    drop(inside);
}

#[tokio::test]
async fn a_broken_side_resets_the_other() {
    let setup = setup(ProxyLimits::default()).await;
    let enclave = setup.enclave(1).await;
    let (mut caller, inside) = setup.pair(&enclave).await;
    caller.write_all(b"x").await.unwrap();
    // Closing with unread bytes is how a killed process looks.
    while setup.counters.snapshot().bytes_in == 0 {
        tokio::task::yield_now().await;
    }
    drop(inside);
    let error = timeout(SOON, async {
        loop {
            match caller.read_u8().await {
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {}
                other => return other.unwrap_err(),
            }
            if let Err(e) = caller.write_all(b"y").await {
                return e;
            }
        }
    })
    .await
    .unwrap();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );

    let (caller, mut inside) = setup.pair(&enclave).await;
    caller.abort_on_close();
    drop(caller);
    let ended = timeout(SOON, inside.read_u8()).await.unwrap();
    assert!(ended.is_err());
}

#[tokio::test]
async fn callers_wait_for_an_enclave_that_restarts() {
    let setup = setup(ProxyLimits::default()).await;
    let mut early = setup.caller().await;
    early.write_all(b"early").await.unwrap();
    while setup.counters.snapshot().held == 0 {
        tokio::task::yield_now().await;
    }
    let enclave = setup.enclave(1).await;
    let mut inside = enclave.accept().await.unwrap();
    let mut text = [0; 5];
    inside.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"early");

    // It dies, and the supervisor has not noticed yet.
    drop((inside, enclave));
    let mut between = setup.caller().await;
    between.write_all(b"again").await.unwrap();
    while setup.counters.snapshot().held == 1 {
        tokio::task::yield_now().await;
    }
    let enclave = setup.enclave(2).await;
    let mut inside = enclave.accept().await.unwrap();
    inside.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"again");
}

#[tokio::test]
async fn waiting_is_bounded_in_time_and_number() {
    let setup = setup(ProxyLimits {
        held: 1,
        hold: Duration::from_millis(400),
        ..ProxyLimits::default()
    })
    .await;
    let start = Instant::now();
    let mut waits = setup.caller().await;
    while setup.counters.snapshot().held == 0 {
        tokio::task::yield_now().await;
    }
    // The reset may come before the caller has seen that it is connected.
    let one_too_many = async {
        match connect(&setup.address, Instant::now() + SOON).await {
            Ok(mut caller) => caller.read_u8().await.is_err(),
            Err(_) => true,
        }
    };
    assert!(timeout(SOON, one_too_many).await.unwrap());
    assert!(
        start.elapsed() < Duration::from_millis(350),
        "closed at once"
    );
    assert!(timeout(SOON, waits.read_u8()).await.unwrap().is_err());
    assert!(start.elapsed() >= Duration::from_millis(390));
    assert_eq!(setup.counters.snapshot().refused, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_are_served_at_once_and_the_rest_in_turn() {
    let limits = ProxyLimits {
        connections: 400,
        ..ProxyLimits::default()
    };
    let setup = Arc::new(setup(limits).await);
    let enclave = setup.enclave(1).await;
    tokio::spawn(async move {
        while let Ok(mut inside) = enclave.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(&mut inside);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    let callers = (0..1000u32).map(|n| {
        let setup = Arc::clone(&setup);
        tokio::spawn(async move {
            let mut caller = setup.caller().await;
            caller.write_u32(n).await.unwrap();
            assert_eq!(caller.read_u32().await.unwrap(), n);
            setup.counters.snapshot().open
        })
    });
    let opens = futures_util::future::join_all(callers);
    for open in timeout(SOON, opens).await.unwrap() {
        assert!(open.unwrap() <= 400);
    }
    assert_eq!(setup.counters.snapshot().accepted, 1000);
}

/// A caller from this loopback address.
async fn caller_from(setup: &Setup, address: &str) -> std::io::Result<tokio::net::TcpStream> {
    let Address::Tcp { port, .. } = setup.address else {
        panic!("{}", setup.address);
    };
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(format!("{address}:0").parse().unwrap())?;
    socket.connect(([127, 0, 0, 1], port).into()).await
}

#[tokio::test]
async fn an_address_that_takes_every_place_keeps_nobody_out() {
    let setup = setup(ProxyLimits {
        connections: 8,
        waiting: 8,
        ..ProxyLimits::default()
    })
    .await;
    let enclave = setup.enclave(1).await;
    tokio::spawn(async move {
        while let Ok(mut inside) = enclave.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(&mut inside);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    // Eight have places, eight wait, and the rest is sent away.
    let mut greedy = Vec::new();
    for _ in 0..30 {
        greedy.extend(caller_from(&setup, "127.0.0.2").await);
    }
    while setup.counters.snapshot().turned_away < 14 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.counters.snapshot().open, 8);

    for others in 1..=4u64 {
        let mut caller = caller_from(&setup, "127.0.0.1").await.unwrap();
        caller.write_u32(7).await.unwrap();
        let answer = timeout(SOON, caller.read_u32()).await.unwrap();
        assert_eq!(answer.unwrap(), 7);
        assert_eq!(setup.counters.snapshot().taken_back, others);
        greedy.push(caller);
    }
    // Half of the places each: now nobody has more than his share, and the fifth waits.
    let _fifth = caller_from(&setup, "127.0.0.1").await.unwrap();
    while setup.counters.snapshot().waited < 8 + 4 + 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.counters.snapshot().taken_back, 4);
}

#[tokio::test]
async fn stopping_lets_calls_finish_and_then_ends_them() {
    let setup = setup(ProxyLimits::default()).await;
    let enclave = setup.enclave(1).await;
    let (mut finishes, mut inside) = setup.pair(&enclave).await;
    let (mut lingers, _inside) = setup.pair(&enclave).await;
    let stop = setup.stop.disarm();
    stop.cancel();
    while connect(&setup.address, Instant::now() + SOON).await.is_ok() {
        tokio::task::yield_now().await;
    }
    inside.write_all(b"late answer").await.unwrap();
    drop(inside);
    let mut text = String::new();
    finishes.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "late answer");
    timeout(SOON, setup.running).await.unwrap().unwrap();
    assert!(timeout(SOON, lingers.read_u8()).await.unwrap().is_err());
}
