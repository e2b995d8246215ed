//! Every byte that came, and the proof that it was nothing but questions for evidence.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::behaviour::Call;

/// How long the end of connections is waited for.
const END: Duration = Duration::from_secs(10);

/// What a peer was sent.
#[derive(Debug)]
pub struct Log {
    /// Decrypted bytes of each connection.
    connections: Mutex<Vec<Vec<u8>>>,
    calls: Mutex<Vec<Call>>,
    evidence: Mutex<usize>,
    open: watch::Sender<usize>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            connections: Mutex::default(),
            calls: Mutex::default(),
            evidence: Mutex::default(),
            open: watch::Sender::new(0),
        }
    }
}

impl Log {
    /// Wraps a connection: what is read from it is kept.
    pub(super) fn record<S>(self: &Arc<Self>, stream: S) -> Recorded<S> {
        let mut connections = self.connections.lock().unwrap();
        connections.push(Vec::new());
        let index = connections.len() - 1;
        Recorded {
            stream,
            log: Arc::clone(self),
            index,
            _open: self.opened(),
        }
    }

    /// Counts a connection as open for as long as the value lives.
    pub(super) fn opened(self: &Arc<Self>) -> Open {
        self.open.send_modify(|open| *open += 1);
        Open(Arc::clone(self))
    }

    pub(super) fn called(&self, call: &Call) {
        self.calls.lock().unwrap().push(call.clone());
    }

    /// Counts a question for evidence and says how many came before.
    pub(super) fn asked(&self) -> usize {
        let mut evidence = self.evidence.lock().unwrap();
        *evidence += 1;
        *evidence - 1
    }

    /// Requests other than for evidence, whole ones.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Questions for evidence.
    pub fn evidence_requests(&self) -> usize {
        *self.evidence.lock().unwrap()
    }

    /// Connections that came as far as application data could have.
    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// Waits until every connection has ended, so that nothing can come any more.
    pub async fn all_ended(&self) {
        let mut open = self.open.subscribe();
        let ended = tokio::time::timeout(END, open.wait_for(|open| *open == 0)).await;
        ended
            .expect("the client closes what it does not trust")
            .unwrap();
    }

    /// Waits for the end and checks that no byte came but questions for evidence. Returns how many.
    pub async fn only_evidence_was_asked(&self) -> usize {
        self.all_ended().await;
        let connections = self.connections.lock().unwrap();
        connections.iter().map(|bytes| questions(bytes)).sum()
    }
}

/// The number of questions for evidence that these bytes are, and not one byte else.
fn questions(bytes: &[u8]) -> usize {
    let text = std::str::from_utf8(bytes).expect("questions for evidence are text");
    let heads: Vec<_> = text.split_inclusive("\r\n\r\n").collect();
    for head in &heads {
        let (line, rest) = head.split_once("\r\n").expect("a whole line");
        let nonce = line
            .strip_prefix("GET /.well-known/nacre/attestation?nonce=")
            .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
            .unwrap_or_else(|| panic!("this is no question for evidence: {line}"));
        assert_eq!(nonce.len(), 43, "32 bytes in base64url");
        // `Host` and nothing else that could carry anything.
        let mut headers = rest.trim_end().lines();
        assert_eq!(headers.next(), Some("host: 127.0.0.1"));
        assert_eq!(headers.next(), None, "{head}");
        assert!(rest.ends_with("\r\n\r\n"), "cut short: {head}");
    }
    heads.len()
}

/// A connection whose bytes are kept.
#[derive(Debug)]
pub(super) struct Recorded<S> {
    stream: S,
    log: Arc<Log>,
    index: usize,
    _open: Open,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let mut connections = self.log.connections.lock().unwrap();
        connections[self.index].extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Counts a connection as open.
#[derive(Debug)]
pub(super) struct Open(Arc<Log>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}
