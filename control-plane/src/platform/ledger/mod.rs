//! Who pays for what ran (DESIGN §6): usage receipts become entries, and work stops before a cap would be passed.
//!
//! **What is charged.** A lease's agreed price for the time and bytes that its enclave's receipts prove, once for each number
//! of a boot. A job is a call like any other: the enclave counts it under the lease that it ran on, so it is paid by that
//! lease's receipts and has no entry of its own; it is only refused where its function is stopped.
//!
//! **At which price.** A second in the model costs the lease's memory and the processor that its worker computes on. A lease's term
//! may begin anew at the node's ask of that day; then another agreement is kept ([`cover`]), in the transaction that renews it.
//! Which one counts for a receipt follows from when it must have been signed ([`nacre_ledger::Agreement`]): a cheaper one at once, a
//! dearer one after the time that `hold` gives a use to be booked. The receipt keeps the agreement's number, invoices have a line
//! for each, and a receipt that comes again changes nothing.
//!
//! **How a cap holds.** While a lease runs, the most that it can cost until its next receipts are booked is set aside for it
//! ([`cover`]). A receipt is charged what it costs, but never more than is set aside for its lease and left under every cap;
//! so what is charged never passes a cap, whatever comes late or out of turn. Where the next use can no longer be set aside
//! in full, the function's leases end and its order waits ([`stops`]). What a node ran beyond that is its own loss: it was told
//! in time.

mod accounts;
mod cover;
mod invoices;
mod payouts;
mod slashes;
mod stops;
mod usage;

use nacre_ledger::{Amount, Budget, Cap, Customer, Period};
use nacre_protocol::ids::{FunctionName, OrganisationName};

use super::Platform;
use crate::error::Error;
use crate::store::Transaction;
use crate::store::ledger::{balance, spending, terms};

/// Who pays for what an organisation's functions do.
pub(crate) fn customer_of(organisation: &OrganisationName) -> Result<Customer, Error> {
    organisation
        .as_str()
        .parse()
        .map_err(|_| Error::Internal("an organisation whose name is no customer's"))
}

/// What is left under the tightest cap, and which that is. Negative where a cap was set below what was spent.
struct Room {
    left: Amount,
    under: String,
}

impl Platform {
    /// What a customer's function may still commit; `None` where nothing limits it.
    async fn room(
        &self,
        tx: &mut Transaction,
        customer: &Customer,
        function: &FunctionName,
        now_ms: u64,
    ) -> Result<Option<Room>, Error> {
        let mut tightest: Option<Room> = None;
        for set in spending::caps_of(tx, customer, function).await? {
            let of = set.function.as_ref();
            let from = set.cap.period.start_ms(now_ms);
            let budget = Budget {
                spent: spending::since(tx, customer, of, from).await?,
                held: Amount::ZERO,
                exposed: terms::held(tx, customer, of).await?,
            };
            let room = Room {
                left: budget.left(set.cap),
                under: cap_text(set.cap, of),
            };
            tighten(&mut tightest, room);
        }
        if self.ledger_rules.prepaid {
            let account = nacre_ledger::Account::Customer(customer.clone());
            let has = balance(tx, &account).await?;
            let budget = Budget {
                exposed: terms::held(tx, customer, None).await?,
                ..Budget::default()
            };
            let cap = Cap {
                limit: has,
                period: Period::Ever,
            };
            let room = Room {
                left: budget.left(cap),
                under: format!("the balance of {has}"),
            };
            tighten(&mut tightest, room);
        }
        Ok(tightest)
    }
}

fn tighten(tightest: &mut Option<Room>, room: Room) {
    if tightest.as_ref().is_none_or(|other| room.left < other.left) {
        *tightest = Some(room);
    }
}

fn cap_text(cap: Cap, of: Option<&FunctionName>) -> String {
    let limit = cap.limit;
    let span = match cap.period {
        Period::Day => " a day",
        Period::Month => " a month",
        Period::Ever => "",
    };
    match of {
        Some(function) => format!("the cap of {limit}{span} on {function}"),
        None => format!("the cap of {limit}{span} on all functions together"),
    }
}
