//! A host that carries the bytes between callers and the enclave, and does to them what it likes.
//!
//! It stands where the host proxy's TCP port is, so that it sees and changes exactly what a hostile parent instance sees
//! and can change of a caller's connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the caller to the enclave.
    In,
    /// From the enclave to the caller.
    Out,
}

/// What happens to the bytes of one way, from this byte on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// One bit of one byte is turned.
    Flip,
    /// So many bytes never arrive.
    Drop(usize),
    /// So many bytes arrive twice.
    Duplicate(usize),
    /// Two neighbouring blocks of so many bytes change places.
    Swap(usize),
    /// So many bytes of the host's own come in between.
    Inject(usize),
    /// Nothing more arrives, and the end does.
    Truncate,
    /// Both ways end at once.
    Cut,
}

/// A change at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Of which way.
    pub way: Way,
    /// Before which byte of that way, counted from 0.
    pub at: usize,
    /// What.
    pub change: Change,
}

/// What the host read of one connection, before it changed anything.
#[derive(Debug, Clone, Default)]
pub struct Overheard {
    /// From the caller.
    pub inward: Vec<u8>,
    /// From the enclave.
    pub outward: Vec<u8>,
}

/// The host. It ends with this value.
#[derive(Debug)]
pub struct HostileWire {
    address: SocketAddr,
    fault: Arc<Mutex<Option<Fault>>>,
    overheard: Arc<Mutex<Vec<Overheard>>>,
    carrying: JoinHandle<()>,
}

impl HostileWire {
    /// Stands before the enclave's node at `target`, and carries bytes as they are until told otherwise.
    ///
    /// # Errors
    ///
    /// Where no port can be had.
    pub async fn start(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let fault = Arc::<Mutex<Option<Fault>>>::default();
        let overheard = Arc::<Mutex<Vec<Overheard>>>::default();
        let carrying = tokio::spawn(carry(
            listener,
            target,
            Arc::clone(&fault),
            Arc::clone(&overheard),
        ));
        Ok(Self {
            address,
            fault,
            overheard,
            carrying,
        })
    }

    /// Where callers come in.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From the next connection on, this happens to each; or nothing.
    pub fn set(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What was overheard of all connections that have ended, and forgets it.
    pub fn take_overheard(&self) -> Vec<Overheard> {
        let mut overheard = self
            .overheard
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut overheard)
    }
}

impl Drop for HostileWire {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(
    listener: TcpListener,
    target: SocketAddr,
    fault: Arc<Mutex<Option<Fault>>>,
    overheard: Arc<Mutex<Vec<Overheard>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((caller, _)) = listener.accept().await {
        let fault = *fault.lock().unwrap_or_else(PoisonError::into_inner);
        let overheard = Arc::clone(&overheard);
        connections.spawn(async move {
            let heard = connection(caller, target, fault).await;
            overheard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(heard);
        });
        // What has ended is not kept.
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(caller: TcpStream, target: SocketAddr, fault: Option<Fault>) -> Overheard {
    let Ok(enclave) = TcpStream::connect(target).await else {
        return Overheard::default();
    };
    let (from_caller, to_caller) = caller.into_split();
    let (from_enclave, to_enclave) = enclave.into_split();
    let of = |way| fault.filter(|fault| fault.way == way);
    let inward = Lane::new(of(Way::In));
    let outward = Lane::new(of(Way::Out));
    let (mut heard_in, mut heard_out) = (Vec::new(), Vec::new());
    let cut = {
        let inward = inward.run(from_caller, to_enclave, &mut heard_in);
        let outward = outward.run(from_enclave, to_caller, &mut heard_out);
        tokio::pin!(inward, outward);
        tokio::select! {
            cut = &mut inward => cut || outward.await,
            cut = &mut outward => cut || inward.await,
        }
    };
    // The halves are gone by now, and with them the connections, however it ended.
    let _ = cut;
    Overheard {
        inward: heard_in,
        outward: heard_out,
    }
}

/// One way of one connection.
struct Lane {
    fault: Option<Fault>,
    passed: usize,
}

impl Lane {
    fn new(fault: Option<Fault>) -> Self {
        Self { fault, passed: 0 }
    }

    /// Carries until the end; whether the connection is to be cut at once.
    async fn run(
        mut self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
        heard: &mut Vec<u8>,
    ) -> bool {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            heard.extend(&buffer[..count]);
            let (bytes, after) = self.change(&buffer[..count]);
            if to.write_all(&bytes).await.is_err() {
                break;
            }
            match after {
                After::GoOn => {}
                After::End => break,
                After::Cut => return true,
            }
        }
        // The peer may be gone already.
        let _ = to.shutdown().await;
        false
    }

    /// What arrives instead of these bytes.
    fn change(&mut self, bytes: &[u8]) -> (Vec<u8>, After) {
        let begin = self.passed;
        self.passed += bytes.len();
        let fault = self.fault.filter(|fault| fault.at < self.passed);
        let Some(fault) = fault else {
            return (bytes.to_vec(), After::GoOn);
        };
        self.fault = None;
        let (before, rest) = bytes.split_at(fault.at.saturating_sub(begin));
        let block = |length: usize| length.min(rest.len());
        let (middle, after) = match fault.change {
            Change::Flip => {
                let mut turned = rest.to_vec();
                turned[0] ^= 1 << (fault.at % 8);
                (turned, After::GoOn)
            }
            Change::Drop(length) => (rest[block(length)..].to_vec(), After::GoOn),
            Change::Duplicate(length) => ([&rest[..block(length)], rest].concat(), After::GoOn),
            Change::Swap(length) => {
                let length = length.min(rest.len() / 2);
                let (first, tail) = rest.split_at(length);
                let (second, tail) = tail.split_at(length);
                ([second, first, tail].concat(), After::GoOn)
            }
            Change::Inject(length) => ([&vec![0x17; length][..], rest].concat(), After::GoOn),
            Change::Truncate => (Vec::new(), After::End),
            Change::Cut => (Vec::new(), After::Cut),
        };
        ([before, &middle].concat(), after)
    }
}

enum After {
    GoOn,
    End,
    Cut,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(change: Change) -> Vec<u8> {
        let at = 3;
        let way = Way::In;
        let mut lane = Lane::new(Some(Fault { way, at, change }));
        let mut all = Vec::new();
        for piece in [&b"ab"[..], b"cdefgh", b"ij"] {
            let (bytes, after) = lane.change(piece);
            all.extend(bytes);
            if !matches!(after, After::GoOn) {
                break;
            }
        }
        all
    }

    #[test]
    fn each_change_is_what_its_name_says() {
        assert_eq!(
            carried(Change::Flip),
            b"abcLefghij".map(|b| if b == b'L' { b'd' ^ 8 } else { b })
        );
        assert_eq!(carried(Change::Drop(2)), b"abcfghij");
        assert_eq!(carried(Change::Duplicate(2)), b"abcdedefghij");
        assert_eq!(carried(Change::Swap(2)), b"abcfgdehij");
        assert_eq!(carried(Change::Inject(1)), b"abc\x17defghij");
        assert_eq!(carried(Change::Truncate), b"abc");
        assert_eq!(carried(Change::Cut), b"abc");
    }
}
