//! Months of uptime in minutes: honest nodes, failing nodes and drained ones, seen by watchers some of which lie, over a
//! network that loses tries. Prints what was slashed and what should have been.
//!
//! `cargo run --release -p nacre-uptime --example simulation -- [NODES] [DAYS] [SEED]`

#![expect(
    clippy::expect_used,
    reason = "an example ends where its input is none"
)]

mod world;

use std::time::Instant;

use world::{Liars, World};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| {
        word.parse::<u64>()
            .expect("usage: simulation [NODES] [DAYS] [SEED]")
    });
    let nodes = numbers.next().unwrap_or(1_000) as usize;
    let days = numbers.next().unwrap_or(30);
    let seed = numbers.next().unwrap_or(1);
    println!(
        "{nodes} nodes, 7 watchers, 2 of them liars, 5 % loss per try, {days} days, seed {seed}"
    );
    for liars in Liars::ALL {
        let begun = Instant::now();
        let counts = World::new(nodes, liars, seed).run(days);
        println!(
            "{liars:?}: {counts} ({:.1} s)",
            begun.elapsed().as_secs_f64()
        );
        assert!(counts.is_right(), "the wrong nodes were slashed");
    }
}
