//! A control plane that takes commitments and reveals, and nothing else: by the rules that watchers are promised.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nacre_protocol::problem::{PROBLEM_JSON, Problem};
use nacre_protocol::uptime::{
    COMMITS_PATH, Epoch, PostCommit, PostReveal, REVEALS_PATH, Schedule, WatcherId,
};
use nacre_tests::platform::wait_for;
use nacre_uptime::commit::{check_commit, check_reveal};

/// Longest body that is read.
const MAX_BODY: usize = 1 << 20;

/// What a watcher posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Post {
    Commit,
    Reveal,
}

/// Everything that was posted.
#[derive(Debug, Default)]
pub(crate) struct Posted {
    pub(crate) commits: BTreeMap<(WatcherId, Epoch), PostCommit>,
    pub(crate) reveals: BTreeMap<(WatcherId, Epoch), PostReveal>,
    /// What no honest watcher does.
    pub(crate) violations: Vec<String>,
    /// The next such post is taken, and never answered until [`Stub::release`].
    hold: Option<Post>,
    held: bool,
}

/// It serves as long as the test runs.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    schedule: Schedule,
    shared: Arc<(Mutex<Posted>, Condvar)>,
}

impl Stub {
    pub(crate) fn start(schedule: Schedule) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<(Mutex<Posted>, Condvar)>::default();
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || serve(connection, schedule, &shared));
            }
        });
        Ok(Self {
            address,
            schedule,
            shared,
        })
    }

    pub(crate) fn posted(&self) -> MutexGuard<'_, Posted> {
        lock(&self.shared.0)
    }

    /// The next such post is taken and not answered.
    pub(crate) fn hold(&self, post: Post) {
        self.posted().hold = Some(post);
    }

    /// Waits until a post is held.
    pub(crate) fn wait_held(&self, limit: Duration) -> anyhow::Result<()> {
        wait_for("a post is held", limit, || self.posted().held.then_some(()))
    }

    /// Answers what is held, if its asker still lives.
    pub(crate) fn release(&self) {
        self.posted().held = false;
        self.shared.1.notify_all();
    }

    /// Waits for a reveal of this watcher and an epoch from this one on.
    pub(crate) fn reveal_from(
        &self,
        watcher: WatcherId,
        from: Epoch,
        limit: Duration,
    ) -> anyhow::Result<PostReveal> {
        wait_for("a reveal", limit, || {
            let posted = self.posted();
            let mut range = posted.reveals.range((watcher, from)..);
            let found = range.next().filter(|((who, _), _)| *who == watcher);
            found.map(|(_, reveal)| reveal.clone())
        })
    }

    pub(crate) fn schedule(&self) -> Schedule {
        self.schedule
    }
}

fn lock(posted: &Mutex<Posted>) -> MutexGuard<'_, Posted> {
    posted.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, schedule: Schedule, shared: &(Mutex<Posted>, Condvar)) {
    let Some((path, body)) = read(&stream) else {
        return;
    };
    let answer = {
        let mut posted = lock(&shared.0);
        let (post, answer) = match path.as_str() {
            COMMITS_PATH => (Post::Commit, commit(&mut posted, schedule, &body)),
            REVEALS_PATH => (Post::Reveal, reveal(&mut posted, schedule, &body)),
            _ => return,
        };
        if posted.hold == Some(post) {
            posted.hold = None;
            posted.held = true;
            drop(shared.1.wait_while(posted, |posted| posted.held));
        }
        answer
    };
    let text = match answer {
        Ok(()) => "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned(),
        Err(problem) => {
            let body = serde_json::to_string(&problem).unwrap_or_default();
            let (status, length) = (problem.status, body.len());
            format!(
                "HTTP/1.1 {status} Refused\r\ncontent-type: {PROBLEM_JSON}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        }
    };
    // The asker may have been killed.
    let _ = (&stream).write_all(text.as_bytes());
}

fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; (length <= MAX_BODY).then_some(length)?];
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

fn commit(posted: &mut Posted, schedule: Schedule, body: &[u8]) -> Result<(), Problem> {
    let commit: PostCommit = parse(posted, body)?;
    if let Err(error) = check_commit(&schedule, &commit) {
        posted.violations.push(format!("commitment: {error}"));
        return Err(Problem::new(400, error.code(), "not a commitment"));
    }
    let epoch = commit.epoch;
    let open = schedule.commits_from(epoch)..schedule.reveals_from(epoch);
    if !open.contains(&unix_ms()) {
        return Err(Problem::new(409, "uptime-not-open", "not now"));
    }
    let first = posted.commits.entry((commit.watcher, epoch));
    if first.or_insert_with(|| commit.clone()).commitment != commit.commitment {
        posted
            .violations
            .push(format!("committed twice to {epoch:?}"));
        return Err(Problem::new(
            409,
            "commit-differs",
            "another commitment stands",
        ));
    }
    Ok(())
}

fn reveal(posted: &mut Posted, schedule: Schedule, body: &[u8]) -> Result<(), Problem> {
    let reveal: PostReveal = parse(posted, body)?;
    let key = (reveal.watcher, reveal.epoch);
    let open = schedule.reveals_from(reveal.epoch)..schedule.closed_from(reveal.epoch);
    if !open.contains(&unix_ms()) {
        return Err(Problem::new(409, "uptime-not-open", "not now"));
    }
    let Some(commit) = posted.commits.get(&key) else {
        posted
            .violations
            .push(format!("revealed {key:?} without commitment"));
        return Err(Problem::new(409, "not-committed", "no commitment"));
    };
    if let Err(error) = check_reveal(&schedule, &commit.commitment, &reveal) {
        posted
            .violations
            .push(format!("reveal of {key:?}: {error}"));
        return Err(Problem::new(400, error.code(), "not the committed"));
    }
    posted.reveals.insert(key, reveal);
    Ok(())
}

fn parse<T: serde::de::DeserializeOwned>(posted: &mut Posted, body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        posted.violations.push(format!("not read: {error}"));
        Problem::new(400, "malformed", "not read")
    })
}

pub(crate) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
