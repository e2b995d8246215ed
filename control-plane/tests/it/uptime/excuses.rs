use nacre_protocol::uptime::{AnnounceDrain, AnnouncedDrain, Epoch, Verdict};
use reqwest::Method;

use super::site::{Site, made, row, schedule, until};
use crate::support::{TestNode, refused};

pub(super) fn excused(report: &nacre_protocol::uptime::UptimeReport) -> String {
    let mark = |excused| if excused { 'x' } else { '.' };
    report.slots.iter().map(|slot| mark(slot.excused)).collect()
}

#[tokio::test]
async fn a_drain_announced_in_time_excuses_what_the_budget_covers_and_a_late_one_nothing() {
    let mut site = Site::start(&[1]).await;
    let (node, late) = (site.node(1).await, site.node(2).await);
    let epoch = site.epoch;
    let begin = schedule().slot_start(schedule().first_slot(epoch));
    let drain = |node: &TestNode, from_ms, to_ms| {
        let path = format!("/v1/nodes/{}/drains", node.id);
        let request = site.server.anonymous(Method::POST, &path);
        request
            .bearer_auth(&node.token)
            .json(&AnnounceDrain { from_ms, to_ms })
    };
    // The month's budget is six slots.
    let told: AnnouncedDrain = made(drain(&node, begin + 1_000, begin + 8_000)).await;
    assert_eq!(told.excused_slots, 6);
    let again: AnnouncedDrain = made(drain(&node, begin + 1_000, begin + 8_000)).await;
    assert_eq!(again, told);
    refused(
        drain(&node, begin + 1_000, begin + 2_000),
        409,
        "drain-differs",
    )
    .await;
    refused(drain(&node, 1, 2), 422, "drain-out-of-range").await;
    refused(drain(&node, begin, begin), 422, "drain-out-of-range").await;
    let path = format!("/v1/nodes/{}/drains", late.id);
    let other = site
        .server
        .anonymous(Method::GET, &path)
        .bearer_auth(&node.token);
    refused(other, 403, "forbidden").await;

    // Four seconds of notice are wanted; these are three and a half.
    site.at(begin - 2_500);
    let told: AnnouncedDrain = made(drain(&late, begin + 1_000, begin + 8_000)).await;
    assert_eq!(told.excused_slots, 0);

    let rows = vec![row(node.id, "uddddddd"), row(late.id, "uddddddd")];
    site.say(epoch, &[Some(rows)]).await;
    let report = site.judged(epoch, node.id).await;
    assert_eq!(excused(&report), ".xxxxxx.");
    assert_eq!(report.slots[1].verdict, Verdict::Down);
    assert_eq!(excused(&site.judged(epoch, late.id).await), "........");
    let next = vec![row(node.id, "uuuuuuuu"), row(late.id, "uuuuuuuu")];
    site.say(Epoch(epoch.0 + 1), &[Some(next)]).await;
    let slashes = site.slashes(epoch).await;
    let of = |node: &TestNode| {
        let slash = slashes.iter().find(|slash| slash.node == node.id).unwrap();
        (slash.missing, slash.excused)
    };
    assert_eq!((of(&node), of(&late)), ((1, 6), (7, 0)));
}

#[tokio::test]
async fn what_nodes_miss_while_no_control_plane_is_at_work_is_excused() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await;
    let epoch = site.epoch;
    let begin = schedule().slot_start(schedule().first_slot(epoch));
    site.at(begin + 500);
    noticed(&site).await;
    site.server.stop().await;
    site.at(begin + 4_500);
    site.server.resume().await;
    noticed(&site).await;
    site.say(epoch, &[Some(vec![row(node.id, "dddddddd")])])
        .await;
    // From the last sign of life to two slots after the next.
    let report = site.judged(epoch, node.id).await;
    assert_eq!(excused(&report), "xxxxxxx.");
}

/// Waits until the control plane has noted that it is at work at this moment.
async fn noticed(site: &Site) {
    until("it is at work", async || {
        let alive = "SELECT CAST(value AS BIGINT) FROM uptime_state WHERE name = 'alive'";
        let alive = site.server.number(alive).await;
        (u64::try_from(alive) == Ok(site.server.now_ms())).then_some(())
    })
    .await;
}
