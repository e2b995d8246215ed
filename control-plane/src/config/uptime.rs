//! How time is cut for watchers, and what follows from what they say.

use core::time::Duration;

use clap::Args;
use nacre_protocol::uptime::{Schedule, ScheduleError};
use nacre_uptime::DrainTerms;

/// Rules of uptime.
#[derive(Debug, Clone, Copy)]
pub struct UptimeConfig {
    /// Slots, epochs and windows. A database that holds watchers' words keeps the one that it began with.
    pub schedule: Schedule,
    /// For how long after a window's last epoch its verdicts can be disputed, before the window is settled.
    pub dispute: Duration,
    /// How long before its begin a drain is announced, or excuses nothing.
    pub drain_notice: Duration,
    /// How much drains excuse in thirty days.
    pub drain_budget: Duration,
    /// For how long what watchers said is kept, at least until its window is settled.
    pub retention: Duration,
}

impl Default for UptimeConfig {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            dispute: HOUR,
            drain_notice: HOUR,
            drain_budget: 4 * HOUR,
            retention: 7 * 24 * HOUR,
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

impl UptimeConfig {
    /// What drains are excused, in slots.
    pub(crate) fn drain_terms(&self) -> DrainTerms {
        let slots = |time: Duration| {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            millis / u64::from(self.schedule.slot_ms())
        };
        DrainTerms {
            notice_slots: slots(self.drain_notice),
            budget_slots: slots(self.drain_budget),
            month_slots: slots(MONTH),
        }
    }
}

/// The same, as arguments.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct UptimeArgs {
    /// Length of the slots in which watchers look at nodes, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    slot_ms: u32,
    /// Slots that watchers commit to at once.
    #[arg(long, value_name = "N", default_value_t = 60)]
    epoch_slots: u16,
    /// Slots that a node is judged by at once.
    #[arg(long, value_name = "N", default_value_t = 8_640)]
    window_slots: u32,
    /// For how many slots after an epoch commitments are taken.
    #[arg(long, value_name = "N", default_value_t = 6)]
    commit_slots: u16,
    /// For how many slots after that reveals are taken.
    #[arg(long, value_name = "N", default_value_t = 24)]
    reveal_slots: u16,
    /// For how long after a window its verdicts can be disputed, seconds.
    #[arg(long, value_name = "S", default_value_t = 3_600)]
    dispute_s: u32,
    /// How long before its begin a drain is announced, or excuses nothing, seconds.
    #[arg(long, value_name = "S", default_value_t = 3_600)]
    drain_notice_s: u32,
    /// How much drains excuse in thirty days, seconds.
    #[arg(long, value_name = "S", default_value_t = 4 * 3_600)]
    drain_budget_s: u32,
    /// For how long what watchers said is kept, seconds.
    #[arg(long, value_name = "S", default_value_t = 7 * 24 * 3_600)]
    uptime_retention_s: u32,
}

impl UptimeArgs {
    pub(crate) fn config(&self) -> Result<UptimeConfig, ScheduleError> {
        let seconds = |s: u32| Duration::from_secs(s.into());
        Ok(UptimeConfig {
            schedule: Schedule::new(
                self.slot_ms,
                self.epoch_slots,
                self.window_slots,
                self.commit_slots,
                self.reveal_slots,
            )?,
            dispute: seconds(self.dispute_s),
            drain_notice: seconds(self.drain_notice_s),
            drain_budget: seconds(self.drain_budget_s),
            retention: seconds(self.uptime_retention_s),
        })
    }
}
