use nacre_control_plane::{ControlPlane, StartError, UptimeConfig};
use nacre_protocol::control::FunctionState;
use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{
    DownReason, Epoch, Schedule, SlashRecord, Slot, Standing, UptimeReport, Verdict,
};
use reqwest::Method;

use super::site::{RETENTION, STAKE, Site, row, schedule, until};
use crate::support::{TestNode, config, refused};

/// What four watchers say: one lies, one does not reveal.
fn said(alive: NodeId, dead: NodeId) -> [Option<Vec<nacre_protocol::uptime::Row>>; 4] {
    let truth = || vec![row(alive, "uuuuuuuu"), row(dead, "dddddddd")];
    let lie = vec![row(alive, "dddddddd"), row(dead, "uuuuuuuu")];
    [Some(truth()), Some(lie), None, Some(truth())]
}

#[tokio::test]
async fn the_report_shows_what_each_watcher_saw_and_only_the_dead_node_is_slashed_once() {
    let mut site = Site::start(&[2, 3, 100, 2]).await;
    let alive = site.node(1).await;
    let dead = site.node(2).await;
    let nobody = TestNode::new(9, 1, 1).id;
    let (first, second) = (site.epoch, Epoch(site.epoch.0 + 1));
    let mut words = said(alive.id, dead.id);
    // A node that never registered is nobody's.
    words[0].as_mut().unwrap().push(row(nobody, "dddddddd"));
    site.say(first, &words).await;
    let report = site.judged(first, dead.id).await;
    assert_eq!(report.slots.len(), 8);
    for slot in &report.slots {
        assert_eq!((slot.verdict, slot.excused), (Verdict::Down, false));
        let saw = |at: usize| {
            let id = site.watchers[at].id();
            let saw = slot.saw.iter().find(|saw| saw.watcher.watcher == id);
            let saw = saw.unwrap();
            (saw.watcher.standing, saw.up, saw.reason)
        };
        let timeout = Some(DownReason::Timeout);
        assert_eq!(saw(0), (Standing::Counted, Some(false), timeout));
        assert_eq!(saw(1), (Standing::Counted, Some(true), None));
        assert_eq!(saw(2), (Standing::NotCommitted, None, None));
        assert_eq!(saw(3), (Standing::Counted, Some(false), timeout));
    }
    assert_eq!(site.shown(alive.id).await.uptime.score, Some(10_000));
    assert_eq!(site.shown(dead.id).await.uptime.score, Some(0));

    // Several control planes on one database judge and settle once; on SQLite there is one.
    let other = match site.server.is_shared() {
        true => Some(site.server.another().await.unwrap()),
        false => None,
    };
    site.say(second, &said(alive.id, dead.id)).await;
    site.judged(second, dead.id).await;
    let slashes = site.slashes(first).await;
    let wanted = SlashRecord {
        node: dead.id,
        operator: dead.operator_id(),
        window: schedule().window_of(first),
        stake: STAKE,
        window_slots: 16,
        up: 0,
        missing: 16,
        excused: 0,
        unjudged: 0,
        // A twentieth, rounded down.
        amount: 50_000,
        settled_ms: slashes[0].settled_ms,
    };
    assert_eq!(slashes, [wanted]);
    // What is settled stays, also over a restart.
    if let Some(other) = other {
        other.shutdown().await;
    }
    site.server.stop().await;
    site.server.resume().await;
    assert_eq!(site.slashes_now().await, [wanted]);
    let unknown = format!("/v1/uptime/report?node={nobody}");
    refused(
        site.server.request(Method::GET, &unknown),
        404,
        "node-not-found",
    )
    .await;
}

#[tokio::test]
async fn a_report_comes_in_pages_and_within_bounds() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await.id;
    let epoch = site.epoch;
    site.say(epoch, &[Some(vec![row(node, "uuddu-uu")])]).await;
    site.judged(epoch, node).await;
    let first = schedule().first_slot(epoch);
    let path = |query: String| format!("/v1/uptime/report?node={node}{query}");
    let page: UptimeReport = site
        .server
        .get(&path(format!("&from={}&limit=5", first.0 + 1)))
        .await;
    let slots: Vec<_> = page
        .slots
        .iter()
        .map(|slot| slot.slot.0 - first.0)
        .collect();
    assert_eq!(slots, [1, 2, 3, 4, 5]);
    assert_eq!(page.slots[4].verdict, Verdict::Unseen);
    assert_eq!(page.next, Some(Slot(first.0 + 6)));
    let next = format!("&from={}&limit=5", first.0 + 6);
    let page: UptimeReport = site.server.get(&path(next)).await;
    assert_eq!((page.slots.len(), page.next), (2, None));
    // Nothing is told of what is not judged, however far one asks.
    let ahead = format!("&from={}&to={}", first.0 + 8, u64::MAX);
    let page: UptimeReport = site.server.get(&path(ahead)).await;
    assert_eq!((page.slots.len(), page.next), (0, None));
    for limit in ["0", "361", "x"] {
        let path = path(format!("&limit={limit}"));
        refused(
            site.server.request(Method::GET, &path),
            400,
            "query-invalid",
        )
        .await;
    }
}

#[tokio::test]
async fn a_node_that_watchers_agree_is_dead_loses_its_leases_until_they_see_it_again() {
    let mut site = Site::start(&[1, 1, 1]).await;
    let version = site.server.function("iris", "1MiB", "model").await;
    let mut cheap = site.node(1).await;
    let order = site.server.deploy(&version, 1).await;
    site.server.report(&cheap, FunctionState::Ready).await;
    let other = site.node(2).await;
    let epoch = site.epoch;
    // Two of three say so; it reports as if nothing were.
    let truth = || Some(vec![row(cheap.id, "uuuudddd"), row(other.id, "uuuuuuuu")]);
    let lie = Some(vec![row(cheap.id, "uuuuuuuu"), row(other.id, "dddddddd")]);
    site.say(epoch, &[truth(), lie, truth()]).await;
    let moved = site.server.until(order.id, |order| {
        order.leases.iter().any(|lease| lease.node == other.id)
    });
    moved.await;
    let shown = site.shown(cheap.id).await;
    assert!(shown.uptime.unreachable_ms.is_some());
    // Neither what it says changes that, nor a registration of the same run.
    site.server.report(&cheap, FunctionState::Ready).await;
    site.server.register(&mut cheap).await;
    assert!(!site.shown(cheap.id).await.online);
    assert_eq!(shown.uptime.score, Some(5_000));
    assert_eq!(site.shown(other.id).await.uptime.unreachable_ms, None);

    let next = Epoch(epoch.0 + 1);
    let well = || Some(vec![row(cheap.id, "dduuuuuu"), row(other.id, "uuuuuuuu")]);
    site.say(next, &[well(), well(), well()]).await;
    until("it is reachable", async || {
        let shown = site.shown(cheap.id).await;
        shown.uptime.unreachable_ms.is_none().then_some(())
    })
    .await;
    site.server.report(&cheap, FunctionState::Ready).await;
    assert!(site.shown(cheap.id).await.online);
}

#[tokio::test]
async fn a_database_with_words_keeps_its_schedule() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await.id;
    site.say(site.epoch, &[Some(vec![row(node, "uuuuuuuu")])])
        .await;
    site.judged(site.epoch, node).await;
    site.server.stop().await;
    let mut other = config(site.server.data.path(), site.server.nsm.root_der());
    other.database = site.server.database.clone();
    other.uptime = UptimeConfig {
        schedule: Schedule::new(1_000, 4, 16, 2, 4).unwrap(),
        ..UptimeConfig::default()
    };
    let refused = ControlPlane::bind(other).await.unwrap_err();
    assert!(matches!(refused, StartError::Open(_)), "{refused}");
    assert!(refused.to_string().contains("cut otherwise"), "{refused}");
    site.server.resume().await;
}

#[tokio::test]
async fn what_watchers_said_is_forgotten_in_time_and_what_came_of_it_stays() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await.id;
    let (first, second) = (site.epoch, Epoch(site.epoch.0 + 1));
    for epoch in [first, second] {
        site.say(epoch, &[Some(vec![row(node, "uuuddddd")])]).await;
        site.judged(epoch, node).await;
    }
    let slashes = site.slashes(first).await;
    assert_eq!(slashes[0].missing, 10);
    // Old things are forgotten when a control plane starts, and every minute: reveals as soon as nobody can dispute them.
    let said = "SELECT (SELECT COUNT(*) FROM uptime_reveals) * 100 + COUNT(*) FROM uptime_commits";
    restarted(&mut site, said, 2).await;
    assert_eq!(site.judged(first, node).await.slots.len(), 8);
    let (kept, window) = (RETENTION.as_secs() * 1000, 16_000);
    site.at(schedule().closed_from(second) + kept + 2 * window);
    let last = Epoch(
        schedule()
            .epoch_of(schedule().slot_at(site.server.now_ms()))
            .0
            - 2,
    );
    site.judged(last, node).await;
    restarted(&mut site, said, 0).await;
    assert_eq!(site.slashes_now().await, slashes);
    // It goes on where it was.
    let next = Epoch(last.0 + 3);
    site.say(next, &[Some(vec![row(node, "uuuuuuuu")])]).await;
    let report = site.judged(next, node).await;
    assert_eq!(report.slots[7].verdict, Verdict::Up);
}

/// Starts the control plane anew, and waits until the database says this number.
async fn restarted(site: &mut Site, sql: &'static str, number: i64) {
    site.server.stop().await;
    site.server.resume().await;
    until("it is forgotten", async || {
        (site.server.number(sql).await == number).then_some(())
    })
    .await;
}
