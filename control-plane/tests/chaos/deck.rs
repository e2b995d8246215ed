//! What is killed next, drawn from a seed: every point once before any comes again, and now and then a process at any moment.

use nacre_failpoint::Point;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

/// One kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kill {
    /// Whoever comes to this point next.
    At(Point),
    /// This process of several, wherever it is, after so many further answers.
    Anywhere { process: usize, answers: usize },
}

/// Kills without end.
pub(crate) struct Deck {
    rng: StdRng,
    points: Vec<Point>,
    left: Vec<Point>,
    processes: usize,
    anywhere: u32,
}

impl Deck {
    /// Of these points, and among so many processes; one kill in `anywhere` is at any moment.
    pub(crate) fn new(
        seed: u64,
        points: impl Iterator<Item = Point>,
        processes: usize,
        anywhere: u32,
    ) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            points: points.collect(),
            left: Vec::new(),
            processes,
            anywhere,
        }
    }

    /// The next one.
    pub(crate) fn draw(&mut self) -> Kill {
        if self.rng.random_ratio(1, self.anywhere) {
            return Kill::Anywhere {
                process: self.rng.random_range(0..self.processes),
                answers: self.rng.random_range(1..40),
            };
        }
        if self.left.is_empty() {
            self.left = self.points.clone();
            self.left.shuffle(&mut self.rng);
        }
        // There are points.
        Kill::At(self.left.pop().unwrap())
    }

    /// A point that nobody came to in time: it comes again at the end of this round.
    pub(crate) fn put_back(&mut self, point: Point) {
        self.left.insert(0, point);
    }
}
