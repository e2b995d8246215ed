//! Errors of the ledger.

use nacre_ledger::Incident;
use nacre_protocol::ids::{BootId, FunctionName};

/// Why usage is not booked, or work not taken on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// More receipts than a report holds.
    #[error("a report holds at most 256 usage receipts")]
    TooMany,
    /// Numbers beyond 2⁶³ − 1.
    #[error("a usage receipt's seq and bytes must be below 2^63")]
    Number,
    /// Another node's boot, or one whose receipt key no evidence vouched for.
    #[error("the receipts are of {0}, which is no boot of this node's")]
    Boot(BootId),
    /// The boot's receipt key did not sign.
    #[error("usage receipt {0} is not signed by the boot's receipt key")]
    Signature(u64),
    /// A number from nowhere.
    #[error("{0}; receipts before it must come first")]
    Jump(Incident),
    /// Work would pass a cap.
    #[error("{0}")]
    Capped(String),
    /// A limit beyond 2⁶³ − 1.
    #[error("limit must be below 2^63")]
    Limit,
    /// There is no such cap.
    #[error("there is no such cap")]
    NoCap,
    /// The function has never been deployed here, or is somebody else's.
    #[error("no function is named {0}")]
    Function(FunctionName),
    /// Nothing was charged in that month.
    #[error("there is no invoice for {0}")]
    NoInvoice(String),
}

impl LedgerError {
    pub(super) fn kind(&self) -> (u16, &'static str, &'static str) {
        match self {
            Self::TooMany => (422, "usage-too-long", "The report is too long."),
            Self::Number => (
                422,
                "usage-out-of-range",
                "A number of the receipt is out of range.",
            ),
            Self::Boot(_) => (
                403,
                "usage-boot-foreign",
                "The receipts are not of this node.",
            ),
            Self::Signature(_) => (
                422,
                "usage-signature-invalid",
                "A receipt's signature is wrong.",
            ),
            Self::Jump(_) => (409, "usage-jump", "Receipts are missing before this one."),
            Self::Capped(_) => (402, "spending-cap-reached", "A spending cap is reached."),
            Self::Limit => (422, "cap-out-of-range", "The cap is out of range."),
            Self::NoCap => (404, "cap-not-found", "There is no such cap."),
            Self::Function(_) => (404, "function-not-found", "There is no such function."),
            Self::NoInvoice(_) => (404, "invoice-not-found", "There is no such invoice."),
        }
    }
}
