//! PostgreSQL for tests: a server of its own in a temporary folder, gone with the test that started it.
//!
//! A test binary runs its tests on SQLite; one of them runs the binary anew with `NACRE_TEST_POSTGRES` naming a server's
//! folder, and there every test gets a database of its own. So nothing is written twice, and nothing can be left out.

#![allow(dead_code, reason = "not everybody who includes this needs all of it")]

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The folder of the running server's socket.
const SERVER: &str = "NACRE_TEST_POSTGRES";
/// Set to 1: a test that would be left out for want of PostgreSQL fails.
const REQUIRED: &str = "NACRE_REQUIRE_POSTGRES";
/// Where Debian puts it, newest first; other systems have it on the PATH.
const PLACES: [&str; 4] = [
    "/usr/lib/postgresql/17/bin",
    "/usr/lib/postgresql/16/bin",
    "/usr/lib/postgresql/15/bin",
    "/usr/bin",
];

/// The URL of a fresh database, if this process is to use PostgreSQL.
pub(crate) fn fresh_database() -> Option<String> {
    let folder = PathBuf::from(std::env::var_os(SERVER)?);
    Some(create_database(&folder))
}

/// Runs all tests of this binary but `myself` on PostgreSQL.
pub(crate) fn rerun(myself: &str) {
    let Some(server) = Server::start() else {
        return;
    };
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--skip", myself])
        .env(SERVER, server.folder())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let summary = said.lines().rfind(|line| line.starts_with("test result"));
    println!("on PostgreSQL: {}", summary.unwrap());
}

/// A server that ends with this.
pub(crate) struct Server {
    child: Child,
    folder: TempDir,
    /// What it is told beyond the rest.
    settings: Vec<String>,
}

impl Server {
    /// Starts one; `None`, and a line that says so, where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::prepared(|_| Vec::new())
    }

    /// Starts one with more settings (`name=value`), which may name files that `prepare` put into its folder.
    pub(crate) fn prepared(prepare: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os(REQUIRED).is_none_or(|value| value != "1"),
                "PostgreSQL is not installed, and {REQUIRED} is 1"
            );
            println!("left out: PostgreSQL is not installed");
            return None;
        };
        let folder = tempfile::Builder::new()
            .prefix("nacre-postgres-")
            .tempdir()
            .unwrap();
        let user = servant();
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let data = folder.path().join("data");
        let made = as_servant(user, &programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8"])
            .args(["--username=postgres", "--pgdata"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let settings = prepare(folder.path());
        if let Some((uid, gid)) = user {
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                chown(entry.unwrap().path(), Some(uid), Some(gid)).unwrap();
            }
        }
        let child = serve(folder.path(), &settings);
        let mut server = Self {
            child,
            folder,
            settings,
        };
        server.wait();
        Some(server)
    }

    /// Ends it, and everybody's connections with it.
    pub(crate) fn stop(&mut self) {
        self.quit();
    }

    /// Starts it again on what it kept.
    pub(crate) fn resume(&mut self) {
        self.child = serve(self.folder(), &self.settings);
        self.wait();
    }

    fn quit(&mut self) {
        let immediate = Command::new("kill")
            .args(["-QUIT", &self.child.id().to_string()])
            .status();
        if !immediate.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !query(self.folder(), "postgres", "SELECT 1")
            .status
            .success()
        {
            let log = || std::fs::read_to_string(self.folder.path().join("log"));
            assert!(self.child.try_wait().unwrap().is_none(), "{:?}", log());
            assert!(Instant::now() < deadline, "{:?}", log());
        }
    }

    /// The folder with its socket.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a database and says its URL.
    pub(crate) fn create_database(&self) -> String {
        create_database(self.folder())
    }

    /// The first column of what a query answers, line by line.
    pub(crate) fn ask(&self, url: &str, sql: &str) -> Vec<String> {
        let (name, _) = url.split_once('?').unwrap();
        let answer = query(self.folder(), name.rsplit('/').next().unwrap(), sql);
        assert!(answer.status.success(), "{answer:?}");
        let text = String::from_utf8(answer.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// At once: nothing of it is kept.
impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.quit();
        }
    }
}

/// Not for a power cut: what is tested is who writes, not whether the disk does.
fn serve(folder: &Path, settings: &[String]) -> Child {
    as_servant(servant(), &programs().unwrap().join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=500"])
        .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("log")).unwrap())
        .spawn()
        .unwrap()
}

fn create_database(folder: &Path) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}_{n}", std::process::id());
    let made = query(folder, "postgres", &format!("CREATE DATABASE {name}"));
    assert!(made.status.success(), "{made:?}");
    format!(
        "postgres://postgres@localhost/{name}?host={}",
        folder.display()
    )
}

fn query(folder: &Path, database: &str, sql: &str) -> Output {
    Command::new(programs().unwrap().join("psql"))
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"])
        .args(["--username=postgres", "--dbname", database, "--host"])
        .arg(folder)
        .args(["--command", sql])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn programs() -> Option<PathBuf> {
    let places = PLACES.iter().map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    places
        .chain(std::env::split_paths(&path).collect::<Vec<_>>())
        .find(|place| place.join("initdb").is_file() && place.join("psql").is_file())
}

/// As whom the server runs: it refuses to run as root.
fn servant() -> Option<(u32, u32)> {
    let me = Command::new("id").arg("-u").output().unwrap();
    if me.stdout != b"0\n" {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].iter().find_map(|name| {
        let user = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let user = user.into_iter().find(|fields| fields[0] == *name)?;
        Some((user[2].parse().unwrap(), user[3].parse().unwrap()))
    })
}

/// A program that ends when the thread that started it does.
fn as_servant(user: Option<(u32, u32)>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((uid, gid)) = user {
        command.arg(format!("--reuid={uid}"));
        command.args([&format!("--regid={gid}"), "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}
