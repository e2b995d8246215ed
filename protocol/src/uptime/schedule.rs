//! How time is cut: slots, epochs of slots, windows of epochs.

use serde::{Deserialize, Serialize};

/// A slot: Unix time in milliseconds, divided by the slot's length.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Slot(pub u64);

/// A row of slots that a watcher commits to at once.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A row of epochs that a node is judged by at once.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Window(pub u64);

/// Lengths of slots, epochs and windows, and how long commitments and reveals are taken after an epoch.
///
/// Windows do not overlap: with the default lengths each is one UTC day, so that a slot counts towards one slash at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Lengths", into = "Lengths")]
pub struct Schedule(Lengths);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lengths {
    slot_ms: u32,
    epoch_slots: u16,
    window_slots: u32,
    commit_slots: u16,
    reveal_slots: u16,
}

/// Lengths that make no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Slots outside the limits.
    #[error("a slot is 100 ms to 10 minutes long, not {0} ms")]
    Slot(u32),
    /// Epochs outside the limits.
    #[error("an epoch has 1 to 1,024 slots, not {0}")]
    Epoch(u16),
    /// Epochs must not straddle windows.
    #[error("a window of {window} slots is not a number of epochs of {epoch}")]
    Window {
        /// Slots of a window.
        window: u32,
        /// Slots of an epoch.
        epoch: u16,
    },
    /// Nobody could commit or reveal.
    #[error("commitments and reveals are each taken for at least one slot")]
    NoTime,
}

impl Default for Schedule {
    /// Slots of 10 s, epochs of 10 minutes, windows of 24 hours; one minute to commit, four more to reveal.
    fn default() -> Self {
        Self(Lengths {
            slot_ms: 10_000,
            epoch_slots: 60,
            window_slots: 8_640,
            commit_slots: 6,
            reveal_slots: 24,
        })
    }
}

impl TryFrom<Lengths> for Schedule {
    type Error = ScheduleError;

    fn try_from(lengths: Lengths) -> Result<Self, ScheduleError> {
        let Lengths {
            slot_ms,
            epoch_slots,
            window_slots,
            commit_slots,
            reveal_slots,
        } = lengths;
        if !(100..=600_000).contains(&slot_ms) {
            return Err(ScheduleError::Slot(slot_ms));
        }
        if !(1..=1024).contains(&epoch_slots) {
            return Err(ScheduleError::Epoch(epoch_slots));
        }
        if window_slots == 0 || !window_slots.is_multiple_of(epoch_slots.into()) {
            let (window, epoch) = (window_slots, epoch_slots);
            return Err(ScheduleError::Window { window, epoch });
        }
        if commit_slots == 0 || reveal_slots == 0 {
            return Err(ScheduleError::NoTime);
        }
        Ok(Self(lengths))
    }
}

impl From<Schedule> for Lengths {
    fn from(schedule: Schedule) -> Self {
        schedule.0
    }
}

impl Schedule {
    /// A schedule of these lengths; those that are not named are in slots.
    pub fn new(
        slot_ms: u32,
        epoch_slots: u16,
        window_slots: u32,
        commit_slots: u16,
        reveal_slots: u16,
    ) -> Result<Self, ScheduleError> {
        Self::try_from(Lengths {
            slot_ms,
            epoch_slots,
            window_slots,
            commit_slots,
            reveal_slots,
        })
    }

    /// Length of a slot, milliseconds.
    pub fn slot_ms(&self) -> u32 {
        self.0.slot_ms
    }

    /// Slots of an epoch.
    pub fn epoch_slots(&self) -> u16 {
        self.0.epoch_slots
    }

    /// Slots of a window.
    pub fn window_slots(&self) -> u32 {
        self.0.window_slots
    }

    /// The slot of a time in Unix milliseconds.
    pub fn slot_at(&self, unix_ms: u64) -> Slot {
        Slot(unix_ms / u64::from(self.0.slot_ms))
    }

    /// When a slot begins, Unix milliseconds.
    pub fn slot_start(&self, slot: Slot) -> u64 {
        slot.0.saturating_mul(self.0.slot_ms.into())
    }

    /// The epoch of a slot.
    pub fn epoch_of(&self, slot: Slot) -> Epoch {
        Epoch(slot.0 / u64::from(self.0.epoch_slots))
    }

    /// An epoch's first slot.
    pub fn first_slot(&self, epoch: Epoch) -> Slot {
        Slot(epoch.0.saturating_mul(self.0.epoch_slots.into()))
    }

    /// Where a slot stands in its epoch.
    pub fn index_in_epoch(&self, slot: Slot) -> usize {
        (slot.0 % u64::from(self.0.epoch_slots)) as usize
    }

    /// The window of an epoch.
    pub fn window_of(&self, epoch: Epoch) -> Window {
        Window(self.first_slot(epoch).0 / u64::from(self.0.window_slots))
    }

    /// A window's first epoch; its last is the one before the next window's first.
    pub fn first_epoch(&self, window: Window) -> Epoch {
        let slot = window.0.saturating_mul(self.0.window_slots.into());
        self.epoch_of(Slot(slot))
    }

    /// When an epoch's slots are over and its commitments begin to be taken, Unix milliseconds.
    pub fn commits_from(&self, epoch: Epoch) -> u64 {
        self.slot_start(self.first_slot(Epoch(epoch.0.saturating_add(1))))
    }

    /// When an epoch's commitments are no longer taken and its reveals begin to be.
    pub fn reveals_from(&self, epoch: Epoch) -> u64 {
        let open = u64::from(self.0.commit_slots) * u64::from(self.0.slot_ms);
        self.commits_from(epoch).saturating_add(open)
    }

    /// When an epoch's reveals are no longer taken: it can be combined.
    pub fn closed_from(&self, epoch: Epoch) -> u64 {
        let open = u64::from(self.0.reveal_slots) * u64::from(self.0.slot_ms);
        self.reveals_from(epoch).saturating_add(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_window_is_one_utc_day_of_8640_slots() {
        let schedule = Schedule::default();
        let midnight = 1_767_225_600_000; // 2026-01-01T00:00:00Z
        let first = schedule.slot_at(midnight);
        assert_eq!(schedule.slot_start(first), midnight);
        let window = schedule.window_of(schedule.epoch_of(first));
        assert_eq!(schedule.first_slot(schedule.first_epoch(window)), first);
        let last = schedule.slot_at(midnight + 86_400_000 - 1);
        assert_eq!(last.0 - first.0, 8_639);
        assert_eq!(schedule.window_of(schedule.epoch_of(last)), window);
        let next = schedule.epoch_of(Slot(last.0 + 1));
        assert_eq!(schedule.window_of(next).0, window.0 + 1);
    }

    #[test]
    fn reveals_begin_when_commitments_end() {
        let schedule = Schedule::default();
        let epoch = Epoch(7);
        assert_eq!(schedule.commits_from(epoch), 8 * 600_000);
        assert_eq!(schedule.reveals_from(epoch), 8 * 600_000 + 60_000);
        assert_eq!(schedule.closed_from(epoch), 8 * 600_000 + 300_000);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused_also_in_json() {
        assert_eq!(
            Schedule::new(99, 60, 8640, 6, 24),
            Err(ScheduleError::Slot(99))
        );
        assert_eq!(
            Schedule::new(10_000, 0, 8640, 6, 24),
            Err(ScheduleError::Epoch(0))
        );
        assert!(Schedule::new(10_000, 61, 8640, 6, 24).is_err());
        assert_eq!(
            Schedule::new(10_000, 60, 8640, 0, 24),
            Err(ScheduleError::NoTime)
        );
        let json = serde_json::to_string(&Schedule::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Schedule>(&json).unwrap(),
            Schedule::default()
        );
        assert!(serde_json::from_str::<Schedule>(&json.replace("60", "61")).is_err());
    }
}
