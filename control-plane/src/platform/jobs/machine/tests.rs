use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules {
    lease_ms: 100,
    max_tries: 3,
};

fn holder(n: u8) -> Holder {
    Holder {
        node: NodeId::from_random([n; 16]),
        boot: BootId::from_random([n; 16]),
    }
}

fn attempt(n: u8, number: u32) -> Attempt {
    let node = holder(n).node;
    Attempt { node, number }
}

/// Steps that must be taken.
fn after(progress: Progress, events: &[(Event, u64)]) -> Progress {
    events.iter().fold(progress, |progress, (event, now_ms)| {
        progress.step(RULES, *event, *now_ms).unwrap().0
    })
}

#[test]
fn a_job_goes_from_hand_to_hand_to_its_end() {
    let new = Progress::new(0, 10_000);
    let done = after(
        new,
        &[
            (Event::Take(holder(1)), 0),
            (Event::Started(attempt(1, 1)), 50),
            (Event::Started(attempt(1, 1)), 140),
            (Event::Proven(attempt(1, 1)), 220),
        ],
    );
    assert_eq!(done.phase, Phase::Ended(Ending::Done));
    assert_eq!((done.attempt, done.tries), (1, 0));
}

#[test]
fn a_lost_lease_goes_elsewhere_and_then_its_first_holder_is_refused() {
    let lost = after(
        Progress::new(0, 10_000),
        &[(Event::Take(holder(1)), 0), (Event::Tick, 100)],
    );
    assert_eq!(lost.phase, Phase::Queued { due_ms: 100 });
    let avoided = lost.step(RULES, Event::Take(holder(1)), 100);
    assert_eq!(avoided, Err(Refusal::NotYours));
    let elsewhere = after(lost, &[(Event::Take(holder(2)), 100)]);
    for event in [
        Event::Proven(attempt(1, 1)),
        Event::Started(attempt(1, 1)),
        Event::Failed(attempt(1, 1)),
        Event::Proven(attempt(1, 2)),
        Event::Proven(attempt(2, 1)),
    ] {
        let refused = elsewhere.step(RULES, event, 101);
        assert_eq!(refused, Err(Refusal::Stale), "{event:?}");
    }
    let again = after(lost, &[(Event::Take(holder(1)), 100 + AVOID_MS)]);
    assert_eq!(again.attempt, 2);
}

#[test]
fn a_late_result_counts_while_nobody_else_has_the_job() {
    let lost = after(
        Progress::new(0, 10_000),
        &[(Event::Take(holder(1)), 0), (Event::Tick, 100)],
    );
    let (done, effects) = lost.step(RULES, Event::Proven(attempt(1, 1)), 500).unwrap();
    assert_eq!(done.phase, Phase::Ended(Ending::Done));
    assert_eq!(effects.last(), Some(&Effect::Settle(Ending::Done)));
    let given_back = after(
        Progress::new(0, 10_000),
        &[
            (Event::Take(holder(1)), 0),
            (Event::GivenBack(attempt(1, 1)), 1),
        ],
    );
    let refused = given_back.step(RULES, Event::Proven(attempt(1, 1)), 2);
    assert_eq!(refused, Err(Refusal::Stale));
}

#[test]
fn poison_stops_after_three_tries_and_giving_back_is_no_try() {
    let mut job = Progress::new(0, 1_000_000);
    for (number, event) in [
        (1_u32, Event::GivenBack(attempt(1, 1))),
        (2, Event::Failed(attempt(1, 2))),
        (3, Event::GivenBack(attempt(1, 3))),
        (4, Event::Failed(attempt(1, 4))),
    ] {
        let at = 10_000 * u64::from(number);
        job = after(job, &[(Event::Take(holder(1)), at), (event, at + 1)]);
        assert!(matches!(job.phase, Phase::Queued { .. }), "{number}");
    }
    job = after(
        job,
        &[(Event::Take(holder(1)), 50_000), (Event::Tick, 50_100)],
    );
    assert_eq!(job.phase, Phase::Ended(Ending::Failed));
    assert_eq!((job.attempt, job.tries), (5, 3));
}

#[test]
fn a_job_that_is_given_back_for_ever_ends_all_the_same() {
    let mut job = Progress::new(0, u64::MAX);
    for number in 1..=MAX_ATTEMPTS {
        let at = 10_000 * u64::from(number);
        let back = Event::GivenBack(attempt(1, number));
        job = after(job, &[(Event::Take(holder(1)), at), (back, at)]);
    }
    assert_eq!(job.phase, Phase::Ended(Ending::Failed));
}

#[test]
fn after_its_deadline_a_job_has_expired_whatever_comes() {
    let leased = after(Progress::new(0, 1000), &[(Event::Take(holder(1)), 950)]);
    for event in [
        Event::Tick,
        Event::Proven(attempt(1, 1)),
        Event::Take(holder(2)),
    ] {
        let expired = after(leased, &[(event, 1000)]);
        assert_eq!(expired.phase, Phase::Ended(Ending::Expired), "{event:?}");
    }
}

#[test]
fn one_attempt_is_one_try_however_it_ends() {
    let lost = after(
        Progress::new(0, 10_000),
        &[(Event::Take(holder(1)), 0), (Event::Tick, 100)],
    );
    assert_eq!(lost.tries, 1);
    let failed = after(lost, &[(Event::Failed(attempt(1, 1)), 101)]);
    assert_eq!((failed.tries, failed.holder), (1, None));
    let alive = after(lost, &[(Event::Started(attempt(1, 1)), 101)]);
    assert_eq!(alive.phase, Phase::Running { until_ms: 201 });
    assert_eq!(alive.tries, 0);
}

fn events() -> impl Strategy<Value = Vec<(Event, u64)>> {
    let who = 1..4u8;
    let of = (who.clone(), 0..6u32).prop_map(|(n, number)| attempt(n, number));
    let event = prop_oneof![
        4 => who.prop_map(|n| Event::Take(holder(n))),
        2 => of.clone().prop_map(Event::Started),
        1 => of.clone().prop_map(Event::Proven),
        2 => of.clone().prop_map(Event::Failed),
        2 => of.prop_map(Event::GivenBack),
        1 => Just(Event::Cancel),
        4 => Just(Event::Tick),
    ];
    prop::collection::vec((event, 0..1500u64), 1..80)
}

proptest! {
    #[test]
    fn whatever_happens_a_job_is_settled_once_held_by_one_and_ends_in_time(events in events(), deadline_ms in 1..40_000u64) {
        let mut job = Progress::new(0, deadline_ms);
        let (mut now_ms, mut settled) = (0, 0);
        for (event, passes) in events {
            now_ms += passes;
            let before = job;
            match job.step(RULES, event, now_ms) {
                // Nothing is given away before its time, and never two at a time.
                Err(_) => {}
                Ok((next, effects)) => {
                    if next.attempt > before.attempt {
                        let due = matches!(before.phase, Phase::Queued { due_ms } if due_ms <= now_ms);
                        prop_assert!(due);
                        prop_assert_eq!(next.attempt, before.attempt + 1);
                        prop_assert!(now_ms < deadline_ms);
                    }
                    settled += effects.iter().filter(|e| matches!(e, Effect::Settle(_))).count();
                    if next.phase == Phase::Ended(Ending::Done) && before.phase != next.phase {
                        prop_assert!(matches!(event, Event::Proven(a) if a.number == before.attempt));
                        prop_assert!(now_ms < deadline_ms);
                    }
                    job = next;
                }
            }
            prop_assert!(job.tries <= RULES.max_tries && job.tries <= job.attempt);
            let ended = matches!(job.phase, Phase::Ended(_));
            prop_assert_eq!(settled, usize::from(ended));
        }
        // Time alone brings it to its end.
        while let Some(at) = job.next_change() {
            now_ms = now_ms.max(at);
            job = job.step(RULES, Event::Tick, now_ms).unwrap().0;
        }
        prop_assert!(matches!(job.phase, Phase::Ended(_)));
    }
}
