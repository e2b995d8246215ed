//! The program under test: started by argument vector, asked and listened to at the same time, always killed and reaped.
//!
//! It may be broken or hostile. What is kept of its output is bounded, every answer has a deadline, and it gets no
//! further request than [`WINDOW`] ahead of its answers.

use std::convert::Infallible;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::commands::conformance::corpus::Case;
use crate::commands::conformance::ending::Ending;
use crate::commands::conformance::protocol::{Answer, MAX_ANSWER, from_object};
use crate::error::CliError;

/// How many requests may wait for their answers.
const WINDOW: usize = 16;
/// How long it may take to end, and what it still writes to arrive.
const GRACE: Duration = Duration::from_secs(2);
/// How much of the end of its standard error is kept, bytes.
const MAX_STDERR: usize = 8 << 10;

/// What came of an exchange.
#[derive(Debug)]
pub(super) struct Run {
    /// The answers to the first cases, in order.
    pub(super) answers: Vec<Answer>,
    /// What went wrong, if anything did.
    pub(super) ending: Option<Ending>,
    /// The end of what it wrote to standard error.
    pub(super) stderr: String,
}

/// Starts the program and puts the cases to it, until all are answered, something goes wrong or `stop` is ready.
///
/// # Errors
///
/// Only where it cannot be started.
pub(super) async fn put(
    command: &[OsString],
    cases: &[Case],
    answer_within: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Run, CliError> {
    let mut candidate = Candidate::start(command)?;
    let mut answers = Vec::new();
    let (stdin, stdout) = (candidate.stdin.take(), &mut candidate.stdout);
    let exchange = exchange(stdin, stdout, cases, answer_within, &mut answers);
    let ended = tokio::select! {
        ended = exchange => ended,
        () = stop => Err(Ending::Interrupted),
        never = candidate.stderr.keep() => match never {},
    };
    let ending = match ended {
        Err(Ending::Exited(_)) => Some(Ending::Exited(candidate.exit_status().await)),
        ended => ended.err(),
    };
    let stderr = candidate.end().await;
    Ok(Run {
        answers,
        ending,
        stderr,
    })
}

/// Writes requests and reads answers at the same time: neither side can block the other for ever.
async fn exchange(
    stdin: Option<ChildStdin>,
    stdout: &mut BufReader<ChildStdout>,
    cases: &[Case],
    answer_within: Duration,
    answers: &mut Vec<Answer>,
) -> Result<(), Ending> {
    let window = Semaphore::new(WINDOW);
    let asking = async {
        ask(stdin, cases, &window).await;
        std::future::pending::<Infallible>().await
    };
    let listening = async {
        for id in 0..cases.len() as u64 {
            let line = timeout(answer_within, next_line(stdout)).await;
            let line = line.map_err(|_| Ending::Late(answer_within))??;
            answers.push(read_answer(&line.ok_or(Ending::Exited(None))?, id)?);
            window.add_permits(1);
        }
        // Its input has ended. What it does now is its own business, unless it goes on answering.
        match timeout(GRACE, next_line(stdout)).await {
            Ok(Ok(None)) | Err(_) => Ok(()),
            Ok(_) => Err(Ending::Unasked),
        }
    };
    tokio::select! {
        ended = listening => ended,
        never = asking => match never {},
    }
}

/// Writes one request after the other, as far as the window allows, and closes the pipe.
async fn ask(stdin: Option<ChildStdin>, cases: &[Case], window: &Semaphore) {
    let Some(mut stdin) = stdin else { return };
    for (id, case) in (0..).zip(cases) {
        let Ok(permit) = window.acquire().await else {
            return;
        };
        permit.forget();
        let Ok(mut line) = serde_json::to_vec(&case.request(id)) else {
            return;
        };
        line.push(b'\n');
        // A program that has closed its input may still answer what it has read; its output tells.
        if stdin.write_all(&line).await.is_err() {
            return;
        }
    }
}

/// The next line without its end; `None` where the output has ended.
async fn next_line(stdout: &mut BufReader<ChildStdout>) -> Result<Option<Vec<u8>>, Ending> {
    let mut line = Vec::new();
    let mut bounded = stdout.take(MAX_ANSWER as u64 + 1);
    let read = bounded.read_until(b'\n', &mut line).await;
    if read.map_err(Ending::Unreadable)? == 0 {
        return Ok(None);
    }
    match line.last() {
        Some(b'\n') => _ = line.pop(),
        _ if line.len() > MAX_ANSWER => return Err(Ending::TooLong),
        _ => {}
    }
    Ok(Some(line))
}

fn read_answer(line: &[u8], expected: u64) -> Result<Answer, Ending> {
    let answer: Answer = from_object(line).map_err(Ending::Malformed)?;
    if answer.id != Some(expected) {
        let found = answer
            .id
            .map_or_else(|| "null".to_owned(), |id| id.to_string());
        return Err(Ending::OutOfOrder { expected, found });
    }
    if answer.verdict().is_none() {
        let what = "it needs exactly one of code, accepted, unsupported and error";
        return Err(Ending::Malformed(what.to_owned()));
    }
    Ok(answer)
}

/// The running program, in a process group of its own so that whatever it starts ends with it.
struct Candidate {
    child: Child,
    group: Option<Pid>,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Tail,
}

impl Candidate {
    fn start(command: &[OsString]) -> Result<Self, CliError> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| CliError::Usage("name a program after --".to_owned()))?;
        let cannot = |reason: String| {
            let program = program.display();
            CliError::Usage(format!("cannot start {program}: {reason}"))
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| cannot(error.to_string()))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(cannot("it has no pipes".to_owned()));
        };
        Ok(Self {
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            stdin: child.stdin.take(),
            stdout: BufReader::new(stdout),
            stderr: Tail::new(stderr),
            child,
        })
    }

    /// How it exited; `None` where it still runs.
    async fn exit_status(&mut self) -> Option<std::process::ExitStatus> {
        timeout(GRACE, self.child.wait()).await.ok()?.ok()
    }

    /// Kills it with everything it started, reaps it, and gives the end of its standard error.
    async fn end(mut self) -> String {
        if let Some(group) = self.group {
            // Usually nobody is left in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
        // Fails only if it has been reaped.
        let _ = self.child.kill().await;
        // Whoever left the group may hold the pipe open.
        let _ = timeout(GRACE, self.stderr.drain()).await;
        self.stderr.text()
    }
}

/// The end of a stream of bytes.
struct Tail {
    stream: ChildStderr,
    bytes: Vec<u8>,
}

impl Tail {
    fn new(stream: ChildStderr) -> Self {
        Self {
            stream,
            bytes: Vec::new(),
        }
    }

    /// Reads on for ever, so that the writer is never blocked.
    async fn keep(&mut self) -> Infallible {
        self.drain().await;
        std::future::pending().await
    }

    async fn drain(&mut self) {
        let mut piece = [0; 4096];
        // An error is an end as well.
        while let Ok(length @ 1..) = self.stream.read(&mut piece).await {
            self.bytes.extend_from_slice(&piece[..length]);
            let excess = self.bytes.len().saturating_sub(MAX_STDERR);
            self.bytes.drain(..excess);
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}
