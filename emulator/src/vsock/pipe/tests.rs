use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

/// What comes out of a pipe with this damage, however the bytes are cut into pieces.
fn through(damage: Vec<Damage>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut pipe = Pipe::default();
    pipe.set_damage(0, damage);
    let mut out = Vec::new();
    for piece in pieces {
        pipe.push(0, piece);
    }
    loop {
        let ready = pipe.ready(u64::MAX / 2).to_vec();
        if ready.is_empty() {
            return out;
        }
        out.extend(&ready);
        pipe.consume(ready.len());
    }
}

#[test]
fn damage_is_done_where_it_was_ordered_and_nowhere_else() {
    let hello: &[&[u8]] = &[b"he", b"llo"];
    assert_eq!(through(vec![], hello), b"hello");
    assert_eq!(
        through(vec![Damage::Flip { at: 2, mask: 3 }], hello),
        b"heolo"
    );
    assert_eq!(
        through(vec![Damage::Drop { at: 1, length: 3 }], hello),
        b"ho"
    );
    assert_eq!(
        through(vec![Damage::Repeat { at: 2, length: 2 }], hello),
        b"hellllo"
    );
    assert_eq!(through(vec![Damage::Cut { at: 3 }], hello), b"hel");
    assert_eq!(through(vec![Damage::Cut { at: 0 }], hello), b"");
    let both = vec![Damage::Flip { at: 0, mask: 1 }, Damage::Cut { at: 1 }];
    assert_eq!(through(both, hello), b"i");
}

#[test]
fn places_count_from_the_connections_first_byte_also_where_there_was_no_damage_then() {
    let mut pipe = Pipe::default();
    pipe.push(0, b"0123");
    pipe.consume(4);
    pipe.went_past(4);
    pipe.set_damage(0, vec![Damage::Flip { at: 9, mask: 1 }]);
    pipe.push(0, b"89");
    assert_eq!(pipe.ready(0), b"88");
}

#[test]
fn a_slow_reader_gets_what_its_rate_allows() {
    let mut pipe = Pipe::default();
    let bytes_per_second = NonZeroU32::new(1000).unwrap();
    pipe.set_damage(0, vec![Damage::Rate { bytes_per_second }]);
    pipe.push(0, &[7; 5000]);
    let (mut now, mut came) = (0, 0);
    while came < 5000 {
        now = pipe.due(now).unwrap();
        let count = pipe.ready(now).len();
        assert!(count > 0, "it was said to be due");
        came += count;
        pipe.consume(count);
        assert!(came as u64 * 1000 <= now, "{came} bytes in {now} µs");
    }
    assert!((5_000_000..5_100_000).contains(&now), "{now}");
    assert!(pipe.is_empty());
}

#[test]
fn after_a_rest_a_slow_reader_gets_no_more_than_a_tenth_of_a_second_at_once() {
    let mut pipe = Pipe::default();
    let bytes_per_second = NonZeroU32::new(1000).unwrap();
    pipe.set_damage(0, vec![Damage::Rate { bytes_per_second }]);
    pipe.push(3_600_000_000, &[7; 5000]);
    assert_eq!(pipe.ready(3_600_000_000).len(), 100);
}

#[test]
fn the_end_waits_for_what_is_held_back() {
    let mut pipe = Pipe::default();
    let delay = Damage::Delay {
        by: 500,
        jitter: 0,
        seed: 0,
    };
    pipe.set_damage(0, vec![delay]);
    pipe.push(0, b"late");
    assert!(!pipe.is_empty());
    assert_eq!(pipe.ready(499), b"");
    assert_eq!(pipe.due(499), Some(500));
    // Lifting the fault does not let later bytes overtake.
    pipe.set_damage(499, vec![]);
    pipe.push(499, b" later");
    assert!(!pipe.is_plain());
    assert_eq!(pipe.ready(500), b"late later");
    pipe.consume(10);
    assert!(pipe.is_empty() && pipe.is_plain());
}

#[test]
fn noise_hits_about_one_in_so_many_bytes_and_the_same_ones_each_time() {
    let noise = |seed| {
        let every = NonZeroU32::new(100).unwrap();
        let zeros = vec![0; 100_000];
        through(vec![Damage::Noise { every, seed }], &[&zeros])
    };
    let hit = noise(1).iter().filter(|byte| **byte != 0).count();
    assert!((900..1100).contains(&hit), "{hit}");
    assert!(noise(1) == noise(1));
    assert!(noise(1) != noise(2));
}

proptest! {
    #[test]
    fn delayed_bytes_come_in_their_order_each_after_its_delay(
        pieces in proptest::collection::vec((0_u64..1000, 1_usize..50), 1..50),
        by in 0_u64..1000, jitter in 0_u64..1000, seed: u64,
    ) {
        let mut pipe = Pipe::default();
        pipe.set_damage(0, vec![Damage::Delay { by, jitter, seed }]);
        let (mut now, mut sent, mut times) = (0, Vec::<u8>::new(), Vec::new());
        let mut came = Vec::<u8>::new();
        for (wait, length) in pieces {
            now += wait;
            let bytes: Vec<u8> = (0..length).map(|place| (sent.len() + place) as u8).collect();
            times.extend(std::iter::repeat_n(now, length));
            sent.extend(&bytes);
            pipe.push(now, &bytes);
            let ready = pipe.ready(now).to_vec();
            for time in &times[came.len()..came.len() + ready.len()] {
                prop_assert!(time + by <= now);
            }
            came.extend(&ready);
            pipe.consume(ready.len());
        }
        while let Some(due) = pipe.due(now) {
            prop_assert!(due <= now + by + jitter);
            let ready = pipe.ready(due).to_vec();
            prop_assert!(!ready.is_empty());
            came.extend(&ready);
            pipe.consume(ready.len());
        }
        prop_assert_eq!(came, sent);
    }
}
