//! Connections leave no file, no task and nothing counted behind. A program of its own, because files are counted.

#![allow(clippy::unwrap_used, reason = "tests")]

mod proxy_setup;

use nacre_host_proxy::proxy::ProxyLimits;
use nacre_transport::{Address, Listener};
use proxy_setup::{SOON, Setup, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// Calls before files are counted.
const WARM: u32 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_leave_nothing_behind() {
    let setup = Setup::new(ProxyLimits::default()).await;
    let address = Address::Unix(setup.dir.path().join("tls"));
    let enclave = Listener::bind(&address).await.unwrap();
    setup.announce(address);
    tokio::spawn(async move {
        loop {
            let mut inside = enclave.accept().await.unwrap();
            tokio::spawn(async move {
                let mut byte = [0];
                while let Ok(1) = inside.read(&mut byte).await {
                    let _ = inside.write_all(&byte).await;
                }
            });
        }
    });
    let call = async |setup: &Setup, n: u32| {
        let mut caller = setup.caller().await;
        caller.write_all(b"x").await.unwrap();
        assert_eq!(caller.read_u8().await.unwrap(), b'x');
        match n % 3 {
            0 => {}
            1 => caller.abort_on_close(),
            _ => caller.shutdown().await.unwrap(),
        }
    };
    let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    // By then every lane has begun, with the files that are its own.
    for n in 0..WARM {
        call(&setup, n).await;
    }
    assert!(lanes() > 0);
    until(|| setup.counters.snapshot().open == 0 && tasks() == 2).await;
    let before = files();
    for n in 0..20_000 {
        call(&setup, n).await;
    }
    until(|| tasks() == 2).await;
    until(|| files() == before).await;
    // Bursts: everybody at once.
    for _ in 0..3 {
        let burst = (0..1500).map(|n| call(&setup, n));
        timeout(SOON, futures_util::future::join_all(burst))
            .await
            .unwrap();
        until(|| tasks() == 2).await;
        until(|| files() == before).await;
    }
    let counted = setup.counters.snapshot();
    let calls = u64::from(WARM) + 20_000 + 4500;
    assert_eq!((counted.open, counted.accepted), (0, calls));
    // A task left behind would have to be cut off, and would keep its thread until then.
    setup.stop.cancel();
    timeout(SOON, setup.running).await.unwrap().unwrap();
    assert_eq!(setup.counters.snapshot().cut, 0);
    assert_eq!(lanes(), 0);
}

/// Threads that carry connections.
fn lanes() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lane-")).count()
}
