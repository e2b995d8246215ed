//! Errors of payouts.

use nacre_ledger::Amount;
use nacre_protocol::ids::OperatorId;

/// Why nothing is paid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayoutError {
    /// Nothing, or beyond 2⁶³ − 1.
    #[error("amount must be 1 to 2^63 - 1 micro-units")]
    Amount,
    /// None of the organisation's nodes is this operator's.
    #[error("no node of this organisation is operator {0}'s")]
    Operator(OperatorId),
    /// More than is there, less what was asked for and what is to be slashed.
    #[error("{has} can be asked for")]
    Short {
        /// What can be.
        has: Amount,
    },
    /// There is no such payout, or it is somebody else's.
    #[error("there is no such payout")]
    Unknown,
    /// It is on its way.
    #[error("it was paid")]
    Paid,
}

impl PayoutError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Amount => (422, "payout-out-of-range", "The amount is out of range."),
            Self::Operator(_) => (404, "operator-not-found", "There is no such operator."),
            Self::Short { .. } => (409, "payout-not-earned", "So much is not earned."),
            Self::Unknown => (404, "payout-not-found", "There is no such payout."),
            Self::Paid => (409, "payout-paid", "The payout was paid."),
        }
    }
}
