//! The control planes, each in a process of its own, which die and are started again.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser as _;
use nacre_control_plane::cli::{self, ControlPlaneArgs};
use nacre_failpoint::{FOLDER_VARIABLE, HIT, NEXT, Point};

use crate::site::{LEASE_MS, PATIENCE, Site, TRIES};

/// What a control plane is told, a line each.
const ARGUMENTS: &str = "NACRE_TEST_ARGUMENTS";
const SIGKILL: i32 = 9;

#[derive(clap::Parser)]
struct Program {
    #[command(flatten)]
    args: ControlPlaneArgs,
}

/// Not a test: `nacre control-plane`, for the tests that kill it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by another test"]
async fn serve() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let program = Program::try_parse_from(arguments.lines()).unwrap();
    cli::run(program.args).await.unwrap();
}

/// All control planes of a site.
pub(crate) struct Fleet {
    site: Arc<Site>,
    processes: Vec<Child>,
    further: Vec<String>,
}

impl Fleet {
    /// Starts as many as the site has places for.
    pub(crate) fn start(site: Arc<Site>) -> Self {
        let replicas = site.urls.read().unwrap().len();
        let mut fleet = Self {
            site,
            processes: Vec::new(),
            further: Vec::new(),
        };
        for place in 0..replicas {
            let process = fleet.launch(place);
            fleet.processes.push(process);
        }
        fleet
    }

    /// Whoever comes to this point first dies, and is started again. False if nobody came there within `limit`.
    pub(crate) fn kill_at(&mut self, point: Point, limit: Duration) -> bool {
        self.arm(point);
        self.reap(point, limit)
    }

    /// The same for a point that processes come to when they start: one is killed for that.
    pub(crate) fn kill_at_start(&mut self, point: Point) -> bool {
        self.arm(point);
        self.kill(0);
        self.reap(point, PATIENCE)
    }

    fn arm(&self, point: Point) {
        let folder = self.folder();
        let staged = folder.join("staged");
        std::fs::write(&staged, point.to_string()).unwrap();
        std::fs::rename(staged, folder.join(NEXT)).unwrap();
    }

    fn reap(&mut self, point: Point, limit: Duration) -> bool {
        let (next, hit) = (self.folder().join(NEXT), self.folder().join(HIT));
        if !wait_until(limit, || hit.exists()) && std::fs::remove_file(next).is_ok() {
            return false;
        }
        let mut dead = None;
        let died = wait_until(PATIENCE, || {
            let ended = |process: &mut Child| process.try_wait().unwrap().is_some();
            dead = self.processes.iter_mut().position(ended);
            dead.is_some()
        });
        assert!(died, "who came to {point} lives");
        std::fs::remove_file(hit).unwrap();
        self.replace(dead.unwrap());
        true
    }

    /// SIGKILL for this one, wherever it is; it is started again.
    pub(crate) fn kill(&mut self, place: usize) {
        self.processes[place].kill().unwrap();
        self.replace(place);
    }

    /// Ends all of them in order, and starts them with further arguments.
    pub(crate) fn restart_with(&mut self, further: &[&str]) {
        self.stop();
        self.further = further.iter().map(|word| (*word).to_owned()).collect();
        for place in 0..self.processes.len() {
            self.processes[place] = self.launch(place);
        }
    }

    /// Ends all of them in order.
    pub(crate) fn stop(&mut self) {
        for process in &mut self.processes {
            drop(process.stdin.take());
            let mut left = None;
            let stopped = wait_until(PATIENCE, || {
                left = process.try_wait().unwrap();
                left.is_some()
            });
            assert!(stopped && left.unwrap().success(), "{left:?}");
        }
    }

    fn replace(&mut self, place: usize) {
        let left = self.processes[place].wait().unwrap();
        assert_eq!(
            left.signal(),
            Some(SIGKILL),
            "{left:?}: see {:?}",
            self.log(place)
        );
        self.processes[place] = self.launch(place);
    }

    fn launch(&self, place: usize) -> Child {
        let file = |name: &str| self.site.data.path().join(name).display().to_string();
        let mut arguments = vec![
            "nacre control-plane".to_owned(),
            "--listen=127.0.0.1:0".to_owned(),
            "--exit-on-stdin-eof".to_owned(),
            // Nodes stay online, however long a control plane is away.
            "--offline-after-ms=600000".to_owned(),
            "--private-webhooks".to_owned(),
            format!("--job-lease-ms={LEASE_MS}"),
            format!("--job-tries={TRIES}"),
            format!("--objects={}", file("objects")),
            format!("--root={}", file("root")),
            format!("--node-policy={}", file("policy")),
        ];
        arguments.push(match &self.site.postgres {
            Some(url) => format!("--database={url}"),
            None => format!("--data={}", file("")),
        });
        arguments.extend(self.further.iter().cloned());
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log(place));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "fleet::serve", "--nocapture"])
            .env(ARGUMENTS, arguments.join("\n"))
            .env(FOLDER_VARIABLE, self.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, url)) = line.trim_end().split_once("listening on ") {
                self.site.urls.write().unwrap()[place] = url.to_owned();
                break;
            }
            line.clear();
        }
        // Kept open: it has a word to say at its end.
        child.stdout = Some(output.into_inner());
        child
    }

    fn folder(&self) -> PathBuf {
        self.site.data.path().join("failpoints")
    }

    fn log(&self, place: usize) -> PathBuf {
        self.site.data.path().join(format!("log-{place}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Waits until it is so; false if it is not within `limit`.
pub(crate) fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !is_so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
    true
}
