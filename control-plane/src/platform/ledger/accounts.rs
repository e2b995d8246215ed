//! What customers ask about their money, and the caps that they set.

use nacre_ledger::{Account, Amount, Cap, Customer, Period};
use nacre_protocol::api::Page;
use nacre_protocol::api::ledger::{
    Balance, CapPeriod, LedgerEntry, LedgerPosting, SetSpendingCap, SpendingCap, StoppedFunction,
};
use nacre_protocol::ids::{FunctionName, OrganisationName};

use super::{Platform, customer_of};
use crate::error::{Error, LedgerError};
use crate::platform::Changed;
use crate::store::ledger::spending::{self, SetCap, Stop};
use crate::store::ledger::{Booked, balance, entries, terms};
use crate::store::{Transaction, functions};

impl Platform {
    /// What the customer has.
    pub(crate) async fn balance(&self, customer: &Customer) -> Result<Balance, Error> {
        let mut tx = self.store.read().await?;
        let has = balance(&mut tx, &Account::Customer(customer.clone())).await?;
        let owed = balance(&mut tx, &Account::Owed(customer.clone())).await?;
        let stopped = spending::stops(&mut tx, Some(customer)).await?;
        Ok(Balance {
            customer: customer.to_string(),
            balance: has.micros(),
            owed: owed.micros().saturating_neg(),
            held: terms::held(&mut tx, customer, None).await?.micros(),
            prepaid: self.ledger_rules.prepaid,
            stopped: stopped
                .into_iter()
                .map(|stop| StoppedFunction {
                    function: stop.function,
                    reason: stop.reason,
                })
                .collect(),
        })
    }

    /// A page of the entries that moved the customer's money, the oldest first.
    pub(crate) async fn entries(
        &self,
        customer: &Customer,
        after: u64,
        limit: u32,
    ) -> Result<Page<LedgerEntry>, Error> {
        let own = Account::Customer(customer.clone());
        let owed = Account::Owed(customer.clone());
        let mut tx = self.store.read().await?;
        let mut items = entries(&mut tx, [&own, &owed], after, limit + 1).await?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        Ok(Page {
            next: items
                .last()
                .filter(|_| more)
                .map(|last| last.id.to_string()),
            items: items.into_iter().map(entry).collect(),
        })
    }

    /// The customer's caps.
    pub(crate) async fn caps(&self, customer: &Customer) -> Result<Vec<SpendingCap>, Error> {
        let mut tx = self.store.read().await?;
        let mut caps = Vec::new();
        for set in spending::caps(&mut tx, Some(customer)).await? {
            caps.push(self.cap(&mut tx, set).await?);
        }
        Ok(caps)
    }

    /// Sets a cap. Functions that it leaves nothing for are stopped in the same moment.
    pub(crate) async fn set_cap(
        &self,
        organisation: &OrganisationName,
        wish: SetSpendingCap,
    ) -> Result<SpendingCap, Error> {
        let customer = &customer_of(organisation)?;
        let limit = i64::try_from(wish.limit).map_err(|_| LedgerError::Limit)?;
        let now = self.clock.now_ms();
        let cap = Cap {
            limit: Amount::from_micros(limit),
            period: period_of(wish.period),
        };
        let mut tx = self.store.write().await?;
        if let Some(function) = &wish.function
            && !functions::exists(&mut tx, function, organisation).await?
        {
            return Err(LedgerError::Function(function.clone()).into());
        }
        let of = wish.function.as_ref();
        let spent = spending::since(&mut tx, customer, of, cap.period.start_ms(now)).await?;
        let held = terms::held(&mut tx, customer, of).await?;
        let set = SetCap {
            customer: customer.clone(),
            function: wish.function.clone(),
            cap,
            floor: spent.plus(held).unwrap_or(Amount::from_micros(i64::MAX)),
            set_ms: now,
        };
        spending::set_cap(&mut tx, &set).await?;
        let stops = self.beyond(&mut tx, customer, now).await?;
        let changed = match stops.is_empty() {
            true => Changed::default(),
            false => self.stop_functions(&mut tx, &stops, now).await?,
        };
        let answer = self.cap(&mut tx, set).await?;
        self.commit(tx, changed).await?;
        Ok(answer)
    }

    /// Takes a cap away. What it stopped goes on with the next look at it.
    pub(crate) async fn remove_cap(
        &self,
        customer: &Customer,
        function: Option<&FunctionName>,
        period: CapPeriod,
    ) -> Result<(), Error> {
        let mut tx = self.store.write().await?;
        if !spending::remove_cap(&mut tx, customer, function, period_of(period)).await? {
            return Err(LedgerError::NoCap.into());
        }
        self.commit(tx, Changed::default()).await
    }

    /// Functions of the customer that run and have less than nothing left.
    async fn beyond(
        &self,
        tx: &mut Transaction,
        customer: &Customer,
        now_ms: u64,
    ) -> Result<Vec<Stop>, Error> {
        let mut stops = Vec::new();
        for function in terms::running(tx, customer).await? {
            let room = self.room(tx, customer, &function, now_ms).await?;
            if let Some(room) = room.filter(|room| room.left < Amount::ZERO) {
                stops.push(Stop {
                    reason: format!("spending-cap: {} is used up", room.under),
                    wanted: terms::wanted(tx, &function).await?,
                    customer: customer.clone(),
                    function,
                });
            }
        }
        Ok(stops)
    }

    async fn cap(&self, tx: &mut Transaction, set: SetCap) -> Result<SpendingCap, Error> {
        let from = set.cap.period.start_ms(self.clock.now_ms());
        let of = set.function.as_ref();
        let spent = spending::since(tx, &set.customer, of, from).await?;
        let held = terms::held(tx, &set.customer, of).await?;
        Ok(SpendingCap {
            period: match set.cap.period {
                Period::Day => CapPeriod::Day,
                Period::Month => CapPeriod::Month,
                Period::Ever => CapPeriod::Ever,
            },
            limit: set.cap.limit.micros(),
            spent: spent.micros(),
            held: held.micros(),
            set_ms: set.set_ms,
            function: set.function,
        })
    }
}

fn period_of(period: CapPeriod) -> Period {
    match period {
        CapPeriod::Day => Period::Day,
        CapPeriod::Month => Period::Month,
        CapPeriod::Ever => Period::Ever,
    }
}

fn entry(booked: Booked) -> LedgerEntry {
    let posting = |(account, amount)| LedgerPosting { account, amount };
    LedgerEntry {
        id: booked.id,
        at_ms: booked.at_ms,
        cause: booked.cause,
        postings: booked.postings.into_iter().map(posting).collect(),
    }
}
