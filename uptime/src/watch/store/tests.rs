//! The folder after a death at each step.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{DownReason, Outcome};
use tempfile::TempDir;

use super::*;

fn schedule() -> Schedule {
    Schedule::new(1_000, 4, 4, 1, 1).unwrap()
}

const LIMITS: Limits = Limits {
    bytes: 1_000,
    slots: 100,
};

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path(), schedule(), LIMITS).unwrap()
}

fn node(at: u8) -> NodeId {
    NodeId::from_random([at; 16])
}

fn seen(slot: u64, record: &[u8]) -> SlotSeen {
    SlotSeen {
        slot: Slot(slot),
        nodes: vec![
            (node(1), Ok(record.to_vec())),
            (node(2), Err(DownReason::Timeout)),
        ],
    }
}

fn outcomes(store: &Store, epoch: u64) -> Vec<Vec<u8>> {
    let rows = store.sealed_rows(Epoch(epoch)).unwrap();
    rows.into_iter().map(|row| row.outcomes).collect()
}

#[test]
fn what_was_written_down_is_sealed_by_whoever_comes_next() {
    let dir = TempDir::new().unwrap();
    let id = {
        let mut store = open(&dir);
        store.keep(seen(4, b"four")).unwrap();
        store.keep(seen(6, b"six")).unwrap();
        store.key().id()
    };
    let mut store = open(&dir);
    assert_eq!(store.key().id(), id);
    assert_eq!(store.last_slot(), Some(Slot(6)));
    assert_eq!(store.seal_before(Epoch(2)).unwrap(), 1);
    let down = Outcome::Down(DownReason::Timeout).to_byte();
    assert_eq!(outcomes(&store, 1), [[1, 0, 1, 0], [down, 0, down, 0]]);
    assert_eq!(store.pending(), [(Epoch(1), Progress::Sealed)]);
}

#[test]
fn a_line_that_death_cut_off_is_forgotten_and_the_next_one_stands() {
    let dir = TempDir::new().unwrap();
    open(&dir).keep(seen(4, b"four")).unwrap();
    let path = dir.path().join("journal/1");
    let whole = std::fs::read(&path).unwrap();
    open(&dir).keep(seen(5, b"five")).unwrap();
    let both = std::fs::read(&path).unwrap();
    for cut in whole.len()..both.len() {
        std::fs::write(&path, &both[..cut]).unwrap();
        let mut store = open(&dir);
        assert_eq!(store.last_slot(), Some(Slot(4)), "cut at {cut}");
        store.keep(seen(6, b"six")).unwrap();
        drop(store);
        assert_eq!(open(&dir).last_slot(), Some(Slot(6)), "cut at {cut}");
    }
    // Not the last line: no crash does that.
    let mut broken = both.clone();
    broken[20] ^= 1;
    std::fs::write(&path, &broken).unwrap();
    let error = Store::open(dir.path(), schedule(), LIMITS).unwrap_err();
    assert_eq!(error.code(), "file-content");
}

#[test]
fn what_was_sealed_stays_whatever_the_clock_says_then() {
    let dir = TempDir::new().unwrap();
    let mut store = open(&dir);
    store.keep(seen(4, b"four")).unwrap();
    store.seal_before(Epoch(2)).unwrap();
    let sealed = store.sealed_rows(Epoch(1)).unwrap();
    store.mark(Epoch(1), Progress::Committed).unwrap();
    // The clock stepped back: the same epoch once more.
    store.keep(seen(5, b"other")).unwrap();
    store.seal_before(Epoch(2)).unwrap();
    assert_eq!(store.sealed_rows(Epoch(1)).unwrap(), sealed);

    drop(store);
    let mut store = open(&dir);
    assert_eq!(store.pending(), [(Epoch(1), Progress::Committed)]);
    store.mark(Epoch(1), Progress::Done).unwrap();
    store.seal_before(Epoch(9)).unwrap();
    assert_eq!(open_after(store, &dir).last_slot(), Some(Slot(7)));
}

fn open_after(store: Store, dir: &TempDir) -> Store {
    drop(store);
    open(dir)
}

#[test]
fn a_death_between_sealing_and_clearing_the_journal_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let mut store = open(&dir);
    store.keep(seen(4, b"four")).unwrap();
    let journal = std::fs::read(dir.path().join("journal/1")).unwrap();
    store.seal_before(Epoch(2)).unwrap();
    let sealed = store.sealed_rows(Epoch(1)).unwrap();
    store.mark(Epoch(1), Progress::Committed).unwrap();
    drop(store);
    std::fs::write(dir.path().join("journal/1"), journal).unwrap();
    let mut store = open(&dir);
    store.seal_before(Epoch(2)).unwrap();
    assert_eq!(store.sealed_rows(Epoch(1)).unwrap(), sealed);
    assert_eq!(store.pending(), [(Epoch(1), Progress::Committed)]);
    assert!(!dir.path().join("journal/1").exists());
}

#[test]
fn evidence_stays_within_its_bounds_the_newest_always() {
    let dir = TempDir::new().unwrap();
    let mut store = open(&dir);
    let kept = |dir: &TempDir| {
        let mut names: Vec<_> = std::fs::read_dir(dir.path().join("evidence"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    for slot in 4..8 {
        store.keep(seen(slot, &[b'x'; 399])).unwrap();
    }
    assert_eq!(kept(&dir), ["6.jsonl", "7.jsonl"]);
    store.keep(seen(8, &[b'x'; 5_000])).unwrap();
    assert_eq!(kept(&dir), ["8.jsonl"]);
    let mut store = open_after(store, &dir);
    store.keep(seen(10, b"small")).unwrap();
    assert_eq!(kept(&dir), ["10.jsonl"]);
    store.keep(seen(50, b"small")).unwrap();
    store.keep(seen(111, b"small")).unwrap();
    assert_eq!(kept(&dir), ["111.jsonl", "50.jsonl"]);
}

#[test]
fn a_folder_is_one_watchers_with_one_schedule() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let second = Store::open(dir.path(), schedule(), LIMITS).unwrap_err();
    assert_eq!(second.code(), "watcher-locked");
    drop(store);
    let other = Schedule::new(1_000, 5, 5, 1, 1).unwrap();
    let error = Store::open(dir.path(), other, LIMITS).unwrap_err();
    assert_eq!(error.code(), "watcher-schedule-differs");
    std::fs::write(dir.path().join("key"), "short").unwrap();
    let error = Store::open(dir.path(), schedule(), LIMITS).unwrap_err();
    assert_eq!(error.code(), "file-content");
}
