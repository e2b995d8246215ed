//! What settings cannot be together.

use super::Settings;
use crate::error::ChainError;

const DAY: u64 = 86_400;

impl Settings {
    /// What the contracts' constructors would refuse, in words, before a transaction is paid for. The constructors
    /// themselves decide.
    ///
    /// # Errors
    ///
    /// `settings-invalid` with what is wrong.
    pub fn check(&self) -> Result<(), ChainError> {
        // One uint40 of seconds is 34,000 years; sums stay far from the end of 64 bits.
        let longest = 365 * DAY * 100;
        let seconds = [
            self.staking.unbond_seconds,
            self.registry.approval_delay_seconds,
            self.registry.max_age_seconds,
            self.registry.key_lifetime_seconds,
            self.relay.exclusive_seconds,
            self.relay.term_seconds,
            self.relay.reveal_seconds,
            self.directory.delay_seconds,
        ];
        let rules = [
            (
                seconds.iter().all(|time| *time <= longest),
                "a time is longer than a century",
            ),
            (
                self.registry.approver != self.registry.revoker,
                "registry: approver and revoker are the same",
            ),
            (
                self.directory.proposer != self.directory.guardian,
                "directory: proposer and guardian are the same",
            ),
            (
                self.directory.delay_seconds != 0,
                "directory: delay_seconds is 0",
            ),
            (
                self.staking.treasury_ppm >= 100_000,
                "staking: treasury_ppm is below 100000",
            ),
            (
                u64::from(self.staking.bounty_ppm) + u64::from(self.staking.treasury_ppm)
                    <= 1_000_000,
                "staking: bounty_ppm and treasury_ppm are more than the whole",
            ),
            (
                self.relay.exclusive_seconds >= self.relay.reveal_seconds.saturating_mul(2),
                "relay: exclusive_seconds is below two reveal_seconds",
            ),
            (
                self.relay.late_penalty <= self.relay.withhold_penalty,
                "relay: late_penalty is above withhold_penalty: to keep a link back would be the cheap way out",
            ),
            (
                self.staking.unbond_seconds
                    > self
                        .relay
                        .term_seconds
                        .saturating_mul(2)
                        .saturating_add(8 * DAY),
                "staking: unbond_seconds is not above two terms, the longest job (1 day) and the time to slash for it (7 days)",
            ),
            (
                self.relay
                    .fees
                    .iter()
                    .all(|fee| fee.floor >> 96 == 0 && fee.per_gas >> 96 == 0)
                    && self.relay.eth_floor >> 96 == 0,
                "relay: a fee has more than 96 bits",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err(ChainError::Settings((*reason).to_owned())),
            None => Ok(()),
        }
    }
}
