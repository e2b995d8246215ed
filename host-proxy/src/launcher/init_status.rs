//! How the program inside an enclave ended, as its init tells the parent on
//! [`EXIT_STATUS_PORT`](nacre_protocol::vsock::EXIT_STATUS_PORT) before it powers off.
//!
//! Anybody inside can say such a line, so it is believed only as far as a crash report goes, and only its few known
//! words are kept: what else a guest might write there is not for the host's files.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use nacre_transport::{Address, BindError, Listener, Stream};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::log::next_line;
use crate::backoff::pause;

/// Longest code that a line may name.
const MAX_CODE: usize = 64;
/// Bytes that are read of one connection.
const MAX_LINE: u64 = 1024;
/// How long one connection may take for its line.
const LINE_WITHIN: Duration = Duration::from_secs(2);
/// How long a line may be on its way after the machine has ended.
const STRAGGLER: Duration = Duration::from_millis(200);
/// After a failed `accept`.
const PAUSE: Duration = Duration::from_millis(50);

/// What init said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitStatus {
    /// `exited <code>`: the program exited.
    Exited(u8),
    /// `killed <signal>`: a signal killed it.
    Killed(u8),
    /// `refused <code>: <text>`: init did not start it. Only the stable code is kept.
    Refused(String),
}

impl FromStr for InitStatus {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (word, rest) = line.split_once(' ').ok_or(())?;
        match word {
            "exited" => rest.parse().map(Self::Exited).map_err(drop),
            "killed" => rest.parse().map(Self::Killed).map_err(drop),
            "refused" => {
                let (code, _) = rest.split_once(':').ok_or(())?;
                is_code(code)
                    .then(|| Self::Refused(code.to_owned()))
                    .ok_or(())
            }
            _ => Err(()),
        }
    }
}

/// Whether a text is a kebab-case code of a sane length.
fn is_code(text: &str) -> bool {
    (1..=MAX_CODE).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// A code as a peer inside said it, if it is one.
pub(crate) fn stable_code(said: &str) -> &str {
    if is_code(said) { said } else { "unknown-code" }
}

impl fmt::Display for InitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Killed(signal) => write!(f, "killed {signal}"),
            Self::Refused(code) => write!(f, "refused {code}"),
        }
    }
}

/// Listens for the line. Dropping it listens no more.
#[derive(Debug)]
pub(crate) struct StatusListener {
    said: watch::Receiver<Option<InitStatus>>,
    _task: AbortOnDropHandle<()>,
}

impl StatusListener {
    /// Listens on the address; lines of other guests than `guest` are not heard, where the address tells guests apart.
    pub(crate) async fn bind(
        address: &Address,
        guest: watch::Receiver<Option<u32>>,
    ) -> Result<Self, BindError> {
        let listener = Listener::bind(address).await?;
        let (say, said) = watch::channel(None);
        let task = tokio::spawn(listen(listener, guest, say));
        Ok(Self {
            said,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// What init said, after the machine has ended.
    pub(crate) async fn last_words(&mut self) -> Option<InitStatus> {
        let said = self.said.wait_for(Option::is_some);
        timeout(STRAGGLER, said).await.ok()?.ok()?.clone()
    }
}

/// One connection after another: a guest that opens thousands takes only its own turn.
async fn listen(
    listener: Listener,
    guest: watch::Receiver<Option<u32>>,
    say: watch::Sender<Option<InitStatus>>,
) {
    loop {
        let Ok(stream) = listener.accept().await else {
            pause(PAUSE).await;
            continue;
        };
        if !is_from(&stream, *guest.borrow()) {
            continue;
        }
        if let Some(status) = read_status(stream).await {
            say.send_replace(Some(status));
        }
    }
}

/// Whether a stream can be this guest's.
pub(crate) fn is_from(stream: &Stream, guest: Option<u32>) -> bool {
    match stream {
        Stream::Vsock(_) => guest.is_some() && stream.peer_cid() == guest,
        // A socket of one guest's own.
        _ => true,
    }
}

async fn read_status(stream: Stream) -> Option<InitStatus> {
    let mut lines = BufReader::new(stream.take(MAX_LINE));
    let line = timeout_at(Instant::now() + LINE_WITHIN, next_line(&mut lines)).await;
    let line = String::from_utf8(line.ok()??).ok()?;
    let status = line.parse().ok();
    if status.is_none() {
        tracing::warn!("the enclave's init said something that is not understood");
    }
    status
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[test]
    fn the_known_words_are_kept_and_nothing_else() {
        let read = |line: &str| line.parse::<InitStatus>().ok();
        assert_eq!(read("exited 0"), Some(InitStatus::Exited(0)));
        assert_eq!(read("killed 9"), Some(InitStatus::Killed(9)));
        assert_eq!(
            read("refused manifest-mismatch: /etc/secret of a caller's"),
            Some(InitStatus::Refused("manifest-mismatch".to_owned()))
        );
        let long = format!("refused {}: x", "a".repeat(65));
        for line in [
            "",
            "exited",
            "exited 256",
            "exited -1",
            "killed nine",
            "refused Some Text: x",
            "refused code",
            "the input was: 4111 1111",
            &long,
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    #[tokio::test]
    async fn a_line_is_heard_after_noise_and_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("v.sock");
        let address = Address::Hybrid {
            socket: socket.clone(),
            port: 9001,
        };
        let (_cid, guest) = watch::channel(None);
        let mut listener = StatusListener::bind(&address, guest).await.unwrap();
        let path = dir.path().join("v.sock_9001");
        let say = async |bytes: &[u8]| {
            let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            // Who says too much is cut off, which he may notice.
            let _ = stream.write_all(bytes).await;
        };
        say(&vec![b'x'; 1 << 20]).await;
        say(b"\xff\xfe\n").await;
        say(b"killed 11\n").await;
        assert_eq!(listener.last_words().await, Some(InitStatus::Killed(11)));
    }
}
