//! What happens to functions, for logs and dashboards.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::process::LogSink;

/// Something that happened to a function; holds no caller's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionEvent {
    /// Name of the function.
    pub function: Arc<str>,
    /// What happened.
    pub kind: FunctionEventKind,
    /// The same in words.
    pub message: String,
}

/// What happens to functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FunctionEventKind {
    /// A worker has loaded the model.
    Started,
    /// The worker wrote this line before it served.
    Log,
    /// The worker died or was stopped; another takes its place.
    WorkerLost,
    /// The model could not be loaded again; the next attempt comes later.
    RestartFailed,
    /// The function was removed.
    Stopped,
}

impl FunctionEventKind {
    /// Stable name, for logs.
    pub fn name(self) -> &'static str {
        match self {
            FunctionEventKind::Started => "started",
            FunctionEventKind::Log => "log",
            FunctionEventKind::WorkerLost => "worker-lost",
            FunctionEventKind::RestartFailed => "restart-failed",
            FunctionEventKind::Stopped => "stopped",
        }
    }
}

/// The sending side for one function.
#[derive(Debug, Clone)]
pub(super) struct Events {
    function: Arc<str>,
    sender: mpsc::Sender<FunctionEvent>,
}

impl Events {
    /// The events of `function`.
    pub(super) fn new(function: &str, sender: mpsc::Sender<FunctionEvent>) -> Self {
        Events {
            function: function.into(),
            sender,
        }
    }

    /// Sends an event, or drops it where the reader is behind.
    pub(super) fn emit(&self, kind: FunctionEventKind, message: String) {
        // A reader that is too slow loses events; it must never hold up calls.
        let _ = self.sender.try_send(FunctionEvent {
            function: self.function.clone(),
            kind,
            message,
        });
    }

    /// Where a worker's lines go.
    pub(super) fn log_sink(&self) -> LogSink {
        let events = self.clone();
        Arc::new(move |line| events.emit(FunctionEventKind::Log, line.to_owned()))
    }
}
