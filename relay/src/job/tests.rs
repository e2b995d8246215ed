use proptest::prelude::*;

use super::*;

const DEADLINE: u64 = 1_000;

fn at(head: u64, now: u64) -> Present {
    Present {
        head,
        now,
        confirmations: 3,
        final_depth: 10,
    }
}

/// A job after these events.
fn after(events: &[Event]) -> JobState {
    let first = JobState::requested(5);
    events.iter().fold(first, |state, event| state.on(*event))
}

#[test]
fn a_request_is_run_only_when_it_is_deep_enough() {
    let job = after(&[]);
    assert_eq!(job.next(&at(5, 0), DEADLINE), Next::Wait);
    assert_eq!(job.next(&at(6, 0), DEADLINE), Next::Wait);
    assert_eq!(job.next(&at(7, 0), DEADLINE), Next::LayIn);
}

#[test]
fn a_job_goes_through_platform_proof_and_outbox() {
    let steps = [
        (Event::Laid, Next::Ask),
        (Event::Proven, Next::Send),
        (Event::Sent(4), Next::Wait),
    ];
    let mut job = after(&[]);
    for (event, next) in steps {
        job = job.on(event);
        assert_eq!(job.next(&at(9, 0), DEADLINE), next, "after {event:?}");
    }
    assert!(job.wants(4, &at(9, 0), DEADLINE));
    assert!(!job.wants(3, &at(9, 0), DEADLINE));
    assert!(!job.wants(4, &at(9, DEADLINE + 1), DEADLINE));
}

#[test]
fn an_end_that_is_reorganised_away_is_no_end() {
    let proven = after(&[Event::Laid, Event::Proven]);
    let ended = proven.on(Event::Settled(9, Outcome::Answered));
    assert_eq!(ended.next(&at(9, 0), DEADLINE), Next::Wait);
    assert_eq!(ended.next(&at(18, 0), DEADLINE), Next::Finish);
    assert_eq!(ended.on(Event::RolledBack(9)), ended);
    assert_eq!(ended.on(Event::RolledBack(8)), proven);
    let gone = ended.on(Event::RolledBack(4));
    assert_eq!(gone.next(&at(9, 0), DEADLINE), Next::Wait);
    let back = gone.on(Event::Requested(6));
    assert_eq!(
        back.next(&at(8, 0), DEADLINE),
        Next::Send,
        "its answer was kept"
    );
}

#[test]
fn somebody_elses_answer_makes_a_transaction_useless() {
    let sending = after(&[Event::Laid, Event::Proven, Event::Sent(4)]);
    let lost = sending.on(Event::Settled(9, Outcome::Answered));
    assert!(!lost.wants(4, &at(9, 0), DEADLINE));
    let unsent = lost.on(Event::Unsent {
        nonce: 4,
        reverted: false,
    });
    assert_eq!(unsent.next(&at(30, 0), DEADLINE), Next::Finish);
}

#[test]
fn what_fails_for_good_is_left() {
    let mut job = after(&[]);
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(job.next(&at(9, 0), DEADLINE), Next::LayIn);
        job = job
            .on(Event::Laid)
            .on(Event::TryAgain(Reason::EvidenceRefused));
    }
    assert_eq!(job.work, Work::Dropped(Reason::EvidenceRefused));
    assert_eq!(job.next(&at(9, 0), DEADLINE), Next::Wait);
    assert_eq!(job.next(&at(9, DEADLINE + 1), DEADLINE), Next::Finish);

    let mut job = after(&[Event::Laid, Event::Proven]);
    for nonce in 0..u64::from(MAX_REVERTS) {
        let reverted = true;
        job = job
            .on(Event::Sent(nonce))
            .on(Event::Unsent { nonce, reverted });
    }
    assert_eq!(job.work, Work::Dropped(Reason::SubmissionReverted));
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0_u64..40).prop_map(Event::Requested),
        (0_u64..40).prop_map(|block| Event::Settled(block, Outcome::Answered)),
        (0_u64..40).prop_map(|block| Event::Settled(block, Outcome::Cancelled)),
        (0_u64..40).prop_map(Event::RolledBack),
        Just(Event::Laid),
        Just(Event::TryAgain(Reason::PlatformFailed)),
        Just(Event::Proven),
        (0_u64..4).prop_map(Event::Sent),
        (0_u64..4, any::<bool>()).prop_map(|(nonce, reverted)| Event::Unsent { nonce, reverted }),
        Just(Event::Dropped(Reason::FunctionUnknown)),
    ]
}

proptest! {
    /// Whatever happens in whatever order: nothing is done twice, nothing is done for what is not asked for, and after its
    /// deadline every job comes to rest.
    #[test]
    fn no_history_makes_a_job_do_what_it_must_not(events in prop::collection::vec(event(), 0..60)) {
        let mut job = JobState::requested(0);
        for event in events {
            let before = job;
            job = job.on(event);
            if let Work::Sending(nonce) = before.work {
                let released = matches!(event, Event::Unsent { nonce: of, .. } if of == nonce);
                prop_assert!(released || job.work == before.work, "one transaction at a time: {:?} {:?}", before, event);
            }
            if matches!(job.work, Work::Sending(_)) && job.work != before.work {
                prop_assert_eq!(before.work, Work::Proven);
            }
            if let Work::Dropped(_) = before.work {
                prop_assert_eq!(job.work, before.work);
            }
            prop_assert!(job.attempt <= MAX_ATTEMPTS && job.reverts <= MAX_REVERTS);
            for now in [DEADLINE, DEADLINE + 1] {
                let next = job.next(&at(100, now), DEADLINE);
                if matches!(next, Next::LayIn | Next::Ask | Next::Send) {
                    prop_assert!(matches!(job.standing, Standing::Requested(_)) && now <= DEADLINE);
                }
            }
            let mut late = job;
            if let Work::Sending(nonce) = late.work {
                late = late.on(Event::Unsent { nonce, reverted: false });
            }
            if let Next::Drop(reason) = late.next(&at(100, DEADLINE + 1), DEADLINE) {
                late = late.on(Event::Dropped(reason));
            }
            prop_assert_eq!(late.next(&at(100, DEADLINE + 1), DEADLINE), Next::Finish);
        }
    }

    /// Blocks that come, go and come again leave a job as if only the last of them had been.
    #[test]
    fn a_reorganisation_leaves_no_trace(to in 0_u64..10, settled in 5_u64..10) {
        let job = JobState::requested(5);
        let straight = job.on(Event::Settled(settled, Outcome::Answered));
        let detour = straight.on(Event::RolledBack(to)).on(Event::Requested(5)).on(Event::Settled(settled, Outcome::Answered));
        prop_assert_eq!(straight, detour);
    }
}
