//! Slashes that uptime settled, booked once each: from the operator's stake, then from what it earned, to the treasury.

use nacre_ledger::{Account, Amount, Cause, Entry, EntryError, Posting};

use super::Platform;
use crate::error::Error;
use crate::store::ledger::slashes::{self, Due};
use crate::store::ledger::{balance, book, journal_time};
use crate::store::{Transaction, commit};

impl Platform {
    /// Books what stake and earnings cover. The rest waits, and is kept back from payouts.
    pub(super) async fn book_slashes(&self) -> Result<(), Error> {
        let mut tx = self.store.read().await?;
        let mut any = false;
        for due in slashes::pending(&mut tx, None).await? {
            any |= covered(&mut tx, &due).await?.is_some();
        }
        drop(tx);
        if !any {
            return Ok(());
        }
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        for due in slashes::pending(&mut tx, None).await? {
            let Some((stake, earned)) = covered(&mut tx, &due).await? else {
                continue;
            };
            let gives = |amount| Amount::ZERO.minus(amount).map_err(EntryError::from);
            let postings = vec![
                Posting {
                    account: Account::Stake(due.operator),
                    amount: gives(stake)?,
                },
                Posting {
                    account: Account::Operator(due.operator),
                    amount: gives(earned)?,
                },
                Posting {
                    account: Account::Treasury,
                    amount: due.amount,
                },
            ];
            let cause = Cause::Slash(due.node, due.number);
            let at = journal_time(&mut tx, now).await?;
            if book(&mut tx, &Entry::new(cause, at, postings)?).await? {
                let (node, number, amount) = (due.node, due.number, due.amount);
                tracing::warn!(%node, window = number, %amount, "slashed");
            }
        }
        commit(tx).await?;
        Ok(())
    }
}

/// What stake and earnings give for it; none while they do not cover it.
async fn covered(tx: &mut Transaction, due: &Due) -> Result<Option<(Amount, Amount)>, Error> {
    let stake = balance(tx, &Account::Stake(due.operator)).await?;
    let stake = stake.min(due.amount);
    let rest = due.amount.minus(stake).map_err(EntryError::from)?;
    let earned = balance(tx, &Account::Operator(due.operator)).await?;
    Ok((earned >= rest).then_some((stake, rest)))
}
