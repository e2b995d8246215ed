use proptest::prelude::*;

use super::*;

fn source(n: u8) -> Source {
    Source::V4(Ipv4Addr::new(10, 0, 0, n))
}

fn place(asked: Asked) -> Place {
    match asked {
        Asked::Place(place) => place,
        other => panic!("no place: {other:?}"),
    }
}

fn ticket(asked: Asked) -> Ticket {
    match asked {
        Asked::Wait(ticket) => ticket,
        other => panic!("it does not wait: {other:?}"),
    }
}

/// Takes `count` places for one address, each with its number as its last sign of life.
fn take(shares: &Arc<Shares>, from: u8, count: u64) -> Vec<Place> {
    let taken = (0..count).map(|n| {
        let place = place(shares.ask(source(from)));
        place.sign_of_life(n);
        place
    });
    taken.collect()
}

fn told_to_leave(places: &[Place]) -> Vec<usize> {
    let told = places.iter().map(|place| place.tenant.leaves());
    let numbered = told.enumerate().filter(|(_, told)| *told);
    numbered.map(|(n, _)| n).collect()
}

/// Those who were told to leave do.
fn leave(places: &mut Vec<Place>) {
    places.retain(|place| !place.tenant.leaves());
}

/// The places that have come.
fn got(tickets: &mut [Ticket]) -> Vec<Place> {
    let came = tickets.iter_mut().map(|ticket| ticket.place.try_recv());
    came.filter_map(Result::ok).collect()
}

#[test]
fn one_address_may_have_all_places_until_another_wants_one() {
    let shares = Shares::new(10, 10, true);
    let mut greedy = take(&shares, 1, 10);
    greedy[3].sign_of_life(1_000);
    greedy[0].sign_of_life(1_001);
    let mut newcomer = ticket(shares.ask(source(2)));
    // The one that was silent longest goes, and nobody else.
    assert_eq!(told_to_leave(&greedy), [1]);
    assert!(newcomer.place.try_recv().is_err(), "it has not left yet");
    drop(greedy.remove(1));
    assert!(newcomer.place.try_recv().is_ok());
}

#[test]
fn places_are_taken_back_until_all_have_as_many_and_no_further() {
    let shares = Shares::new(12, 100, true);
    let mut greedy = take(&shares, 1, 12);
    let mut second: Vec<_> = (0..20).map(|_| ticket(shares.ask(source(2)))).collect();
    assert_eq!(told_to_leave(&greedy).len(), 6);
    leave(&mut greedy);
    let mut of_second = got(&mut second);
    assert_eq!(of_second.len(), 6);

    let mut third: Vec<_> = (0..20).map(|_| ticket(shares.ask(source(3)))).collect();
    leave(&mut greedy);
    leave(&mut of_second);
    assert_eq!(got(&mut third).len(), 4);
    assert_eq!((greedy.len(), of_second.len()), (4, 4));
}

#[test]
fn who_has_the_most_is_not_served_before_who_has_none() {
    let shares = Shares::new(4, 10, true);
    let mut greedy = take(&shares, 1, 4);
    let mut again = [ticket(shares.ask(source(1)))];
    assert!(
        told_to_leave(&greedy).is_empty(),
        "it has no claim on itself"
    );
    let mut newcomer = [ticket(shares.ask(source(2)))];
    greedy.pop();
    let first = got(&mut newcomer);
    assert_eq!((first.len(), got(&mut again).len()), (1, 0));
    greedy.pop();
    assert_eq!(got(&mut again).len(), 1);
}

#[test]
fn a_full_room_takes_one_more_from_who_waits_less() {
    let shares = Shares::new(1, 4, true);
    let _only = take(&shares, 1, 1);
    let mut crowd: Vec<_> = (0..4).map(|_| ticket(shares.ask(source(1)))).collect();
    assert!(matches!(shares.ask(source(1)), Asked::Refused));
    let mut newcomer = ticket(shares.ask(source(2)));
    let closed = crowd.iter_mut().map(|one| {
        let tried = one.place.try_recv();
        tried.is_err_and(|e| e == oneshot::error::TryRecvError::Closed)
    });
    let closed: Vec<bool> = closed.collect();
    assert_eq!(
        closed,
        [false, false, false, true],
        "the newest was sent away"
    );
    assert!(newcomer.place.try_recv().is_err());
}

#[test]
fn who_gives_up_leaves_the_place_to_the_next() {
    let shares = Shares::new(1, 4, true);
    let only = take(&shares, 1, 1);
    let gives_up = ticket(shares.ask(source(2)));
    let mut next = ticket(shares.ask(source(3)));
    drop(gives_up);
    drop(only);
    let got = next.place.try_recv();
    assert!(got.is_ok());
    // Also when the place is on its way already.
    let on_its_way = ticket(shares.ask(source(2)));
    let mut last = ticket(shares.ask(source(4)));
    drop(got);
    drop(on_its_way);
    assert!(last.place.try_recv().is_ok());
}

#[test]
fn without_eviction_places_are_only_handed_out_in_turn() {
    let shares = Shares::new(2, 10, false);
    let mut greedy = take(&shares, 1, 2);
    let mut more = [ticket(shares.ask(source(1)))];
    let mut newcomer = [ticket(shares.ask(source(2)))];
    assert!(told_to_leave(&greedy).is_empty());
    greedy.pop();
    let first = got(&mut newcomer);
    assert_eq!((first.len(), got(&mut more).len()), (1, 0));
}

#[test]
fn a_network_of_ipv6_is_one_source() {
    let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8),
    Leave(usize),
    GiveUp(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..4u8).prop_map(Step::Ask),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::GiveUp),
    ]
}

#[test]
fn one_address_has_no_more_than_it_may_although_places_are_free() {
    let shares = Shares::with_most_of_one(10, 10, 3);
    let mut places = take(&shares, 1, 3);
    assert!(matches!(shares.ask(source(1)), Asked::Refused));
    let others = take(&shares, 2, 3);
    places.pop();
    let again = place(shares.ask(source(1)));
    assert!(matches!(shares.ask(source(1)), Asked::Refused));
    drop((places, others, again));
}

#[test]
fn who_waits_counts_too_against_what_one_address_may_have() {
    let shares = Shares::with_most_of_one(2, 10, 3);
    let places = take(&shares, 1, 2);
    let waits = ticket(shares.ask(source(1)));
    assert!(matches!(shares.ask(source(1)), Asked::Refused));
    drop(waits);
    assert!(matches!(shares.ask(source(1)), Asked::Wait(_)));
    drop(places);
}

proptest! {
    #[test]
    fn nobody_waits_while_another_keeps_more_than_his_share(
        steps in prop::collection::vec(step(), 0..200),
        places in 1..8usize,
        room in 0..8usize,
    ) {
        let shares = Shares::new(places, room, true);
        let (mut placed, mut waiting) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Ask(from) => match shares.ask(source(from)) {
                    Asked::Place(place) => placed.push(place),
                    Asked::Wait(ticket) => waiting.push(ticket),
                    Asked::Refused => {}
                },
                Step::Leave(n) if !placed.is_empty() => drop(placed.swap_remove(n % placed.len())),
                Step::GiveUp(n) if !waiting.is_empty() => drop(waiting.swap_remove(n % waiting.len())),
                Step::Leave(_) | Step::GiveUp(_) => {}
            }
            // Whose place was taken back goes; whose turn it is comes; who was sent away is gone.
            placed.retain(|place| !place.tenant.leaves());
            let mut still = Vec::new();
            for mut ticket in waiting.drain(..) {
                match ticket.place.try_recv() {
                    Ok(place) => placed.push(place),
                    Err(oneshot::error::TryRecvError::Empty) => still.push(ticket),
                    Err(oneshot::error::TryRecvError::Closed) => {}
                }
            }
            waiting = still;

            prop_assert!(placed.len() <= places);
            prop_assert!(waiting.len() <= room);
            prop_assert!(waiting.is_empty() || placed.len() == places, "a free place and one who waits");
            for waits in &waiting {
                let of = |place: &&Place| place.source == waits.source;
                let own = placed.iter().filter(of).count() + waiting.iter().filter(|t| t.source == waits.source).count();
                for other in &placed {
                    let theirs = placed.iter().filter(|place| place.source == other.source).count();
                    prop_assert!(theirs <= own.max(1), "{theirs} places against {own}");
                }
            }
        }
        drop((placed, waiting));
        let table = shares.lock();
        prop_assert_eq!((table.free, table.waiting, table.sources.len()), (places, 0, 0));
    }
}

#[tokio::test]
async fn when_all_places_are_taken_back_nobody_keeps_or_gets_one() {
    let shares = Shares::new(2, 2, true);
    let Asked::Place(early) = shares.ask(Source::Unnamed) else {
        panic!("there is a free place")
    };
    let leaves = early.taken_back();
    shares.take_all_back();
    leaves.await;
    early.taken_back().await;
    let late = shares.ask(Source::Unnamed).place().await.unwrap();
    late.taken_back().await;
}
