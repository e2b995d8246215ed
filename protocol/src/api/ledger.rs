//! Shapes of the control plane's ledger API. Money is whole micro-units; a period is a day, a calendar month (UTC), or for ever.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/ledger/balance` | [`Balance`] |
//! | `GET /v1/ledger/entries?after={id}` | a page of [`LedgerEntry`] |
//! | `GET /v1/ledger/caps` | a page of [`SpendingCap`] |
//! | `PUT /v1/ledger/caps` with [`SetSpendingCap`] | [`SpendingCap`] |
//! | `DELETE /v1/ledger/caps?period={p}&function={name}` | 204 |
//! | `GET /v1/ledger/invoices?after={month}` | a page of [`Invoice`] without lines |
//! | `GET /v1/ledger/invoices/{month}` | [`Invoice`]; the current month's so far |

use serde::{Deserialize, Serialize};

use crate::ids::{FunctionName, LeaseId};

/// What a customer has, owes and may still use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Balance {
    /// Who.
    pub customer: String,
    /// What was deposited and is not used.
    pub balance: i64,
    /// What was used beyond that and is not paid: zero or more.
    pub owed: i64,
    /// What is set aside for leases that run.
    pub held: i64,
    /// Whether work stops before the balance is used up.
    pub prepaid: bool,
    /// Functions that have no leases for want of money.
    pub stopped: Vec<StoppedFunction>,
}

/// A function that is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StoppedFunction {
    /// Its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Begins with `spending-cap: `.
    pub reason: String,
}

/// Money that moved. Never changed and never taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerEntry {
    /// Rises with each entry; a cursor for `after`.
    pub id: u64,
    /// When it was booked, Unix milliseconds.
    pub at_ms: u64,
    /// Why: `usage:boot_…:17`, `deposit:…`.
    pub cause: String,
    /// Who got and who gave; the amounts sum to zero.
    pub postings: Vec<LedgerPosting>,
}

/// One account's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LedgerPosting {
    /// `customer:…`, `owed:…`, `operator:…`, `platform`, `external`.
    pub account: String,
    /// Negative where it gave.
    pub amount: i64,
}

/// The span over which a cap counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CapPeriod {
    /// From midnight to midnight, UTC.
    Day,
    /// A calendar month, UTC.
    Month,
    /// For ever.
    Ever,
}

/// The most that may be spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetSpendingCap {
    /// For one function; absent: for all of the customer's together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub function: Option<FunctionName>,
    /// In which span.
    pub period: CapPeriod,
    /// Micro-units, 0 to 2⁶³ − 1.
    #[cfg_attr(feature = "openapi", schema(minimum = 0))]
    pub limit: u64,
}

/// A cap, and what counts against it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SpendingCap {
    /// For one function; absent: for all of the customer's together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub function: Option<FunctionName>,
    /// In which span.
    pub period: CapPeriod,
    /// Micro-units.
    pub limit: i64,
    /// Charged in this span.
    pub spent: i64,
    /// Set aside for leases that run.
    pub held: i64,
    /// When it was set, Unix milliseconds.
    pub set_ms: u64,
}

/// What was charged in a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invoice {
    /// Who.
    pub customer: String,
    /// `2026-11`.
    pub period: String,
    /// Its begin, Unix milliseconds.
    pub from_ms: u64,
    /// Its end, which is not in it.
    pub to_ms: u64,
    /// When it was issued, after which it does not change; absent while the month goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_ms: Option<u64>,
    /// The sum of the lines, which is the sum of what was booked.
    pub total: i64,
    /// One a function, lease and price agreed for it; absent in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<InvoiceLine>,
}

/// What was charged under one lease by one agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InvoiceLine {
    /// Which function ran.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub function: FunctionName,
    /// Under which lease.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub lease: LeaseId,
    /// The number of the agreement: 1 for the lease's first term, one more whenever a term began anew at another price.
    #[serde(default = "first")]
    pub agreement: u32,
    /// Agreed for memory, micro-units per GiB-second.
    #[serde(default)]
    pub price: u64,
    /// Agreed for processors, micro-units per CPU-second.
    #[serde(default)]
    pub cpu_price: u64,
    /// How many usage receipts prove it.
    pub receipts: u64,
    /// Time in the model, microseconds.
    pub compute_micros: u64,
    /// Bytes in and out.
    pub bytes: u64,
    /// Micro-units.
    pub amount: i64,
}

fn first() -> u32 {
    1
}
