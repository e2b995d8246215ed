//! One verifier over the whole corpus, in a process of its own.

use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use crate::corpus::Case;
use crate::protocol::{Answer, Verdict};

/// How long a verifier may think about one document.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program that speaks the conformance protocol.
#[derive(Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// What came of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Answered(Verdict),
    /// The process ended, or said nothing in time. It was started anew for the next case.
    Died,
}

impl Program {
    /// Asks about each case, in order.
    ///
    /// # Errors
    ///
    /// [`io::Error`] where the program cannot be started, or answers something else than it was asked.
    pub fn judge(&self, cases: &[Case]) -> io::Result<Vec<Outcome>> {
        let mut session = self.start()?;
        let mut outcomes = Vec::with_capacity(cases.len());
        for (id, case) in (0..).zip(cases) {
            let outcome = session.ask(id, case)?;
            if outcome == Outcome::Died {
                session = self.start()?;
            }
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    fn start(&self) -> io::Result<Session> {
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
            })?;
        let (Some(requests), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without its pipes"));
        };
        Ok(Session {
            child,
            requests,
            answers: lines(output),
        })
    }
}

struct Session {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
}

impl Session {
    fn ask(&mut self, id: u64, case: &Case) -> io::Result<Outcome> {
        if writeln!(self.requests, "{}", case.request(id)?).is_err() {
            return Ok(Outcome::Died);
        }
        let Ok(line) = self.answers.recv_timeout(PATIENCE) else {
            return Ok(Outcome::Died);
        };
        let answer: Answer = serde_json::from_str(&line)?;
        if answer.id != id {
            return Err(io::Error::other(format!(
                "asked {id}, answered {}",
                answer.id
            )));
        }
        Ok(Outcome::Answered(answer.verdict))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left of it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
