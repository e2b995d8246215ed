//! SIGKILL beside every step that a node takes for a job, and of control plane, node, enclave and worker at any moment: a whole
//! platform of real programs, real answers, and what the database then says.
//!
//! Some jobs are sealed to the enclave that runs, and can end with it; the ends of most are told by webhook to a receiver that
//! refuses some.
//!
//! `NACRE_CHAOS_KILLS` (three for each kill here) and `NACRE_CHAOS_SEED` say how many kills and which; `make chaos` is the long form, in which every
//! failpoint of the node must have killed it. What the control plane's own steps are put through is in its tests.

#![allow(
    clippy::unwrap_used,
    reason = "shared with the control plane's tests: a test that cannot go on fails"
)]

#[path = "../../../control-plane/tests/chaos/deck.rs"]
mod deck;
#[path = "../../../control-plane/tests/chaos/invariants.rs"]
mod invariants;
#[path = "../../../control-plane/tests/chaos/kept.rs"]
mod kept;
#[path = "../../../control-plane/tests/chaos/report.rs"]
mod report;

mod caller;
mod hooks;
mod machine;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use nacre_failpoint::{Point, Process, Step};
use nacre_tests::platform::wait_for;
use nacre_tests::processes::Part;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::caller::Caller;
use crate::deck::{Deck, Kill};
use crate::invariants::violations;
use crate::kept::{Kept, pending};
use crate::machine::Machine;
use crate::report::Tally;

/// Kills unless `NACRE_CHAOS_KILLS` says otherwise; of those it is a third, because a node takes its time to come back.
const KILLS: u64 = 6;
const CALLERS: usize = 4;
/// Longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a point is waited for before the next is tried.
const TURN: Duration = Duration::from_secs(20);
/// How often a point may come to nothing before it is taken to be out of reach.
const MISSED: usize = 20;
/// Who is killed at any moment.
const PARTS: [Part; 4] = [Part::ControlPlane, Part::Node, Part::Enclave, Part::Worker];

#[test]
fn a_platform_killed_at_every_step_of_its_node_and_anywhere_settles_each_job_once()
-> anyhow::Result<()> {
    let mut machine = Machine::start()?;
    let outcome = storm(&mut machine);
    if outcome.is_err() {
        machine.print_logs();
    }
    outcome
}

/// Kills, and counts what came of the jobs.
fn storm(machine: &mut Machine) -> anyhow::Result<()> {
    let seed = number("NACRE_CHAOS_SEED")?.unwrap_or(1);
    let kills = number("NACRE_CHAOS_KILLS")?.map_or(KILLS, |kills| kills.div_ceil(3));
    let kills = usize::try_from(kills)?;
    let began = Instant::now();
    let runtime = Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let hook = format!("http://{}/", listener.local_addr()?);
    let caller = Arc::new(Caller::of(machine, hook)?);
    runtime.block_on(caller.learn_secret())?;
    runtime.spawn(hooks::listen(listener, Arc::clone(&caller)));
    let mut callers: Vec<_> = (0..CALLERS)
        .map(|_| runtime.spawn(Arc::clone(&caller).lay_in_on_and_on()))
        .collect();

    let mut deck = Deck::new(seed, Point::of(Process::Node), PARTS.len(), 3);
    let points = Point::of(Process::Node).count();
    // Long enough for each point to have its turn.
    let long = kills >= points;
    let mut tally = Tally::default();
    while tally.kills() < kills || long && tally.at.len() < points {
        ensure!(
            tally.missed <= MISSED,
            "nobody comes to some points: {tally:?}"
        );
        match deck.draw() {
            Kill::At(point) => {
                let provoke = (point.step == Step::ReportFailure).then_some(&caller.done);
                if machine.kill_at(point, provoke, TURN)? {
                    *tally.at.entry(point).or_default() += 1;
                } else {
                    tally.missed += 1;
                    deck.put_back(point);
                }
            }
            Kill::Anywhere { process, answers } => {
                let wanted = caller.answers.load(Ordering::SeqCst) + answers / 4;
                let settled = || {
                    let answered = caller.answers.load(Ordering::SeqCst) >= wanted;
                    (answered || callers.iter().any(JoinHandle::is_finished)).then_some(())
                };
                wait_for("callers are answered", PATIENCE, settled)?;
                // Nobody told them that it is enough: one that has left was told something wrong.
                if let Some(left) = callers.iter().position(JoinHandle::is_finished) {
                    runtime.block_on(callers.swap_remove(left))??;
                }
                machine.kill(PARTS[process], &caller.done)?;
                tally.anywhere += 1;
            }
        }
    }
    // Of those sealed meanwhile, all may have lost their enclave; now it stays.
    let opened = || (caller.opened.load(Ordering::SeqCst) > 0).then_some(());
    wait_for("a sealed job is done", PATIENCE, opened)?;
    caller.enough.store(true, Ordering::SeqCst);
    for caller in callers {
        runtime.block_on(caller)??;
    }
    let database = machine.database();
    let quiet = || (runtime.block_on(pending(&database, caller::now_ms())) == 0).then_some(());
    wait_for("nothing is left to do", PATIENCE, quiet)?;
    machine.stop()?;

    let kept = runtime.block_on(Kept::read(&database, &machine.objects()));
    let told = caller.told();
    tally.print("a whole platform", seed, began.elapsed(), &told, &kept);
    let found = violations(&told, &kept, caller::now_ms());
    ensure!(found.is_empty(), "{found:#?}");
    ensure!(kept.staged.is_empty(), "{:?}", kept.staged);
    let opened = caller.opened.load(Ordering::SeqCst);
    println!("  {opened} sealed results opened");
    ensure!(!told.notices.is_empty(), "no end was told");
    Ok(())
}

fn number(variable: &str) -> anyhow::Result<Option<u64>> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
    Ok(text.map(|text| text.parse()).transpose()?)
}
