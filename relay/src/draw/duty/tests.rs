use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    term: 600,
    window: 10,
    min_stake: 1,
};

/// An operator that sits on the present committee, is listed for the next roll, and has nothing to do.
fn idle() -> View {
    View {
        now: 1_100,
        deep: 1_099,
        term: 4,
        started_at: 1_000,
        is_seated: true,
        has_stake: true,
        is_listed: true,
        rank: 0,
        seats: vec![Seat {
            term: 4,
            seat: 1,
            tip: [1; 32],
            next: 20,
        }],
        batches: Vec::new(),
    }
}

fn batch(number: u64, opened_at: u64) -> Batch {
    Batch {
        number,
        term: 4,
        opened_at,
        waits: true,
        missing: 0b010,
    }
}

#[test]
fn links_are_shown_for_all_that_is_deep_enough_at_once() {
    let mut view = idle();
    assert_eq!(view.due(&RULES), []);
    view.batches = vec![batch(22, 1_100), batch(21, 1_099), batch(20, 1_098)];
    let reveal = |up_to| Duty::Reveal {
        term: 4,
        seat: 1,
        up_to,
    };
    assert_eq!(view.due(&RULES), [reveal(21)], "22 is not deep enough");
    view.deep = 1_100;
    assert_eq!(view.due(&RULES), [reveal(22)]);
    view.seats[0].next = 23;
    assert_eq!(view.due(&RULES), [], "they were shown");
}

#[test]
fn links_whose_time_is_over_are_not_paid_for() {
    let mut view = idle();
    view.batches = vec![batch(20, 1_089)];
    assert_eq!(view.due(&RULES), []);
    view.batches[0].opened_at = 1_091;
    assert_eq!(view.due(&RULES).len(), 1);
    view.batches[0].waits = false;
    assert_eq!(view.due(&RULES), []);
}

#[test]
fn who_is_far_behind_catches_up_in_steps_that_the_contract_takes() {
    let mut view = idle();
    view.batches = vec![batch(1_000, 1_099)];
    let up_to = 20 + MAX_LINKS - 1;
    let step = Duty::Reveal {
        term: 4,
        seat: 1,
        up_to,
    };
    assert_eq!(view.due(&RULES), [step]);
}

#[test]
fn the_last_batches_of_the_term_before_are_not_forgotten() {
    let mut view = idle();
    view.term = 5;
    view.batches = vec![
        Batch {
            term: 5,
            ..batch(21, 1_099)
        },
        batch(20, 1_098),
    ];
    let last = Duty::Reveal {
        term: 4,
        seat: 1,
        up_to: 20,
    };
    assert_eq!(view.due(&RULES), [last]);
}

#[test]
fn a_chain_is_committed_to_when_there_is_none_and_stake_is_enough() {
    let mut view = idle();
    view.is_listed = false;
    assert_eq!(view.due(&RULES), [Duty::Enlist]);
    view.has_stake = false;
    assert_eq!(view.due(&RULES), []);
    assert!(!view.wants(&Duty::Enlist, &RULES));
}

#[test]
fn a_term_is_started_when_the_one_before_is_over_by_one_operator_first() {
    let mut view = idle();
    let start = Duty::StartTerm { number: 5 };
    view.now = 1_599;
    assert_eq!(view.due(&RULES), []);
    view.now = 1_600;
    assert_eq!(view.due(&RULES), [start]);
    view.rank = 2;
    assert_eq!(view.due(&RULES), [], "two others may do it first");
    view.now = 1_620;
    assert_eq!(view.due(&RULES), [start]);
    view.is_listed = false;
    assert_eq!(view.due(&RULES), [Duty::Enlist], "not without us");
    let abandoned = View {
        is_seated: false,
        now: 1_010,
        ..idle()
    };
    assert_eq!(
        abandoned.due(&RULES),
        [start],
        "nobody is left to show links"
    );
    let first = View { term: 0, ..idle() };
    assert_eq!(first.due(&RULES), [Duty::StartTerm { number: 1 }]);
    assert!(
        !view.wants(&Duty::StartTerm { number: 4 }, &RULES),
        "somebody did"
    );
}

#[test]
fn others_are_reported_and_oneself_is_not() {
    let mut view = idle();
    let late = |missing| {
        vec![Batch {
            missing,
            ..batch(19, 1_089)
        }]
    };
    view.batches = late(0b101);
    let report = Duty::Report { batch: 19 };
    assert_eq!(view.due(&RULES), [report]);
    assert!(view.wants(&report, &RULES));
    view.batches = late(0b111);
    assert_eq!(view.due(&RULES), []);
    view.batches = late(0);
    assert_eq!(view.due(&RULES), [], "they were expelled already");
    view.batches = vec![Batch {
        missing: 0b101,
        ..batch(19, 1_090)
    }];
    assert_eq!(view.due(&RULES), [], "they still have a second");
}

#[test]
fn what_was_sent_is_given_up_when_it_has_no_use_any_more() {
    let mut view = idle();
    view.batches = vec![batch(21, 1_099)];
    let sent = Duty::Reveal {
        term: 4,
        seat: 1,
        up_to: 20,
    };
    assert!(view.wants(&sent, &RULES));
    let later = Duty::Reveal {
        term: 4,
        seat: 1,
        up_to: 21,
    };
    assert!(sent.covers(&later), "one at a time");
    view.now = 1_109;
    assert!(!view.wants(&sent, &RULES), "its time is over");
    view.now = 1_100;
    view.seats[0].next = 21;
    assert!(!view.wants(&sent, &RULES), "it was shown");
    view.seats.clear();
    assert!(!view.wants(&later, &RULES), "the seat is lost");
}

proptest! {
    #[test]
    fn a_duty_is_read_as_it_was_written(term: u32, seat: u8, batch: u64) {
        let duties = [
            Duty::Enlist,
            Duty::StartTerm { number: term },
            Duty::Reveal { term, seat, up_to: batch },
            Duty::Report { batch },
        ];
        for duty in duties {
            prop_assert_eq!(duty.to_string().parse(), Ok(duty));
        }
    }

    #[test]
    fn whatever_is_due_is_wanted(now in 900_u64..2_000, deep in 900_u64..2_000, opened in prop::collection::vec((900_u64..2_000, 0_u8..8, any::<bool>()), 0..5), next in 15_u64..25, rank in 0_u64..3, listed: bool, stake: bool) {
        let mut batches: Vec<_> = opened.iter().map(|(at, missing, waits)| Batch { missing: *missing, waits: *waits, ..batch(0, *at) }).collect();
        batches.sort_by_key(|batch| core::cmp::Reverse(batch.opened_at));
        for (at, batch) in batches.iter_mut().enumerate() {
            batch.number = 22 - at as u64;
        }
        let mut view = View { now, deep, rank, is_listed: listed, has_stake: stake, batches, ..idle() };
        view.seats[0].next = next;
        for duty in view.due(&RULES) {
            prop_assert!(view.wants(&duty, &RULES), "{}", duty);
        }
    }

    #[test]
    fn what_is_no_duty_is_refused(text in "[a-z:0-9-]{0,20}") {
        if let Ok(duty) = text.parse::<Duty>() {
            prop_assert_eq!(duty.to_string().parse(), Ok(duty));
        }
    }
}
