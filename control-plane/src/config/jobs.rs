//! What a control plane is told about jobs.

use std::time::Duration;

/// Rules of asynchronous jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobsConfig {
    /// How long a node has a job unless it says that it still runs it.
    pub lease: Duration,
    /// How long a node has a job at the longest, however often it says that it still runs it.
    pub longest: Duration,
    /// Tries after which a job fails.
    pub max_tries: u32,
    /// How long an ended job and its result are kept.
    pub retention: Duration,
    /// Longest input or result as carried, bytes; at most [`nacre_protocol::job::MAX_JOB_BYTES`].
    pub max_bytes: usize,
    /// Whether webhooks may go to addresses that are not public, and in the clear.
    pub private_webhooks: bool,
}

impl Default for JobsConfig {
    /// Ten seconds a lease, two hours at the longest, three tries, a day, 16 MiB.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            longest: Duration::from_secs(2 * 3600),
            max_tries: 3,
            retention: Duration::from_secs(24 * 3600),
            max_bytes: 16 << 20,
            private_webhooks: false,
        }
    }
}

/// The same as arguments of the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct JobsArgs {
    /// How long a node has a job unless it says that it still runs it, milliseconds.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    job_lease_ms: u64,
    /// How long a node has a job at the longest, however often it says that it still runs it, seconds. A node runs two jobs of a
    /// function one after the other, each for at most an hour.
    #[arg(long, default_value_t = 7_200, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    job_longest_s: u64,
    /// Tries after which a job fails.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    job_tries: u32,
    /// How long an ended job and its result are kept, seconds.
    #[arg(long, default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    job_retention_s: u64,
    /// Longest input or result of a job, bytes.
    #[arg(long, default_value_t = 16 << 20, value_parser = clap::value_parser!(u32).range(1024..=67_108_864))]
    max_job_bytes: u32,
    /// Post webhooks to loopback and private addresses too, and in the clear. Whoever has an API key can then make this
    /// machine call its neighbours.
    #[arg(long)]
    private_webhooks: bool,
}

impl JobsArgs {
    pub(crate) fn config(&self) -> JobsConfig {
        JobsConfig {
            lease: Duration::from_millis(self.job_lease_ms),
            longest: Duration::from_secs(self.job_longest_s),
            max_tries: self.job_tries,
            retention: Duration::from_secs(self.job_retention_s),
            max_bytes: self.max_job_bytes as usize,
            private_webhooks: self.private_webhooks,
        }
    }
}
