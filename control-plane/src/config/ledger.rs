//! What a control plane is told about money. All control planes of a database must be told the same.

use std::time::Duration;

use nacre_ledger::Fee;

/// Rules of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Whether customers use only what they have deposited.
    pub prepaid: bool,
    /// The platform's share of what customers pay.
    pub fee: Fee,
    /// Micro-units per GiB carried to and from functions.
    pub gib_carried: u64,
    /// For how long a lease's use is set aside beforehand: longer than it takes from a use to its booking, and from there
    /// until the node has stopped.
    pub hold: Duration,
}

impl Default for LedgerConfig {
    /// Invoiced, no fee, bytes are free, 15 s.
    fn default() -> Self {
        Self {
            prepaid: false,
            fee: Fee::default(),
            gib_carried: 0,
            hold: Duration::from_secs(15),
        }
    }
}

/// The same as arguments of the command line.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LedgerArgs {
    /// Stop work before what was deposited is used up. Without it, what is used beyond is owed and invoiced.
    #[arg(long)]
    prepaid: bool,
    /// The platform's share of what customers pay, hundredths of a percent.
    #[arg(long, value_name = "0…10000", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    fee_basis_points: u16,
    /// What bytes to and from functions cost, micro-units per GiB.
    #[arg(long, value_name = "MICROS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=i64::MAX as u64))]
    carried_price: u64,
    /// For how long a lease's use is set aside before it happens, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(1_000..=3_600_000))]
    hold_ms: u64,
}

impl LedgerArgs {
    pub(crate) fn config(&self) -> LedgerConfig {
        LedgerConfig {
            prepaid: self.prepaid,
            // The parser has seen to it that it is one.
            fee: Fee::from_basis_points(self.fee_basis_points).unwrap_or_default(),
            gib_carried: self.carried_price,
            hold: Duration::from_millis(self.hold_ms),
        }
    }
}
