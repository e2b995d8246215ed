//! What QEMU says about its machine: the events of its machine protocol (QMP).

use std::io;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;

/// The longest line that is read; events have a few hundred bytes.
const MAX_LINE: u64 = 64 * 1024;

/// What has been said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Why the machine ended: `guest-reset`, `guest-shutdown`, `host-signal`, …
    pub(super) shutdown: Option<String>,
    /// It stands still although nobody asked for it: the accelerator has failed.
    pub(super) stopped: bool,
}

/// An event, or an answer to what was asked.
#[derive(Deserialize)]
struct Message {
    event: Option<String>,
    #[serde(default)]
    data: serde_json::Value,
    #[serde(default, rename = "return")]
    answer: serde_json::Value,
}

/// Listens to QEMU until it leaves.
pub(super) async fn listen(stream: UnixStream, said: &watch::Sender<Said>) {
    if let Err(error) = converse(stream, said).await {
        tracing::debug!(%error, "QEMU's control connection ended");
    }
}

async fn converse(stream: UnixStream, said: &watch::Sender<Said>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    // Events come once this was asked for; the answer to it says nothing else.
    write
        .write_all(b"{\"execute\":\"qmp_capabilities\"}\n")
        .await?;
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let length = (&mut read)
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .await?;
        if length == 0 {
            return Ok(());
        }
        let Ok(message) = serde_json::from_slice::<Message>(&line) else {
            continue;
        };
        match message.event.as_deref() {
            Some("SHUTDOWN") => {
                let reason = text(&message.data, "reason")
                    .unwrap_or("unknown")
                    .to_owned();
                said.send_modify(|said| said.shutdown = Some(reason));
            }
            // It also stops before it ends.
            Some("STOP") => write.write_all(b"{\"execute\":\"query-status\"}\n").await?,
            Some(_) => {}
            None if text(&message.answer, "status") == Some("internal-error") => {
                said.send_modify(|said| said.stopped = true);
            }
            None => {}
        }
    }
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(|value| value.as_str())
}
