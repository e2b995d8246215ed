//! How often may be asked, and how long is remembered who did what.

use std::time::Duration;

use crate::rate::Rate;

/// Rate limits. `None`: there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// For each API key, and for each node.
    pub per_token: Option<Rate>,
    /// For each address, of requests that show no valid token.
    pub per_address: Option<Rate>,
}

/// How long the audit log is kept unless told otherwise.
pub const DEFAULT_AUDIT_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is taken at once, in seconds' worth of the rate.
const BURST_S: u32 = 4;
const PER_TOKEN: u32 = 500;
const PER_ADDRESS: u32 = 50;

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            per_token: rate(PER_TOKEN),
            per_address: rate(PER_ADDRESS),
        }
    }
}

fn rate(per_second: u32) -> Option<Rate> {
    let burst = per_second.saturating_mul(BURST_S);
    (per_second > 0).then_some(Rate { per_second, burst })
}

/// The same, on the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LimitArgs {
    /// Requests a second for each API key and node, four times that at once; 0: no limit.
    #[arg(long, value_name = "N", default_value_t = PER_TOKEN)]
    rate_per_key: u32,
    /// Requests a second without a valid token for each address (/64 of IPv6), four times that at once; 0: no limit.
    #[arg(long, value_name = "N", default_value_t = PER_ADDRESS)]
    rate_per_address: u32,
    /// How long the audit log is kept, days.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    audit_days: u32,
}

impl LimitArgs {
    pub(crate) fn rates(&self) -> RateLimits {
        RateLimits {
            per_token: rate(self.rate_per_key),
            per_address: rate(self.rate_per_address),
        }
    }

    pub(crate) fn audit_kept(&self) -> Duration {
        Duration::from_secs(u64::from(self.audit_days) * 24 * 3600)
    }
}
