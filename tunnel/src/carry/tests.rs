use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::runtime::Builder;
use tokio::time::timeout;

use nacre_transport::{Listener, connect};

use super::*;
use crate::pipes::Pipe;

/// A stream in memory: cannot be spliced.
impl Side for DuplexStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut into = ReadBuf::new(into);
        ready!(Pin::new(self).poll_read(cx, &mut into))?;
        Poll::Ready(Ok(into.filled().len()))
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self).poll_write(cx, bytes)
    }
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
    fn lends_pages(&self) -> bool {
        true
    }
    fn poll_into_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::InvalidInput.into()))
    }
    fn poll_out_of_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::InvalidInput.into()))
    }
}

const SOON: Duration = Duration::from_secs(10);

/// The two outer ends of a tunnel that runs in the background, and its result.
fn tunnel(
    pipe: usize,
    patience: Patience,
) -> (DuplexStream, DuplexStream, tokio::task::JoinHandle<End>) {
    let (caller, mut near) = duplex(pipe);
    let (enclave, mut far) = duplex(pipe);
    let running = tokio::spawn(async move {
        let pools = Pools::default();
        carry_between(
            &mut near,
            &mut far,
            First::nothing(&pools),
            &patience,
            |_, _| {},
        )
        .await
    });
    (caller, enclave, running)
}

/// What one side does.
#[derive(Debug, Clone)]
enum Step {
    Write(usize),
    Shutdown,
    ReadToEnd,
}

async fn act(mut stream: DuplexStream, steps: Vec<Step>) -> Vec<u8> {
    let mut read = Vec::new();
    for step in steps {
        match step {
            Step::Write(n) => stream.write_all(&vec![7; n]).await.unwrap(),
            Step::Shutdown => stream.shutdown().await.unwrap(),
            Step::ReadToEnd => {
                stream.read_to_end(&mut read).await.unwrap();
            }
        }
    }
    read
}

fn written(steps: &[Step]) -> usize {
    let size = |step: &Step| if let Step::Write(n) = step { *n } else { 0 };
    steps.iter().map(size).sum()
}

/// A side that speaks first, then closes and listens, or listens until the end and then speaks.
fn side(speaks_first: bool) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(0..200_000usize, 0..4).prop_map(move |sizes| {
        let mut steps: Vec<Step> = sizes.into_iter().map(Step::Write).collect();
        if speaks_first {
            steps.extend([Step::Shutdown, Step::ReadToEnd]);
        } else {
            steps.insert(0, Step::ReadToEnd);
            steps.push(Step::Shutdown);
        }
        steps
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_order_of_half_closes_delivers_everything(
        (a, b) in any::<bool>().prop_flat_map(|first| (side(first), side(!first))),
        pipe in 1usize..100_000,
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (caller, enclave, running) = tunnel(pipe.max(64), Patience::default());
            let (to_a, to_b) = (written(&b), written(&a));
            let both = async { tokio::join!(act(caller, a), act(enclave, b), running) };
            let (got_a, got_b, end) = timeout(SOON, both).await.expect("no deadlock");
            assert_eq!((got_a.len(), got_b.len()), (to_a, to_b));
            assert!(matches!(end.unwrap(), End::Closed));
        });
    }
}

#[tokio::test]
async fn a_question_is_answered_after_its_end() {
    for swap in [false, true] {
        let (one, other, running) = tunnel(16, Patience::default());
        let (mut asks, mut answers) = if swap { (other, one) } else { (one, other) };
        asks.write_all(b"question").await.unwrap();
        asks.shutdown().await.unwrap();
        let mut text = String::new();
        answers.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "question");
        answers.write_all(b"answer").await.unwrap();
        answers.shutdown().await.unwrap();
        text.clear();
        asks.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "answer");
        assert!(matches!(running.await.unwrap(), End::Closed));
    }
}

#[tokio::test]
async fn a_slow_reader_stops_its_writer() {
    let (mut caller, mut enclave, _running) = tunnel(1024, Patience::default());
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    let writer = tokio::spawn(async move {
        for _ in 0..1000 {
            caller.write_all(&[1; 1024]).await.unwrap();
            counter.fetch_add(1024, Ordering::Relaxed);
        }
    });
    // Everything that can move has moved once nothing is ready any more.
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    let stuck_at = accepted.load(Ordering::Relaxed);
    assert!(
        stuck_at <= 64 * 1024 + 4 * 1024,
        "{stuck_at} bytes are in flight"
    );
    let mut total = 0;
    let mut chunk = vec![0; 4096];
    while total < 1000 * 1024 {
        total += enclave.read(&mut chunk).await.unwrap();
    }
    writer.await.unwrap();
}

/// A side that fails as told.
struct Broken {
    read: Option<io::ErrorKind>,
    input: Vec<u8>,
}

impl Side for Broken {
    fn poll_read(&mut self, _: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            into[..input.len()].copy_from_slice(&input);
            return Poll::Ready(Ok(input.len()));
        }
        self.read
            .map_or(Poll::Pending, |kind| Poll::Ready(Err(kind.into())))
    }
    fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }
    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
    fn lends_pages(&self) -> bool {
        true
    }
    fn poll_into_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::InvalidInput.into()))
    }
    fn poll_out_of_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::InvalidInput.into()))
    }
}

fn impatient() -> Patience {
    Patience {
        idle: Duration::from_millis(50),
        half_closed: Duration::from_millis(50),
        linger: Duration::from_millis(50),
    }
}

async fn with_broken_enclave(mut enclave: Broken) -> (String, io::Result<usize>, End) {
    let (mut caller, mut near) = duplex(1 << 20);
    let running = tokio::spawn(async move {
        let pools = Pools::default();
        let end = carry_between(
            &mut near,
            &mut enclave,
            First::nothing(&pools),
            &impatient(),
            |_, _| {},
        )
        .await;
        drop(near);
        end
    });
    caller
        .write_all(b"a request that nobody reads")
        .await
        .unwrap();
    let mut text = String::new();
    let read = caller.read_to_string(&mut text).await;
    (text, read, running.await.unwrap())
}

#[tokio::test]
async fn an_answer_on_its_way_is_delivered_before_the_abort() {
    let (text, _, end) = with_broken_enclave(Broken {
        read: Some(io::ErrorKind::ConnectionReset),
        input: b"413".to_vec(),
    })
    .await;
    assert_eq!(text, "413");
    assert!(matches!(end, End::Broken), "{end:?}");
}

#[tokio::test]
async fn a_broken_side_that_stays_silent_does_not_hold_the_other() {
    let (text, _, end) = with_broken_enclave(Broken {
        read: None,
        input: Vec::new(),
    })
    .await;
    assert_eq!(text, "");
    assert!(matches!(end, End::Broken), "{end:?}");
}

#[tokio::test]
async fn silence_ends_a_connection_and_progress_prolongs_it() {
    let patience = Patience {
        idle: Duration::from_millis(300),
        ..impatient()
    };
    let (mut caller, mut enclave, running) = tunnel(64, patience);
    let start = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(60));
    for _ in 0..9 {
        beat.tick().await;
        caller.write_all(b"x").await.unwrap();
        enclave.read_u8().await.unwrap();
    }
    assert!(start.elapsed() > patience.idle && !running.is_finished());
    assert!(matches!(running.await.unwrap(), End::Idle));
}

#[tokio::test]
async fn the_half_closed_have_their_own_patience() {
    let patience = Patience {
        idle: SOON,
        ..impatient()
    };
    let (mut caller, _enclave, running) = tunnel(64, patience);
    caller.shutdown().await.unwrap();
    let end = timeout(SOON / 2, running).await.unwrap().unwrap();
    assert!(matches!(end, End::Idle), "{end:?}");
}

#[tokio::test]
async fn idle_connections_hold_no_buffer() {
    let (_caller, mut near) = duplex(64);
    let (_enclave, mut far) = duplex(64);
    let pools = Pools::default();
    let patience = Patience::default();
    let mut connection = Box::pin(carry_between(
        &mut near,
        &mut far,
        First::nothing(&pools),
        &patience,
        |_, _| {},
    ));
    let waits = timeout(Duration::from_millis(1), connection.as_mut()).await;
    assert!(waits.is_err());
    assert_eq!(
        pools.buffers.idle(),
        1,
        "both directions used the same one and gave it back"
    );
}

async fn tcp_pair() -> (Stream, Stream) {
    let any_port = "tcp://127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&any_port).await.unwrap();
    let deadline = Instant::now() + SOON;
    let (near, far) = tokio::join!(
        connect(listener.local_address(), deadline),
        listener.accept()
    );
    (near.unwrap(), far.unwrap())
}

/// What a caller said that has said this, once it is there.
async fn said_first<'a>(pools: &'a Pools, near: &Stream) -> First<'a> {
    loop {
        let first = First::read(pools, near).unwrap();
        if !first.bytes().is_empty() {
            return first;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_said_first_is_carried_once_and_first() {
    let question = b"a question";
    for written in [0, 4, question.len()] {
        let (mut caller, mut near) = tcp_pair().await;
        let (mut far, mut enclave) = tcp_pair().await;
        caller.write_all(question).await.unwrap();
        let pools = Pools::default();
        let mut first = said_first(&pools, &near).await;
        // As who connects to the enclave does.
        far.write_all(&first.bytes()[..written]).await.unwrap();
        first.written(written);
        first.wait();
        assert_eq!(pools.buffers.idle(), 1, "who waits holds no shared buffer");
        caller.write_all(b", and more").await.unwrap();
        caller.shutdown().await.unwrap();
        let patience = Patience::default();
        let mut counted = (0, 0);
        let count = |inward, outward| counted = (counted.0 + inward, counted.1 + outward);
        let carried = carry(&mut near, &mut far, first, &patience, count);
        let answer = async {
            let mut heard = String::new();
            enclave.read_to_string(&mut heard).await.unwrap();
            enclave.write_all(b"an answer").await.unwrap();
            enclave.shutdown().await.unwrap();
            heard
        };
        let (end, heard) = timeout(SOON, async { tokio::join!(carried, answer) })
            .await
            .unwrap();
        assert_eq!((end, &*heard), (End::Closed, "a question, and more"));
        assert_eq!(counted, (20, 9));
        drop(near);
        let mut told = String::new();
        caller.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "an answer");
    }
}

#[tokio::test]
async fn a_caller_who_is_gone_has_said_nothing() {
    let (caller, near) = tcp_pair().await;
    caller.abort_on_close();
    drop(caller);
    let pools = Pools::default();
    let gone = async {
        while First::read(&pools, &near).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, gone).await.expect("the reset is seen");
}
