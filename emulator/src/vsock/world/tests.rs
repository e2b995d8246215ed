use proptest::prelude::*;

use super::*;

const BOTH: [bool; 2] = [true, false];

fn run(by_host: bool, straight: bool, events: &[Event]) -> Checked {
    let mut world = World::open(by_host, straight)?;
    for event in events {
        world.step(*event)?;
    }
    world.finish()
}

/// What one may do; `Deliver` stands for the time that passes until the guest hears of it.
const ALPHABET: [Event; 12] = [
    Event::GuestWrites(3),
    Event::GuestReads(2),
    Event::GuestEndsWriting,
    Event::GuestEndsReading,
    Event::GuestCloses,
    Event::GuestResets,
    Event::HostWrites(12),
    Event::HostReads(2),
    Event::HostEndsWriting,
    Event::HostCloses,
    Event::HostBreaksOff,
    Event::Deliver(5),
];

#[test]
fn every_order_of_five_events_ends_as_it_should() {
    let count = ALPHABET.len();
    for (by_host, straight) in BOTH
        .into_iter()
        .zip(BOTH)
        .chain([(true, false), (false, true)])
    {
        for number in 0..count.pow(5) {
            let events = [0, 1, 2, 3, 4].map(|place| ALPHABET[number / count.pow(place) % count]);
            let ended = run(by_host, straight, &events);
            assert_eq!(
                ended,
                Ok(()),
                "by host: {by_host}, straight: {straight}, {events:?}"
            );
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let count = || 0_u8..20;
    prop_oneof![
        6 => count().prop_map(Event::GuestWrites),
        6 => count().prop_map(Event::GuestReads),
        6 => count().prop_map(Event::HostWrites),
        6 => count().prop_map(Event::HostReads),
        8 => count().prop_map(Event::Deliver),
        1 => Just(Event::GuestEndsWriting),
        1 => Just(Event::GuestEndsReading),
        1 => Just(Event::GuestCloses),
        1 => Just(Event::GuestResets),
        1 => Just(Event::HostEndsWriting),
        1 => Just(Event::HostEndsReading),
        1 => Just(Event::HostCloses),
        1 => Just(Event::HostBreaksOff),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn long_conversations_end_as_they_should(by_host: bool, straight: bool, events in proptest::collection::vec(any_event(), 0..200)) {
        prop_assert_eq!(run(by_host, straight, &events), Ok(()));
    }
}

#[test]
fn a_world_notices_what_must_not_be() {
    // The checks themselves: a host that loses a byte, and one that gets a byte twice.
    for skipped in [1, 2] {
        let mut world = World::open(true, true).unwrap();
        world.step(Event::HostWrites(1)).unwrap();
        world.host.wrote += skipped;
        world.host.passed += skipped;
        world.step(Event::HostWrites(1)).unwrap();
        assert!(world.step(Event::Deliver(9)).is_err());
    }
}
