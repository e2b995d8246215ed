//! The machine in a world where time is a number: enclaves that come or do not, answer, hang, end, and lose their NSM.

mod world;

use proptest::prelude::*;

use super::*;
use world::*;

fn life() -> impl Strategy<Value = Life> {
    let fate = prop_oneof![
        3 => Just(Fate::Ends),
        2 => Just(Fate::Hangs),
        1 => Just(Fate::LosesItsNsm),
    ];
    (
        0u64..5_000,
        prop::bool::weighted(0.8),
        prop::option::weighted(0.9, 0u64..70_000),
        0u64..4_900,
        prop_oneof![0u64..2_000, 0u64..600_000],
        fate,
        0u64..6_000,
    )
        .prop_map(
            |(launch_takes, comes, wakes_after, answers_in, until, fate, clearing_takes)| Life {
                launch_takes,
                comes,
                wakes_after,
                answers_in,
                until,
                fate,
                clearing_takes,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The promises of the module's head, at every step of every history.
    #[test]
    fn whatever_enclaves_do_the_promises_hold(
        lives in prop::collection::vec(life(), 1..8),
        seed in any::<u64>(),
        runs in 1u64..3_000_000,
    ) {
        let mut world = World::new(lives, seed);
        if !world.run(ms(runs)) {
            world.stop();
            // Whatever goes on is ended, and the end of it waited for.
            prop_assert!(world.run(ms(6_001)), "{:?}", world.phase);
        }
        for (lasted, gap) in &world.gaps {
            prop_assert!(*gap <= ms(5_000));
            prop_assert!(*lasted < RestartDelay::HEALTHY || gap.is_zero());
        }
        // The first failure after a healthy run is answered at once, the next ones ever later.
        for pair in world.gaps.windows(2) {
            if pair.iter().all(|(lasted, _)| *lasted < RestartDelay::HEALTHY) {
                prop_assert!(pair[1].1 >= ms(100));
            }
        }
    }

    /// Events that no world would send do no harm either.
    #[test]
    fn any_order_of_events_is_survived(
        events in prop::collection::vec((0u8..10, any::<bool>(), 0u64..30_000), 0..200),
    ) {
        let mut now = Instant::now();
        let mut health = Health::new(TIMING, 1, now);
        let mut launches = 0;
        for (kind, answered, after) in events {
            now += ms(after);
            let launch = launches;
            let event = match kind {
                0 => Event::Launched,
                1 => Event::LaunchFailed { lasting: answered },
                2..4 => Event::Probed { launch, answered },
                4 => Event::Attested { launch, answered },
                5 => Event::Ended,
                6 => Event::Cleared,
                7 if after < 1_000 => Event::Stop,
                _ => Event::Tick,
            };
            for action in health.on(event, now) {
                if let Action::Launch(number) = action {
                    prop_assert_eq!(number, launches + 1);
                    launches = number;
                }
            }
            prop_assert!(health.wakes_at().is_none_or(|at| at > now));
        }
    }
}

fn one(life: &Life) -> World {
    World::new(vec![life.clone()], 7)
}

const GOOD: Life = Life {
    launch_takes: 500,
    comes: true,
    wakes_after: Some(1_000),
    answers_in: 10,
    until: u64::MAX / 2,
    fate: Fate::Hangs,
    clearing_takes: 100,
};

#[test]
fn a_hung_enclave_is_replaced_and_a_living_one_never() {
    let mut world = one(&GOOD);
    assert!(!world.run(Duration::from_secs(24 * 3600)));
    assert_eq!((world.launch, world.reported.len()), (1, 0));

    let mut world = one(&Life {
        until: 100_000,
        ..GOOD
    });
    assert!(!world.run(Duration::from_secs(600)));
    assert!(
        world
            .reported
            .iter()
            .all(|(_, cause)| *cause == Cause::Hung)
    );
    // 1.5 s of launch, 100 s of life, at most 40 s until it is noticed.
    assert!(
        (4..=6).contains(&world.reported.len()),
        "{}",
        world.reported.len()
    );
}

#[test]
fn what_never_worked_is_given_up_and_what_once_worked_never() {
    for hopeless in [
        Life {
            comes: false,
            ..GOOD
        },
        Life {
            wakes_after: None,
            ..GOOD
        },
    ] {
        let mut world = one(&hopeless);
        assert!(world.run(Duration::from_secs(1000)));
        assert_eq!((world.finished, world.launch), (Some(true), FIRST_TRIES));
    }
    let lives = vec![
        Life {
            until: 1,
            fate: Fate::Ends,
            ..GOOD
        },
        Life {
            comes: false,
            ..GOOD
        },
    ];
    let mut world = World::new(lives, 7);
    assert!(!world.run(Duration::from_secs(1000)));
    assert!(world.launch > 100);
}

#[test]
fn what_cannot_mend_itself_is_tried_once() {
    let now = Instant::now();
    let mut health = Health::new(TIMING, 1, now);
    assert_eq!(health.on(Event::Tick, now), [Action::Launch(1)]);
    let actions = health.on(Event::LaunchFailed { lasting: true }, now);
    assert_eq!(actions.last(), Some(&Action::Finish { gave_up: true }));
}
