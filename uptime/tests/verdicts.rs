//! What many watchers' words come to: properties of the core that a control plane relies on.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use nacre_protocol::ids::NodeId;
use nacre_protocol::merkle::Hash;
use nacre_protocol::uptime::{
    DownReason, Epoch, Outcome, PostCommit, PostReveal, Row, Schedule, Slot, Standing, Verdict,
    WatcherId, Window,
};
use nacre_uptime::commit::{CommitError, check_commit, check_reveal, sign_epoch};
use nacre_uptime::{
    EpochInput, EpochVerdict, Terms, WatcherInput, WatcherKey, WindowTally, judge_epoch,
    report_slots, slot_verdict,
};
use proptest::prelude::*;

const SLOTS: u16 = 4;
const EPOCH: Epoch = Epoch(5);

fn schedule() -> Schedule {
    Schedule::new(1_000, SLOTS, 40, 1, 1).unwrap()
}

fn node(at: u8) -> NodeId {
    NodeId::from_random([at; 16])
}

/// A watcher with a stake and what it says of node 1.
struct Said {
    stake: u64,
    watcher: WatcherId,
    commit: PostCommit,
    reveal: Option<PostReveal>,
}

fn said(seed: u8, stake: u64, outcomes: &[Outcome]) -> Said {
    let key = WatcherKey::from_seed(&[seed; 32]);
    let row = Row {
        node: node(1),
        outcomes: outcomes.iter().map(|outcome| outcome.to_byte()).collect(),
        evidence_root: [seed; 32],
    };
    let (commit, reveal) = sign_epoch(&key, &schedule(), EPOCH, vec![row]).unwrap();
    check_commit(&schedule(), &commit).unwrap();
    Said {
        stake,
        watcher: key.id(),
        commit,
        reveal: Some(reveal),
    }
}

fn judge(all: &[Said], overturned: &BTreeSet<(WatcherId, NodeId, Slot)>) -> EpochVerdict {
    judge_epoch(&input(all, overturned))
}

fn input<'a>(
    all: &'a [Said],
    overturned: &'a BTreeSet<(WatcherId, NodeId, Slot)>,
) -> EpochInput<'a> {
    let watchers = all.iter().map(|said| WatcherInput {
        watcher: said.watcher,
        stake: said.stake,
        commitment: Some(&said.commit.commitment),
        reveal: said.reveal.as_ref(),
    });
    EpochInput {
        schedule: schedule(),
        epoch: EPOCH,
        watchers: watchers.collect(),
        overturned,
    }
}

const UP: Outcome = Outcome::Up;
const DOWN: Outcome = Outcome::Down(DownReason::Timeout);
const UNSEEN: Outcome = Outcome::Unseen;

#[test]
fn a_slot_goes_to_more_than_half_of_the_stake_that_looked() {
    let all = [
        said(1, 40, &[UP, UP, UNSEEN, UNSEEN]),
        said(2, 30, &[DOWN, UP, DOWN, UNSEEN]),
        said(3, 10, &[DOWN, DOWN, UP, UNSEEN]),
    ];
    let verdict = judge(&all, &BTreeSet::new());
    assert_eq!(
        verdict.nodes[&node(1)],
        [Verdict::Tied, Verdict::Up, Verdict::Down, Verdict::Unseen]
    );
}

#[test]
fn who_does_not_keep_its_word_is_marked_and_does_not_count() {
    let mut all = [
        said(1, 10, &[UP; 4]),
        said(2, 1_000, &[DOWN; 4]),
        said(3, 1_000, &[DOWN; 4]),
        said(4, 1_000, &[DOWN; 4]),
    ];
    all[1].reveal = None;
    // Signed, and of something else than was committed to.
    let changed = all[2].reveal.as_mut().unwrap();
    changed.rows[0].outcomes[0] = UP.to_byte();
    // Another's reveal.
    all[3].reveal = all[0].reveal.clone();
    let none = BTreeSet::new();
    let verdict = judge(&all, &none);
    let standings: Vec<_> = verdict.watchers.iter().map(|w| w.standing).collect();
    assert_eq!(
        standings,
        [
            Standing::Counted,
            Standing::NotRevealed,
            Standing::RevealedOtherwise,
            Standing::RevealedOtherwise
        ]
    );
    assert_eq!(verdict.nodes[&node(1)], [Verdict::Up; 4]);

    let mut input = input(&all, &none);
    input.watchers[0].commitment = None;
    let verdict = judge_epoch(&input);
    assert_eq!(verdict.watchers[0].standing, Standing::NotCommitted);
    assert!(verdict.nodes.is_empty(), "nobody is left whose word counts");
}

#[test]
fn a_dispute_overturns_one_watchers_word_in_one_slot() {
    let all = [
        said(1, 10, &[UP; 4]),
        said(2, 10, &[DOWN; 4]),
        said(3, 10, &[DOWN; 4]),
    ];
    let slot = Slot(EPOCH.0 * u64::from(SLOTS) + 2);
    let overturned = BTreeSet::from([
        (all[1].watcher, node(1), slot),
        // Another node's, another epoch's: without effect.
        (all[1].watcher, node(2), slot),
        (all[2].watcher, node(1), Slot(slot.0 + 4)),
    ]);
    let verdict = judge(&all, &overturned);
    assert_eq!(
        verdict.nodes[&node(1)],
        [Verdict::Down, Verdict::Down, Verdict::Up, Verdict::Down]
    );
    let report = report_slots(
        &input(&all, &overturned),
        &verdict,
        &node(1),
        &[slot].into(),
    );
    let shown: Vec<_> = report[2].saw.iter().map(|s| (s.up, s.overturned)).collect();
    assert_eq!(
        shown,
        [
            (Some(true), false),
            (Some(false), true),
            (Some(false), false)
        ]
    );
    assert_eq!(report[2].slot, slot);
    assert!(report[2].excused && !report[1].excused);
    assert_eq!(report[1].saw[1].reason, Some(DownReason::Timeout));
}

#[test]
fn what_are_no_scores_is_refused() {
    let said = said(1, 1, &[UP; 4]);
    let committed = said.commit.commitment;
    let reveal = said.reveal.unwrap();
    let check = |change: &dyn Fn(&mut PostReveal)| {
        let mut changed = reveal.clone();
        change(&mut changed);
        check_reveal(&schedule(), &committed, &changed)
    };
    assert_eq!(check(&|_| {}), Ok(()));
    assert_eq!(check(&|r| r.signature[0] ^= 1), Err(CommitError::Signature));
    let rows = |error: &Result<(), CommitError>| matches!(error, Err(CommitError::Rows(_)));
    assert!(rows(&check(&|r| r.rows.push(r.rows[0].clone()))));
    assert!(rows(&check(&|r| r.rows[0].outcomes.push(1))));
    assert!(rows(&check(&|r| r.rows[0].outcomes[0] = 99)));
    let otherwise = Err(CommitError::RevealedOtherwise);
    assert_eq!(check(&|r| r.salt[0] ^= 1), otherwise);
    assert_eq!(check(&|r| r.rows.clear()), otherwise);
    assert_eq!(check(&|r| r.epoch = Epoch(6)), otherwise);

    let mut other = said.commit.clone();
    other.epoch = Epoch(6);
    assert_eq!(
        check_commit(&schedule(), &other),
        Err(CommitError::Signature)
    );
    other = said.commit.clone();
    other.slot_ms = 2_000;
    assert!(matches!(
        check_commit(&schedule(), &other),
        Err(CommitError::Schedule { .. })
    ));
}

#[test]
fn a_slash_is_a_twentieth_from_just_below_the_level_on() {
    let terms = Terms::new(8_640).unwrap();
    let stake = 1_000_000_019;
    let slash = |missing| {
        let tally = WindowTally {
            missing,
            ..WindowTally::default()
        };
        tally.slash(node(1), Window(3), stake, &terms)
    };
    assert_eq!(slash(0), None);
    // 43 of 8,640 are 0.498 %, 44 are 0.509 %.
    assert_eq!(slash(43), None);
    // A twentieth is 50,000,000.95.
    assert_eq!(slash(44).map(|slash| slash.amount), Some(50_000_000));
    assert_eq!(slash(8_640).map(|slash| slash.amount), Some(50_000_000));
    // Exactly at the level is not below it.
    let round = Terms::new(1_000).unwrap();
    assert!(!round.is_below(5) && round.is_below(6));
    // A lower level shows the other half of the rule: ten times one in a thousand.
    let strict = Terms::with(1_000, 1_000_000, 50_000, 10).unwrap();
    assert_eq!(strict.amount(1_000, 1), 10);
    assert_eq!(strict.amount(999, 1), 9, "rounded down");
}

/// Outcomes of up to seven watchers with their stakes.
fn views() -> impl Strategy<Value = Vec<(u64, Vec<Outcome>)>> {
    let outcome = prop_oneof![Just(UP), Just(DOWN), Just(UNSEEN)];
    let view = (0u64..=u64::MAX, prop::collection::vec(outcome, 4));
    prop::collection::vec(view, 1..7)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn verdicts_do_not_depend_on_order_and_no_minority_decides(views in views(), turn: prop::sample::Index) {
        let all = |views: &[(u64, Vec<Outcome>)]| -> Vec<Said> {
            let numbered = views.iter().zip(1..);
            numbered.map(|((stake, seen), seed)| said(seed, *stake, seen)).collect()
        };
        let forward = all(&views);
        let mut turned = all(&views);
        turned.rotate_left(turn.index(views.len()));
        let none = BTreeSet::new();
        let verdict = judge(&forward, &none);
        prop_assert_eq!(&verdict.nodes, &judge(&turned, &none).nodes);

        for slot in 0..4 {
            let mut stakes: BTreeMap<&str, u128> = BTreeMap::new();
            for (stake, seen) in &views {
                let word = match seen[slot] { UP => "up", UNSEEN => "unseen", _ => "down" };
                *stakes.entry(word).or_default() += u128::from(*stake);
            }
            let of = |word| stakes.get(word).copied().unwrap_or(0);
            match verdict.nodes[&node(1)][slot] {
                Verdict::Up => prop_assert!(of("up") > of("down")),
                Verdict::Down => prop_assert!(of("down") > of("up")),
                Verdict::Tied => prop_assert!(of("up") == of("down") && of("up") > 0),
                Verdict::Unseen => prop_assert!(of("up") + of("down") == 0),
            }
        }
    }

    #[test]
    fn more_stake_for_up_never_makes_a_slot_worse(up: u64, more: u64, down: u64) {
        let rank = |verdict| match verdict {
            Verdict::Down => 0,
            Verdict::Tied | Verdict::Unseen => 1,
            Verdict::Up => 2,
        };
        let (up, more, down) = (u128::from(up), u128::from(more), u128::from(down));
        let before = rank(slot_verdict(up, up + down));
        prop_assert!(rank(slot_verdict(up + more, up + more + down)) >= before || up + down == 0);
    }

    #[test]
    fn a_slash_grows_with_what_is_missing_up_to_the_cap_and_never_past_the_stake(
        stake: u64, missing in 0u32..20_000, more in 0u32..20_000,
        window in 1u32..20_000, cap in 0u32..=1_000_000, factor in 0u32..1_000,
    ) {
        let terms = Terms::with(window, 995_000, cap, factor).unwrap();
        let (less, larger) = (terms.amount(stake, missing), terms.amount(stake, missing + more));
        prop_assert!(less <= larger);
        prop_assert!(u128::from(larger) * 1_000_000 <= u128::from(stake) * u128::from(cap));
        prop_assert!(u128::from(larger) * u128::from(window)
            <= u128::from(stake) * u128::from(factor) * u128::from(missing + more));
    }

    #[test]
    fn a_commitment_binds_every_bit_of_the_scores(seed: [u8; 32], at in 0usize..4, root: Hash) {
        let key = WatcherKey::from_seed(&seed);
        let row = Row { node: node(1), outcomes: vec![1, 0, 2, 4], evidence_root: root };
        let (commit, reveal) = sign_epoch(&key, &schedule(), EPOCH, vec![row]).unwrap();
        let otherwise = Err(CommitError::RevealedOtherwise);
        let mut changed = reveal.clone();
        changed.rows[0].outcomes[at] = 3;
        prop_assert_eq!(check_reveal(&schedule(), &commit.commitment, &changed), otherwise);
        let mut changed = reveal;
        changed.rows[0].evidence_root[at] ^= 1;
        prop_assert_eq!(check_reveal(&schedule(), &commit.commitment, &changed), otherwise);
    }
}
