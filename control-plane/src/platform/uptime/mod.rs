//! Uptime (DESIGN §6): watchers' words are taken in their time, judged once an epoch, and settled once a window.
//!
//! What comes of words is [`nacre_uptime`]'s to say; here is when it is asked, and that its answer is written once. Any control
//! plane of the database may judge an epoch or settle a window: the row that says so has room for one, and stands in the
//! same transaction as all that follows from it.
//!
//! Disputes are taken from an epoch's judgement until its window is settled. Then the window's slashes are written, and
//! nothing changes them.

mod disputes;
pub(super) mod drains;
mod epochs;
mod judge;
mod outages;
mod report;
mod windows;
mod words;

use core::sync::atomic::AtomicBool;

use nacre_client::Trust;
use nacre_protocol::uptime::{Schedule, Window};

use super::Platform;
use crate::config::{Config, UptimeConfig};
use crate::error::{Error, UptimeError};
use crate::store::uptime::{self, epochs as epoch_rows};
use crate::store::{StoreError, Transaction};

/// What a platform holds for uptime.
#[derive(Debug)]
pub(super) struct Uptime {
    rules: UptimeConfig,
    /// Root and policy of nodes' enclaves, for evidence in disputes.
    trust: Trust,
    /// Whether the last look at the time went well: if not, the time since may have been an outage of ours.
    awake: AtomicBool,
}

impl Uptime {
    /// With the schedule that the database was begun with; one without words takes this one.
    pub(super) async fn open(tx: &mut Transaction, config: &Config) -> Result<Self, Error> {
        const NAME: &str = "schedule";
        let rules = config.uptime;
        let kept = uptime::state(tx, NAME).await?;
        let kept = kept.map(|text| serde_json::from_str::<Schedule>(&text));
        let kept = kept
            .transpose()
            .map_err(|_| StoreError::Corrupt("schedule"))?;
        if kept != Some(rules.schedule) {
            if let Some(kept) = kept
                && epoch_rows::judged(tx).await?.is_some()
            {
                return Err(UptimeError::Schedule(kept).into());
            }
            let text = serde_json::to_string(&rules.schedule);
            let text = text.map_err(|_| Error::Internal("a schedule does not become JSON"))?;
            uptime::set_state(tx, NAME, &text).await?;
        }
        Ok(Self {
            rules,
            trust: Trust::new(config.roots.clone(), config.node_policy.clone()),
            awake: AtomicBool::new(false),
        })
    }

    /// When a window can no longer be disputed.
    fn settles_at(&self, window: Window) -> u64 {
        let schedule = &self.rules.schedule;
        let next = schedule.first_epoch(Window(window.0.saturating_add(1)));
        let last = nacre_protocol::uptime::Epoch(next.0.saturating_sub(1));
        let dispute = u64::try_from(self.rules.dispute.as_millis()).unwrap_or(u64::MAX);
        schedule.closed_from(last).saturating_add(dispute)
    }
}

impl Platform {
    /// How time is cut here.
    pub(crate) fn schedule(&self) -> Schedule {
        self.uptime.rules.schedule
    }

    /// What time brings about for uptime.
    pub(crate) async fn look_at_uptime(&self) -> Result<(), Error> {
        self.notice_outages().await?;
        self.follow_drains().await?;
        self.judge_epochs().await?;
        self.settle_windows().await
    }
}
