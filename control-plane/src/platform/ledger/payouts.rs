//! What operators earned, and what they ask to be paid of it. Nothing is booked before it is paid (`nacre admin payout`): until
//! then what was asked for is only kept from being asked for or paid again.

use nacre_ledger::{Account, Amount, EntryError};
use nacre_protocol::api::Page;
use nacre_protocol::api::payouts::{AskPayout, OperatorBalance, Payout, PayoutState};
use nacre_protocol::ids::{OperatorId, OrganisationName, PayoutId};

use super::Platform;
use crate::error::{Error, PayoutError};
use crate::platform::{Answer, Idempotency, random_id};
use crate::store::ledger::payouts::{self, Standing};
use crate::store::ledger::{balance, journal_time};
use crate::store::{Transaction, commit};

/// What cursors of the lists are sealed for.
const OPERATORS: &str = "operators";
const PAYOUTS: &str = "payouts";

impl Platform {
    /// A page of what operators of the organisation's nodes have, by operator.
    pub(crate) async fn operators(
        &self,
        organisation: &OrganisationName,
        after: &str,
        limit: u32,
    ) -> Result<Page<OperatorBalance>, Error> {
        let id = |text: &str| text.parse::<OperatorId>().ok();
        let after = self.cursors.open(OPERATORS, organisation, after, id)?;
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let mut tx = self.store.read().await?;
        let operators = payouts::operators(&mut tx, organisation, &after, limit + 1).await?;
        let mut items = Vec::with_capacity(operators.len());
        for operator in operators {
            items.push(of(&mut tx, operator).await?);
        }
        let id = |item: &OperatorBalance| item.operator.to_string();
        Ok(self.cursors.page(OPERATORS, organisation, items, limit, id))
    }

    /// Asks for a payout.
    pub(crate) async fn ask_payout(
        &self,
        organisation: &OrganisationName,
        wish: &AskPayout,
        once: Option<&Idempotency>,
    ) -> Result<Answer, Error> {
        let wanted = wish.amount.map(i64::try_from).transpose();
        let wanted = wanted.map_err(|_| PayoutError::Amount)?;
        if wanted == Some(0) {
            return Err(PayoutError::Amount.into());
        }
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        if let Some(answer) = Idempotency::repeated(once, &mut tx, now).await? {
            return Ok(answer);
        }
        let operator = wish.operator;
        if !payouts::is_of(&mut tx, organisation, &operator).await? {
            return Err(PayoutError::Operator(operator).into());
        }
        let standing = payouts::standing(&mut tx, &operator).await?;
        let has = standing.available().map_err(EntryError::from)?;
        let wanted = wanted.map_or(has, Amount::from_micros);
        if wanted > has || has == Amount::ZERO {
            return Err(PayoutError::Short { has }.into());
        }
        let payout = Payout {
            id: PayoutId::from_random(random_id()?),
            operator,
            amount: wanted.micros(),
            state: PayoutState::Asked,
            asked_ms: journal_time(&mut tx, now).await?,
            ended_ms: None,
            reference: None,
        };
        payouts::insert(&mut tx, &payout).await?;
        let answer = Answer::created(&payout)?;
        Idempotency::keep(once, &mut tx, &answer, now).await?;
        commit(tx).await?;
        tracing::info!(%operator, payout = %payout.id, amount = %wanted, "a payout was asked for");
        Ok(answer)
    }

    /// A page of payouts, the latest first: of one operator, or of all of the organisation's nodes.
    pub(crate) async fn payouts(
        &self,
        organisation: &OrganisationName,
        operator: Option<&OperatorId>,
        after: &str,
        limit: u32,
    ) -> Result<Page<Payout>, Error> {
        let place = |text: &str| {
            let (asked, id) = text.split_once(' ')?;
            Some((asked.parse::<u64>().ok()?, id.parse::<PayoutId>().ok()?))
        };
        let after = self.cursors.open(PAYOUTS, organisation, after, place)?;
        let (asked, id) = match after {
            Some((asked, id)) => (asked, id.to_string()),
            None => (i64::MAX as u64, String::new()),
        };
        let mut tx = self.store.read().await?;
        let before = (asked, id.as_str());
        let items = payouts::list(&mut tx, organisation, operator, before, limit + 1).await?;
        let place = |item: &Payout| format!("{} {}", item.asked_ms, item.id);
        Ok(self
            .cursors
            .page(PAYOUTS, organisation, items, limit, place))
    }

    /// A payout to an operator of the organisation's nodes.
    pub(crate) async fn payout(
        &self,
        organisation: &OrganisationName,
        id: PayoutId,
    ) -> Result<Payout, Error> {
        let mut tx = self.store.read().await?;
        owned(&mut tx, organisation, id).await
    }

    /// Takes a wish back. What was taken back stays so.
    pub(crate) async fn withdraw_payout(
        &self,
        organisation: &OrganisationName,
        id: PayoutId,
    ) -> Result<Payout, Error> {
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let payout = owned(&mut tx, organisation, id).await?;
        match payout.state {
            PayoutState::Paid => return Err(PayoutError::Paid.into()),
            PayoutState::Withdrawn => return Ok(payout),
            PayoutState::Asked => {}
        }
        payouts::withdraw(&mut tx, &id, now).await?;
        let payout = owned(&mut tx, organisation, id).await?;
        commit(tx).await?;
        Ok(payout)
    }
}

async fn owned(
    tx: &mut Transaction,
    organisation: &OrganisationName,
    id: PayoutId,
) -> Result<Payout, Error> {
    let payout = payouts::get(tx, &id).await?;
    let payout = payout.ok_or(PayoutError::Unknown)?;
    match payouts::is_of(tx, organisation, &payout.operator).await? {
        true => Ok(payout),
        false => Err(PayoutError::Unknown.into()),
    }
}

async fn of(tx: &mut Transaction, operator: OperatorId) -> Result<OperatorBalance, Error> {
    let standing = payouts::standing(tx, &operator).await?;
    let available = standing.available().map_err(EntryError::from)?;
    let Standing {
        earned,
        asked,
        kept_back,
        paid,
    } = standing;
    Ok(OperatorBalance {
        operator,
        earned: earned.micros(),
        asked: asked.micros(),
        kept_back: kept_back.micros(),
        available: available.micros(),
        paid: paid.micros(),
        stake: balance(tx, &Account::Stake(operator)).await?.micros(),
    })
}
