//! Three control planes on one PostgreSQL, killed in turn under load: what was answered is there, once.
//!
//! Callers ask one after another until somebody answers, with the same idempotency key, as callers do. What the answers
//! promised is then counted in the database, not in what the control planes say of it.

mod site;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use nacre_control_plane::Database;
use nacre_protocol::api::Deployment;
use nacre_protocol::digest::Digest;

use self::site::{Deployed, REPLICAS, Site, Written};
use crate::postgres;
use crate::support::{TestNode, order};

/// Kills, each after this many further answers.
const KILLS: usize = 9;
const ANSWERS_BETWEEN: usize = 40;
const DEPLOYERS: usize = 4;
const NODES: u8 = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_killed_in_turn_lose_nothing_and_do_nothing_twice() {
    // Its own server, and once: not again in the run where all have PostgreSQL.
    if postgres::fresh_database().is_some() {
        return;
    }
    let Some(postgres) = postgres::Server::start() else {
        return;
    };
    let site = Arc::new(Site::new(postgres.create_database()).await);
    let began = Instant::now();
    let mut replicas: Vec<_> = (0..REPLICAS).map(|n| Some(site.start(n))).collect();

    let logged = site.function(site::LOGGED, "1").await;
    let nodes: Vec<_> = (1..=NODES)
        .map(|n| TestNode::new(n, 1 << 40, u64::from(n)))
        .collect();
    let mut registered = Vec::new();
    for node in nodes {
        registered.push(site.clone().register(node).await);
    }
    let first: Deployment = site
        .post(
            "/v1/deployments",
            "logged",
            &order(&logged, u32::from(NODES)),
        )
        .await;
    assert_eq!(first.leases.len(), usize::from(NODES));

    let deployers: Vec<_> = (0..DEPLOYERS)
        .map(|n| tokio::spawn(site.clone().deploy_on_and_on(n)))
        .collect();
    let writers: Vec<_> = registered
        .into_iter()
        .map(|node| tokio::spawn(site.clone().report_on_and_on(node)))
        .collect();

    for kill in 0..KILLS {
        site.until_answers((kill + 1) * ANSWERS_BETWEEN, began)
            .await;
        let place = kill % REPLICAS;
        replicas[place].take().unwrap().kill();
        replicas[place] = Some(site.start(place));
    }
    site.until_answers((KILLS + 1) * ANSWERS_BETWEEN, began)
        .await;
    site.stop.store(true, Ordering::SeqCst);
    let mut deployed = Vec::new();
    for deployer in deployers {
        deployed.extend(deployer.await.unwrap());
    }
    let ask = |sql: &str| postgres.ask(&site.database, sql);
    let began_to_rest = Instant::now();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(200));
    while !ask(RESTLESS).is_empty() {
        assert!(
            began_to_rest.elapsed() < REST,
            "orders are not served: {:?}",
            ask(RESTLESS)
        );
        tick.tick().await;
    }
    site.at_rest.store(true, Ordering::SeqCst);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    println!(
        "{KILLS} kills in {:.1} s: {} answers, {} asked again; {} deployments, {} events, {} registrations",
        began.elapsed().as_secs_f64(),
        site.answers.load(Ordering::SeqCst),
        site.again.load(Ordering::SeqCst),
        deployed.len() + 1,
        written.iter().map(|w| w.events).sum::<u64>(),
        written.iter().map(|w| w.registrations).sum::<usize>(),
    );
    drop(replicas);
    deployments_are_there_once(&ask, &first, &deployed);
    leases_fit(&ask);
    let database = Database::postgres(&site.database).unwrap();
    let found = nacre_control_plane::audit::market(&database).await;
    assert_eq!(found.unwrap(), Vec::<String>::new());
    logs_are_there_once(&ask, &written);
    blobs_are_there(&ask, site.data.path());
}

fn deployments_are_there_once(
    ask: &impl Fn(&str) -> Vec<String>,
    first: &Deployment,
    deployed: &[Deployed],
) {
    let promised: BTreeSet<String> = deployed
        .iter()
        .map(|told| told.deployment.id.to_string())
        .chain([first.id.to_string()])
        .collect();
    assert_eq!(
        promised.len(),
        deployed.len() + 1,
        "an answer was given twice"
    );
    let there: BTreeSet<String> = ask("SELECT id FROM deployments").into_iter().collect();
    assert_eq!(there, promised);
    // Each function has one version and one live deployment, and each other one gave way to one that is there.
    let versions: BTreeSet<String> = deployed
        .iter()
        .map(|told| format!("{} {} 1", told.version.function, told.version.digest))
        .collect();
    let there = ask(
        "SELECT function || ' ' || digest || ' ' || version FROM versions
                     WHERE function <> 'logged'",
    );
    assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), versions);
    assert_eq!(
        ask("SELECT f.name FROM functions f WHERE
             (SELECT COUNT(*) FROM deployments d WHERE d.function = f.name AND d.replaced_by IS NULL) <> 1
             OR f.last_version <> 1"),
        [""; 0]
    );
    assert_eq!(
        ask(
            "SELECT a.id FROM deployments a LEFT JOIN deployments b ON b.id = a.replaced_by
             WHERE a.replaced_by IS NOT NULL AND b.id IS NULL"
        ),
        [""; 0]
    );
    // Replacements form one chain a function: no two gave way to the same.
    assert_eq!(
        ask(
            "SELECT replaced_by FROM deployments WHERE replaced_by IS NOT NULL
             GROUP BY replaced_by HAVING COUNT(*) > 1"
        ),
        [""; 0]
    );
    let kept = ask("SELECT COUNT(*) FROM idempotency WHERE body LIKE '%\"replicas\"%'");
    assert_eq!(kept, [promised.len().to_string()]);
}

fn leases_fit(ask: &impl Fn(&str) -> Vec<String>) {
    assert_eq!(
        ask(
            "SELECT n.id FROM nodes n JOIN leases l ON l.node = n.id AND l.ended_ms IS NULL
             GROUP BY n.id, n.memory_bytes, n.cpu_milli
             HAVING SUM(l.memory_bytes) > n.memory_bytes OR SUM(l.kept_cpu_milli) > n.cpu_milli"
        ),
        [""; 0]
    );
    assert_eq!(
        ask("SELECT l.id FROM leases l JOIN deployments d ON d.id = l.deployment
             WHERE l.ended_ms IS NULL
             GROUP BY l.id, d.id, d.replicas HAVING
             (SELECT COUNT(*) FROM leases o WHERE o.deployment = d.id AND o.ended_ms IS NULL) > d.replicas"),
        [""; 0]
    );
}

/// Orders that lack replicas or have too many. Each wants at most one a node.
const RESTLESS: &str = "SELECT d.id FROM deployments d WHERE
     (SELECT COUNT(*) FROM leases l
      WHERE l.deployment = d.id AND l.ended_ms IS NULL AND l.state = 'ready')
     <> CASE WHEN d.replaced_by IS NULL THEN d.replicas ELSE 0 END";
/// How long updates that were under way may take.
const REST: std::time::Duration = std::time::Duration::from_secs(60);

fn logs_are_there_once(ask: &impl Fn(&str) -> Vec<String>, written: &[Written]) {
    for told in written {
        let lines = format!(
            "SELECT seq FROM logs WHERE node = '{}' ORDER BY seq",
            told.node
        );
        let all: Vec<_> = (1..=told.events).map(|seq| seq.to_string()).collect();
        assert_eq!(ask(&lines), all);
    }
    let total: u64 = written.iter().map(|told| told.events).sum();
    assert_eq!(
        ask(
            "SELECT f.last_log || ' ' || COUNT(*) || ' ' || MIN(l.id) || ' ' || MAX(l.id)
             FROM functions f JOIN logs l ON l.function = f.name GROUP BY f.name, f.last_log"
        ),
        [format!("{total} {total} 1 {total}")]
    );
    let nodes = ask("SELECT id || ' ' || boot_id FROM nodes ORDER BY id");
    let mut expected: Vec<_> = written
        .iter()
        .map(|told| format!("{} {}", told.node, told.boot))
        .collect();
    expected.sort();
    assert_eq!(nodes, expected);
    // No nonce registered twice, and none that was not answered for counts against anybody: at least one each.
    let used: usize = ask("SELECT COUNT(*) FROM used_nonces")[0].parse().unwrap();
    let answered: usize = written.iter().map(|told| told.registrations).sum();
    assert!(
        used >= answered,
        "{used} nonces for {answered} registrations"
    );
}

fn blobs_are_there(ask: &impl Fn(&str) -> Vec<String>, data: &Path) {
    let rows: BTreeSet<String> = ask("SELECT digest FROM blobs").into_iter().collect();
    let folder = std::fs::read_dir(data.join("objects/blobs/sha256")).unwrap();
    let objects: BTreeSet<String> = folder
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.contains('#'))
        .map(|name| {
            let bytes = std::fs::read(data.join("objects/blobs/sha256").join(&name)).unwrap();
            let digest = Digest::of(&bytes);
            assert_eq!(digest.to_hex(), name);
            digest.to_string()
        })
        .collect();
    assert_eq!(rows, objects);
}
