//! Every way in which a connection can end, between real sockets: TCP to a Unix socket, TCP to TCP, and through a virtual
//! machine's socket that wants to be asked for a port.

#![allow(clippy::unwrap_used, reason = "tests")]

mod proxy_setup;

use std::io::ErrorKind;
use std::path::PathBuf;

use nacre_host_proxy::proxy::ProxyLimits;
use nacre_transport::{Address, Listener, Stream};
use proxy_setup::{SOON, Setup, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// What an enclave listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Far {
    Unix,
    Tcp,
    Hybrid,
}

const ALL: [Far; 3] = [Far::Unix, Far::Tcp, Far::Hybrid];

struct Enclave {
    far: Far,
    listener: Listener,
}

impl Enclave {
    async fn start(setup: &Setup, far: Far) -> Self {
        let socket: PathBuf = setup.dir.path().join(format!("{far:?}"));
        let (listens, reached) = match far {
            Far::Unix => (Address::Unix(socket.clone()), Address::Unix(socket)),
            Far::Tcp => {
                let any = "tcp://127.0.0.1:0".parse().unwrap();
                (any, Address::Unix(socket))
            }
            Far::Hybrid => {
                let reached = Address::Hybrid {
                    socket: socket.clone(),
                    port: 443,
                };
                (Address::Unix(socket), reached)
            }
        };
        let listener = Listener::bind(&listens).await.unwrap();
        let reached = if far == Far::Tcp {
            listener.local_address().clone()
        } else {
            reached
        };
        setup.announce(reached);
        Self { far, listener }
    }

    async fn accept(&self) -> Stream {
        let mut inside = self.listener.accept().await.unwrap();
        if self.far == Far::Hybrid {
            let mut asked = [0; 12];
            inside.read_exact(&mut asked).await.unwrap();
            assert_eq!(&asked, b"CONNECT 443\n");
            inside.write_all(b"OK 1073741824\n").await.unwrap();
        }
        inside
    }

    async fn pair(&self, setup: &Setup) -> (Stream, Stream) {
        let (caller, inside) = tokio::join!(setup.caller(), self.accept());
        (caller, inside)
    }
}

/// What one side does last, after it has sent its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Says that it sends no more, reads to the end, closes.
    Finish,
    /// Reads to the end, and then closes.
    Wait,
    /// Closes without a look at what came.
    Reset,
}

/// Does it; what was read, and whether it ended as it should.
async fn live(mut stream: Stream, last: Last, word: Vec<u8>) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut read = Vec::new();
    stream.write_all(&word).await.unwrap();
    match last {
        Last::Finish => stream.shutdown().await.unwrap(),
        Last::Wait => {}
        Last::Reset => {
            // The other's word is there, and stays unread: closing then is a reset on every kind of socket.
            let mut first = [0];
            stream.read_exact(&mut first).await.unwrap();
            stream.abort_on_close();
            return (read, Ok(()));
        }
    }
    let ended = timeout(SOON, stream.read_to_end(&mut read)).await;
    let ended = ended.unwrap_or_else(|_| panic!("no end within {SOON:?}"));
    (read, ended.map(drop).map_err(|error| error.kind()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_pair_of_ends_is_passed_on_as_what_it_is() {
    let setup = Setup::new(ProxyLimits::default()).await;
    let words = [vec![1; 7], vec![2; 300_000]];
    for far in ALL {
        let enclave = Enclave::start(&setup, far).await;
        for of_caller in [Last::Finish, Last::Wait, Last::Reset] {
            for of_enclave in [Last::Finish, Last::Wait, Last::Reset] {
                if of_caller == Last::Wait && of_enclave == Last::Wait {
                    continue; // Each would wait for the other.
                }
                let what = format!("{far:?}: caller {of_caller:?}, enclave {of_enclave:?}");
                let (caller, inside) = enclave.pair(&setup).await;
                let [short, long] = words.clone();
                let both = async {
                    tokio::join!(
                        live(caller, of_caller, short.clone()),
                        live(inside, of_enclave, long.clone())
                    )
                };
                let (caller, inside) = timeout(SOON, both).await.expect(&what);
                if of_caller != Last::Reset && of_enclave != Last::Reset {
                    assert_eq!(caller, (long, Ok(())), "{what}");
                    assert_eq!(inside, (short, Ok(())), "{what}");
                } else if of_enclave == Last::Reset && of_caller != Last::Reset {
                    let reset = [Err(ErrorKind::ConnectionReset), Err(ErrorKind::BrokenPipe)];
                    assert!(reset.contains(&caller.1), "{what}: {:?}", caller.1);
                }
            }
        }
        until(|| setup.counters.snapshot().open == 0).await;
    }
}

#[tokio::test]
async fn what_was_sent_before_a_reset_arrives_and_no_end_is_made_up() {
    let setup = Setup::new(ProxyLimits::default()).await;
    for far in ALL {
        let enclave = Enclave::start(&setup, far).await;
        // The enclave answers and dies while the caller still sends.
        let (mut caller, mut inside) = enclave.pair(&setup).await;
        let carried = setup.counters.snapshot().bytes_in;
        inside.write_all(b"half of the ans").await.unwrap();
        caller.write_all(b"unread").await.unwrap();
        until(|| setup.counters.snapshot().bytes_in == carried + 6).await;
        let mut answer = [0; 15];
        caller.read_exact(&mut answer).await.unwrap();
        inside.abort_on_close();
        drop(inside);
        assert_eq!(&answer, b"half of the ans");
        let end = timeout(SOON, caller.read(&mut answer)).await.unwrap();
        assert!(end.is_err(), "{far:?}: an end that nobody sent: {end:?}");
        drop(caller);

        // And the other way round, where a reset can be passed on.
        let (caller, mut inside) = enclave.pair(&setup).await;
        caller.abort_on_close();
        drop(caller);
        let end = timeout(SOON, inside.read_u8()).await.unwrap();
        let end = end.unwrap_err().kind();
        if far == Far::Tcp {
            assert_eq!(end, ErrorKind::ConnectionReset);
        }
    }
    until(|| setup.counters.snapshot().open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_both_ways_at_once_arrives_whole() {
    let setup = Setup::new(ProxyLimits::default()).await;
    for far in ALL {
        let enclave = Enclave::start(&setup, far).await;
        let (caller, inside) = enclave.pair(&setup).await;
        let bytes = |seed: u32| -> Vec<u8> {
            let byte = |i: u32| (i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8;
            (0..12 << 20).map(byte).collect()
        };
        let both = [(caller, bytes(1), bytes(2)), (inside, bytes(2), bytes(1))];
        let both = both.map(|(stream, sends, expects)| {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(stream);
                let (mut got, send) = (Vec::new(), async {
                    // Small messages between bulk, so that the way of carrying changes.
                    for chunk in sends.chunks(3 << 20) {
                        let (bulk, small) = chunk.split_at(chunk.len() - 1000);
                        write.write_all(bulk).await.unwrap();
                        for message in small.chunks(10) {
                            write.write_all(message).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                    }
                    write.shutdown().await.unwrap();
                });
                tokio::join!(send, async { read.read_to_end(&mut got).await.unwrap() });
                assert!(got == expects, "{far:?}: other bytes than were sent");
            })
        });
        for side in both {
            timeout(SOON, side).await.unwrap().unwrap();
        }
    }
    assert_eq!(setup.counters.snapshot().aborted, 0);
}
