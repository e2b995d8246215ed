use nacre_control_plane::watchers;
use nacre_protocol::uptime::{Epoch, REVEAL_HEADER, Schedule, Standing};
use nacre_uptime::WatcherKey;
use reqwest::Method;

use super::site::{Site, row, schedule, taken};
use crate::support::{expect, refused};

#[tokio::test]
async fn anybody_may_ask_how_time_is_cut() {
    let site = Site::start(&[]).await;
    let request = site.server.anonymous(Method::GET, "/v1/uptime/schedule");
    assert_eq!(expect::<Schedule>(request, 200).await, schedule());
}

#[tokio::test]
async fn a_commitment_is_taken_once_in_its_time_from_a_watcher() {
    let mut site = Site::start(&[1]).await;
    let node = site.node(1).await.id;
    let epoch = site.epoch;
    let (commit, _) = site.signed(0, epoch, &[row(node, "uuuuuuuu")]);

    site.at(schedule().commits_from(epoch) - 1);
    refused(site.commit(&commit), 409, "uptime-not-open").await;
    site.at(schedule().commits_from(epoch));
    let mut forged = commit.clone();
    forged.commitment[0] ^= 1;
    refused(site.commit(&forged), 403, "uptime-signature-invalid").await;
    let mut otherwise = commit.clone();
    otherwise.epoch_slots = 9;
    refused(site.commit(&otherwise), 409, "uptime-schedule-differs").await;
    taken(site.commit(&commit)).await;
    taken(site.commit(&commit)).await;

    // A second word is refused, and kept against whoever signed it.
    let (other, _) = site.signed(0, epoch, &[row(node, "dddddddd")]);
    refused(site.commit(&other), 409, "commit-differs").await;
    taken(site.commit(&commit)).await;
    assert_eq!(site.watchers().await[0].said_twice, 1);

    // Whoever holds no key of a watcher's learns nothing of who is one.
    site.watchers.push(WatcherKey::from_seed(&[99; 32]));
    let (stranger, _) = site.signed(1, epoch, &[row(node, "dddddddd")]);
    refused(site.commit(&stranger), 403, "watcher-unknown").await;
    let mut unsigned = stranger.clone();
    unsigned.signature[0] ^= 1;
    refused(site.commit(&unsigned), 403, "uptime-signature-invalid").await;

    site.at(schedule().reveals_from(epoch));
    refused(site.commit(&commit), 409, "uptime-not-open").await;
}

#[tokio::test]
async fn a_reveal_is_read_only_from_whom_committed_and_must_be_what_was_committed_to() {
    let mut site = Site::start(&[1, 1]).await;
    let node = site.node(1).await.id;
    let epoch = site.epoch;
    let (commit, reveal) = site.signed(0, epoch, &[row(node, "uuuuuuuu")]);
    let (_, uncommitted) = site.signed(1, epoch, &[row(node, "uuuuuuuu")]);
    site.at(schedule().commits_from(epoch));
    taken(site.commit(&commit)).await;
    refused(site.reveal(&reveal), 409, "uptime-not-open").await;

    site.at(schedule().reveals_from(epoch));
    refused(site.reveal(&uncommitted), 403, "uptime-signature-invalid").await;
    let mut forged = reveal.clone();
    forged.signature[0] ^= 1;
    refused(site.reveal(&forged), 403, "uptime-signature-invalid").await;
    let path = "/v1/uptime/reveals";
    let bare = || site.server.anonymous(Method::POST, path);
    refused(bare().json(&reveal), 400, "reveal-header-invalid").await;
    // The ticket of one reveal does not open the door for another.
    let ticket = nacre_protocol::uptime::RevealTicket::from(&reveal).to_string();
    let other = bare().header(REVEAL_HEADER, &ticket).json(&uncommitted);
    refused(other, 400, "reveal-header-invalid").await;
    let broken = bare().header(REVEAL_HEADER, &ticket).body("{");
    refused(broken, 422, "json-invalid").await;

    let mut changed = reveal.clone();
    changed.rows[0] = row(node, "dddddddd");
    refused(site.reveal(&changed), 422, "uptime-revealed-otherwise").await;
    taken(site.reveal(&reveal)).await;
    taken(site.reveal(&reveal)).await;
    // What was revealed stands.
    refused(site.reveal(&changed), 422, "uptime-revealed-otherwise").await;
    site.at(schedule().closed_from(epoch));
    refused(site.reveal(&reveal), 409, "uptime-not-open").await;
    let report = site.judged(epoch, node).await;
    let standings: Vec<_> = report.slots[0].saw.iter().map(|saw| saw.watcher).collect();
    let of = |watcher: usize| {
        let id = site.watchers[watcher].id();
        standings
            .iter()
            .find(|saw| saw.watcher == id)
            .unwrap()
            .standing
    };
    assert_eq!((of(0), of(1)), (Standing::Counted, Standing::NotCommitted));
}

#[tokio::test]
async fn a_watcher_that_was_removed_counts_no_more_from_the_next_epoch_on() {
    let mut site = Site::start(&[5, 1]).await;
    let node = site.node(1).await.id;
    let epoch = site.epoch;
    site.at(schedule().slot_start(schedule().first_slot(epoch)) + 10);
    let id = site.watchers[0].id();
    watchers::remove(&site.server.database, &id, &site.clock())
        .await
        .unwrap();
    let said = [
        Some(vec![row(node, "dddddddd")]),
        Some(vec![row(node, "uuuuuuuu")]),
    ];
    site.say(epoch, &said).await;
    let report = site.judged(epoch, node).await;
    assert_eq!(
        report.slots[0].saw.len(),
        2,
        "its stake was there when the epoch began"
    );
    let next = Epoch(epoch.0 + 1);
    site.say(next, &said).await;
    let report = site.judged(next, node).await;
    let [saw] = &report.slots[0].saw[..] else {
        panic!("{report:?}")
    };
    assert_eq!(
        (saw.watcher.watcher, saw.up),
        (site.watchers[1].id(), Some(true))
    );
}
