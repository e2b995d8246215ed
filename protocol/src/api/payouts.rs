//! Shapes of the control plane's payout API: what operators earned, and how they come by it. Money is whole micro-units.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/ledger/operators` | a page of [`OperatorBalance`], one for each operator of the organisation's nodes |
//! | `POST /v1/ledger/payouts` with [`AskPayout`] | [`Payout`] |
//! | `GET /v1/ledger/payouts?operator={id}` | a page of [`Payout`], the latest first |
//! | `GET /v1/ledger/payouts/{id}` | [`Payout`] |
//! | `DELETE /v1/ledger/payouts/{id}` | [`Payout`], withdrawn |

use serde::{Deserialize, Serialize};

use crate::ids::{OperatorId, PayoutId};

/// What an operator has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorBalance {
    /// Who.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: OperatorId,
    /// What its nodes earned and it was not paid yet.
    pub earned: i64,
    /// What of that it asked for.
    pub asked: i64,
    /// What of that is kept back for slashes that are not booked yet.
    pub kept_back: i64,
    /// What it may ask for now.
    pub available: i64,
    /// What it was paid so far.
    pub paid: i64,
    /// What it has at stake.
    pub stake: i64,
}

/// `POST /v1/ledger/payouts`: an operator wants to be paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskPayout {
    /// Who: an operator of one of the organisation's nodes.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: OperatorId,
    /// Micro-units, 1 to 2⁶³ − 1. Absent: all that is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub amount: Option<u64>,
}

/// What an operator asked for, or was paid unasked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Payout {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub id: PayoutId,
    /// Whose.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operator: OperatorId,
    /// Micro-units.
    pub amount: i64,
    /// Where it stands.
    pub state: PayoutState,
    /// When it was asked for, Unix milliseconds.
    pub asked_ms: u64,
    /// When it was paid or withdrawn, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// The payment's own reference, once it is paid; its entry's cause is `payout:` and this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Where a payout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum PayoutState {
    /// It was asked for, and nobody else can have it.
    Asked,
    /// It was paid.
    Paid,
    /// The operator did not want it any more.
    Withdrawn,
}

impl PayoutState {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Paid => "paid",
            Self::Withdrawn => "withdrawn",
        }
    }
}
