//! From a window's verdicts to at most one slash a node.

use nacre_protocol::ids::NodeId;
use nacre_protocol::uptime::{Verdict, Window};

const PPM: u32 = 1_000_000;

/// The terms of slashing. Parts are in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    window_slots: u32,
    level_ppm: u32,
    cap_ppm: u32,
    factor: u32,
}

/// Terms that make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a window has slots, and level and cap are at most 1,000,000 millionths")]
pub struct TermsError;

impl Terms {
    /// DESIGN §6: below 99.5 %, stake × min(5 %, 10 × the missing part), with windows of so many slots.
    pub fn new(window_slots: u32) -> Result<Self, TermsError> {
        Self::with(window_slots, 995_000, 50_000, 10)
    }

    /// Other terms: the level below which is slashed, the most that is taken, and how many times the missing part is.
    pub fn with(
        window_slots: u32,
        level_ppm: u32,
        cap_ppm: u32,
        factor: u32,
    ) -> Result<Self, TermsError> {
        let sound = window_slots > 0 && level_ppm <= PPM && cap_ppm <= PPM;
        sound
            .then_some(Self {
                window_slots,
                level_ppm,
                cap_ppm,
                factor,
            })
            .ok_or(TermsError)
    }

    /// Whether so many missing slots are below the level. Exactly at the level is not below it.
    pub fn is_below(&self, missing: u32) -> bool {
        let tolerated = u64::from(PPM - self.level_ppm) * u64::from(self.window_slots);
        u64::from(missing) * u64::from(PPM) > tolerated
    }

    /// What so many missing slots cost: stake × min(cap, factor × missing ÷ window), micro-units, rounded down to the
    /// operator's favour.
    pub fn amount(&self, stake: u64, missing: u32) -> u64 {
        let stake = u128::from(stake);
        let cap = stake * u128::from(self.cap_ppm) / u128::from(PPM);
        let times = u128::from(self.factor) * u128::from(missing);
        let part = stake * times / u128::from(self.window_slots);
        // At most the cap, which is at most the stake.
        u64::try_from(cap.min(part)).unwrap_or(u64::MAX)
    }
}

/// Stake that is taken from a node for one window. `(node, window)` is its key: whoever records slashes records one for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slash {
    /// Which node.
    pub node: NodeId,
    /// For which window.
    pub window: Window,
    /// Slots that were down and not excused.
    pub missing: u32,
    /// Micro-units.
    pub amount: u64,
}

/// A node's slots of one window, counted. An epoch is added once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowTally {
    /// Slots that watchers saw up.
    pub up: u32,
    /// Slots that watchers saw down and that are not excused.
    pub missing: u32,
    /// Slots that watchers saw down, and that are excused.
    pub excused: u32,
    /// Slots without a verdict: a draw, or nobody looked. They cost nothing.
    pub unjudged: u32,
}

impl WindowTally {
    /// Counts verdicts; `excused` says of each, by its place in `verdicts`, whether a drain excuses it.
    pub fn add(&mut self, verdicts: &[Verdict], excused: impl Fn(usize) -> bool) {
        for (at, verdict) in verdicts.iter().enumerate() {
            let counter = match verdict {
                Verdict::Up => &mut self.up,
                Verdict::Down if excused(at) => &mut self.excused,
                Verdict::Down => &mut self.missing,
                Verdict::Tied | Verdict::Unseen => &mut self.unjudged,
            };
            *counter += 1;
        }
    }

    /// What the window costs the node, if anything. The missing part is of the whole window, not of the slots judged: what
    /// nobody saw is not held against the node.
    pub fn slash(&self, node: NodeId, window: Window, stake: u64, terms: &Terms) -> Option<Slash> {
        terms.is_below(self.missing).then(|| Slash {
            node,
            window,
            missing: self.missing,
            amount: terms.amount(stake, self.missing),
        })
    }
}
