//! Faults by command, on a Unix socket of the emulator's own.
//!
//! A connection carries one line of JSON, `{"add": {"kind": …, "for": …}}` or `"clear"`, and one line of answer: `ok`,
//! or `error <code>: <text>`. The socket is its owner's alone (mode 0600).

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{FaultError, Faults, Timed};
use crate::socket::{BindError, Socket};

/// The longest line either way.
const MAX_LINE: u64 = 4096;
/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What somebody wants of the faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// One more.
    Add(Timed),
    /// None but those of the file.
    Clear,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Add(toml::Table),
    Clear,
}

/// An order that was not followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The emulator cannot be reached.
    #[error("no emulator answers on {path}: {source}")]
    Unreachable {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The emulator did not answer in time, or not with a line.
    #[error("the emulator gave no answer")]
    NoAnswer,
    /// The emulator refused.
    #[error("{0}")]
    Refused(String),
    /// The order is no fault.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

impl CommandError {
    /// What went wrong, as a stable kebab-case name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "control-unreachable",
            Self::NoAnswer => "control-no-answer",
            Self::Refused(_) => "control-refused",
            Self::Fault(_) => "faults-unknown",
        }
    }
}

/// Sends an order to the emulator that listens on `socket`.
///
/// # Errors
///
/// When nobody answers there, or the order is refused.
pub async fn send(socket: &Path, order: &Order) -> Result<(), CommandError> {
    let line = encode(order).ok_or_else(|| FaultError("it cannot be written".to_owned()))?;
    let unreachable = |source| CommandError::Unreachable {
        path: socket.display().to_string(),
        source,
    };
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let answer = timeout(PATIENCE, converse(stream, &line)).await;
    match answer.map_err(|_| CommandError::NoAnswer)? {
        Ok(answer) if answer == "ok\n" => Ok(()),
        Ok(answer) if answer.starts_with("error ") => {
            Err(CommandError::Refused(answer.trim_end().to_owned()))
        }
        Ok(_) => Err(CommandError::NoAnswer),
        Err(error) => Err(unreachable(error)),
    }
}

async fn converse(mut stream: UnixStream, line: &str) -> io::Result<String> {
    stream.write_all(line.as_bytes()).await?;
    read_line(&mut stream).await
}

/// The emulator's side: a listening socket, removed when it is dropped.
#[derive(Debug)]
pub struct Control {
    socket: Socket,
    faults: Faults,
}

impl Control {
    /// Listens on `path` for orders about `faults`.
    ///
    /// # Errors
    ///
    /// As [`Socket::bind`].
    pub fn bind(path: &Path, faults: Faults) -> Result<Self, BindError> {
        let socket = Socket::bind(path)?;
        Ok(Self { socket, faults })
    }

    /// Follows orders, one connection after the other, until it is dropped.
    pub async fn serve(self) {
        loop {
            let Ok(mut stream) = self.socket.accept().await else {
                continue;
            };
            let served = timeout(PATIENCE, serve(&mut stream, &self.faults)).await;
            if !matches!(served, Ok(Ok(()))) {
                tracing::debug!("an order was not sent in full");
            }
        }
    }
}

async fn serve(stream: &mut UnixStream, faults: &Faults) -> io::Result<()> {
    let line = read_line(stream).await?;
    let answer = match decode(&line) {
        Ok(order) => follow(order, faults),
        Err(error) => format!("error faults-unknown: {error}\n"),
    };
    stream.write_all(answer.as_bytes()).await
}

fn follow(order: Order, faults: &Faults) -> String {
    tracing::info!(?order, "faults");
    match order {
        Order::Clear => faults.clear(),
        Order::Add(fault) => {
            if !faults.add(fault) {
                return "error faults-too-many: clear some first\n".to_owned();
            }
        }
    }
    "ok\n".to_owned()
}

async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(stream.take(MAX_LINE))
        .read_line(&mut line)
        .await?;
    Ok(line)
}

fn encode(order: &Order) -> Option<String> {
    let line = match order {
        Order::Add(fault) => Line::Add(fault.to_table().ok()?),
        Order::Clear => Line::Clear,
    };
    let mut text = serde_json::to_string(&line).ok()?;
    text.push('\n');
    Some(text)
}

fn decode(line: &str) -> Result<Order, FaultError> {
    match serde_json::from_str(line) {
        Ok(Line::Add(table)) => Ok(Order::Add(Timed::from_table(table)?)),
        Ok(Line::Clear) => Ok(Order::Clear),
        Err(error) => Err(FaultError(error.to_string())),
    }
}
