//! Money that comes in and goes out, booked by whoever reaches the database, while the control plane runs or not. On the other
//! side is the account `external`, until a chain takes its place.

use nacre_ledger::{Account, Amount, Cause, Customer, Entry, EntryError};
use nacre_protocol::api::payouts::{Payout, PayoutState};
use nacre_protocol::ids::{OperatorId, PayoutId};

use crate::clock::Clock;
use crate::config::Database;
use crate::store::ledger::{balance, balances, book, entry_of, journal_time, payouts};
use crate::store::{Store, StoreError, Transaction, commit};

/// Longest reference.
pub const MAX_REFERENCE: usize = 100;

/// What is booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payment {
    /// A customer pays: what it owes first, the rest is its balance.
    Deposit(Customer, Amount),
    /// An operator puts up a stake.
    Stake(OperatorId, Amount),
    /// An operator is paid what it earned and did not ask for; all of it, where no amount is named.
    Payout(OperatorId, Option<Amount>),
    /// An operator is paid what it asked for.
    Asked(PayoutId),
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Booked {
    /// It was booked now.
    Now(Amount),
    /// It had been booked before.
    Before(Amount),
}

/// Why a payment is not booked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PaymentError {
    /// An empty, long or unprintable reference.
    #[error("a payment's reference is 1 to {MAX_REFERENCE} visible ASCII characters")]
    Reference,
    /// Nothing, or less.
    #[error("a payment is above zero")]
    Amount,
    /// The reference was used for something else.
    #[error("`{0}` is the reference of another payment")]
    Used(String),
    /// Nobody asked for it.
    #[error("there is no payout {0}")]
    Unasked(PayoutId),
    /// It was paid under another reference, or the operator took it back.
    #[error("{0} was {1} already")]
    Ended(PayoutId, &'static str),
    /// More than the account has, less what is to be slashed and what was asked for.
    #[error("{account} has {has} to be paid, less than {wanted}")]
    Short {
        /// Which account.
        account: Account,
        /// What it has.
        has: Amount,
        /// What was asked for.
        wanted: Amount,
    },
    /// What the ledger does not take.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The operating system has no random bytes.
    #[error("no random bytes")]
    Random,
    /// The database.
    #[error("database: {0}")]
    Store(#[from] StoreError),
}

/// Books a payment. The same reference with the same payment is booked once.
pub async fn pay(
    database: &Database,
    payment: &Payment,
    reference: &str,
) -> Result<Booked, PaymentError> {
    let visible = reference.bytes().all(|b| b.is_ascii_graphic());
    if !visible || !(1..=MAX_REFERENCE).contains(&reference.len()) {
        return Err(PaymentError::Reference);
    }
    let store = Store::open(database).await?;
    let mut tx = store.write().await?;
    let done = pay_in(&mut tx, payment, reference).await;
    let ended = match done {
        Ok(Booked::Now(_)) => commit(tx).await,
        _ => tx.rollback().await.map_err(StoreError::from),
    };
    store.close().await;
    ended?;
    done
}

async fn pay_in(
    tx: &mut Transaction,
    payment: &Payment,
    reference: &str,
) -> Result<Booked, PaymentError> {
    if let Some(amount) = before(tx, payment, reference).await? {
        return Ok(Booked::Before(amount));
    }
    let at = journal_time(tx, Clock::system().now_ms()).await?;
    let (amount, entry) = entry(tx, payment, reference, at).await?;
    if !book(tx, &entry).await? {
        return Err(PaymentError::Used(reference.to_owned()));
    }
    match payment {
        Payment::Asked(id) => payouts::pay(tx, id, reference, at).await?,
        Payment::Payout(operator, _) => {
            let unasked = Payout {
                id: PayoutId::from_random(random_id()?),
                operator: *operator,
                amount: amount.micros(),
                state: PayoutState::Paid,
                asked_ms: at,
                ended_ms: Some(at),
                reference: Some(reference.to_owned()),
            };
            payouts::insert(tx, &unasked).await?;
        }
        Payment::Deposit(..) | Payment::Stake(..) => {}
    }
    Ok(Booked::Now(amount))
}

/// All accounts with what they have, by name.
pub async fn accounts(database: &Database) -> Result<Vec<(String, Amount)>, StoreError> {
    let store = Store::open(database).await?;
    let mut tx = store.read().await?;
    let all = balances(&mut tx).await?;
    drop(tx);
    store.close().await;
    Ok(all)
}

async fn entry(
    tx: &mut Transaction,
    payment: &Payment,
    reference: &str,
    at_ms: u64,
) -> Result<(Amount, Entry), PaymentError> {
    let cause = payment.cause(reference);
    let external = Account::External;
    let (amount, entry) = match payment {
        Payment::Deposit(customer, amount) => {
            let owed = Account::Owed(customer.clone());
            let debt = Amount::ZERO.minus(balance(tx, &owed).await?);
            let debt = debt.map_err(EntryError::from)?.min(*amount);
            let rest = amount.minus(debt).map_err(EntryError::from)?;
            let to = [(owed, debt), (Account::Customer(customer.clone()), rest)];
            (*amount, Entry::pay(cause, at_ms, &external, to))
        }
        Payment::Stake(operator, amount) => {
            let to = [(Account::Stake(*operator), *amount)];
            (*amount, Entry::pay(cause, at_ms, &external, to))
        }
        Payment::Payout(operator, amount) => {
            // What it is to be slashed is not its own any more, and what it asked for is paid as that.
            let standing = payouts::standing(tx, operator).await?;
            let has = standing.available().map_err(EntryError::from)?;
            let wanted = amount.unwrap_or(has);
            let account = Account::Operator(*operator);
            (wanted, paid(cause, at_ms, account, has, wanted)?)
        }
        Payment::Asked(id) => {
            let payout = payouts::get(tx, id).await?;
            let payout = payout.ok_or(PaymentError::Unasked(*id))?;
            if payout.state != PayoutState::Asked {
                return Err(PaymentError::Ended(*id, payout.state.as_str()));
            }
            let standing = payouts::standing(tx, &payout.operator).await?;
            let has = standing.payable().map_err(EntryError::from)?;
            let wanted = Amount::from_micros(payout.amount);
            let account = Account::Operator(payout.operator);
            (wanted, paid(cause, at_ms, account, has, wanted)?)
        }
    };
    if amount <= Amount::ZERO {
        return Err(PaymentError::Amount);
    }
    Ok((amount, entry?))
}

/// Out of an operator's account, where so much is there.
fn paid(
    cause: Cause,
    at_ms: u64,
    account: Account,
    has: Amount,
    wanted: Amount,
) -> Result<Result<Entry, EntryError>, PaymentError> {
    if wanted > has {
        return Err(PaymentError::Short {
            account,
            has,
            wanted,
        });
    }
    let to = [(Account::External, wanted)];
    Ok(Entry::pay(cause, at_ms, &account, to))
}

fn random_id() -> Result<[u8; 16], PaymentError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| PaymentError::Random)?;
    Ok(bytes)
}

/// What the same payment was, if its reference was used.
async fn before(
    tx: &mut Transaction,
    payment: &Payment,
    reference: &str,
) -> Result<Option<Amount>, PaymentError> {
    let cause = payment.cause(reference).to_string();
    let Some(entry) = entry_of(tx, &cause).await? else {
        return Ok(None);
    };
    let used = || PaymentError::Used(reference.to_owned());
    let external = Account::External.to_string();
    let moved = entry
        .postings
        .iter()
        .find(|(account, _)| *account == external);
    let moved = moved.map(|(_, amount)| Amount::from_micros(amount.saturating_abs()));
    let (mine, amount) = match payment {
        Payment::Deposit(customer, amount) => (
            vec![
                Account::Customer(customer.clone()),
                Account::Owed(customer.clone()),
            ],
            Some(*amount),
        ),
        Payment::Stake(operator, amount) => (vec![Account::Stake(*operator)], Some(*amount)),
        Payment::Payout(operator, amount) => (vec![Account::Operator(*operator)], *amount),
        Payment::Asked(id) => {
            let payout = payouts::get(tx, id).await?;
            let payout = payout.ok_or(PaymentError::Unasked(*id))?;
            if payout.reference.as_deref() != Some(reference) {
                return Err(used());
            }
            let amount = Amount::from_micros(payout.amount);
            (vec![Account::Operator(payout.operator)], Some(amount))
        }
    };
    let mine: Vec<String> = mine.iter().map(ToString::to_string).collect();
    let others = entry
        .postings
        .iter()
        .filter(|(account, _)| *account != external);
    let same = others
        .into_iter()
        .all(|(account, _)| mine.contains(account));
    match moved {
        Some(moved) if same && amount.is_none_or(|amount| amount == moved) => Ok(Some(moved)),
        _ => Err(used()),
    }
}

impl Payment {
    fn cause(&self, reference: &str) -> Cause {
        match self {
            Self::Deposit(..) | Self::Stake(..) => Cause::Deposit(reference.to_owned()),
            Self::Payout(..) | Self::Asked(_) => Cause::Payout(reference.to_owned()),
        }
    }
}
