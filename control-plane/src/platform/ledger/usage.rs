//! Usage receipts: checked as a whole, then booked once each.

use std::collections::{BTreeMap, BTreeSet};

use nacre_ledger::{
    Account, Agreement, Amount, Cause, Customer, Entry, EntryError, Fee, Incident, Posting,
    Sequence, Standing, Usage,
};
use nacre_protocol::api::jobs::ReportUsage;
use nacre_protocol::ids::{BootId, LeaseId, NodeId};
use nacre_protocol::usage::{SignedUsage, UsageReceipt};

use super::Platform;
use crate::error::{Error, LedgerError};
use crate::platform::Changed;
use crate::store::ledger::spending::Stop;
use crate::store::ledger::terms::{self, Terms};
use crate::store::ledger::usage::{self, Taken};
use crate::store::ledger::{balance, book, journal_time, rates, spending};
use crate::store::{Transaction, commit};

/// Most receipts of one report.
const MAX_RECEIPTS: usize = 256;

impl Platform {
    /// Takes a node's usage receipts. When this succeeds, each is in the database, booked once.
    ///
    /// A report with a receipt that is not this node's, or not signed, is refused whole. Receipts are booked in their order
    /// up to one whose number is from nowhere; those before it stay booked, and come again as known.
    pub(crate) async fn take_usage(&self, node: NodeId, report: ReportUsage) -> Result<(), Error> {
        let receipts = report.receipts;
        check_form(&receipts)?;
        if let Some((boot, refused)) = self.first_unproven(node, &receipts).await? {
            self.note(node, boot, &refused).await?;
            return Err(refused.into());
        }
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        let mut desk = Desk::open(self, &mut tx, node, &receipts, now).await?;
        let taken = desk.take_all(&mut tx, &receipts).await;
        let jump = match taken {
            Err(Error::Ledger(jump @ LedgerError::Jump(_))) => Some(jump),
            taken => {
                taken?;
                None
            }
        };
        let changed = desk.close(&mut tx).await?;
        self.commit(tx, changed).await?;
        jump.map_or(Ok(()), |jump| Err(jump.into()))
    }

    /// The first receipt that proves nothing, without anybody's turn to write.
    async fn first_unproven(
        &self,
        node: NodeId,
        receipts: &[SignedUsage],
    ) -> Result<Option<(BootId, LedgerError)>, Error> {
        let mut keys = BTreeMap::new();
        let mut tx = self.store.read().await?;
        for signed in receipts {
            let boot = signed.receipt.boot_id;
            if keys.contains_key(&boot) {
                continue;
            }
            match usage::boot(&mut tx, &boot).await? {
                Some((owner, key)) if owner == node => drop(keys.insert(boot, key)),
                _ => return Ok(Some((boot, LedgerError::Boot(boot)))),
            }
        }
        drop(tx);
        let receipts = receipts.to_vec();
        let checked = tokio::task::spawn_blocking(move || {
            let unsigned = |signed: &&SignedUsage| {
                let key = keys.get(&signed.receipt.boot_id);
                key.is_none_or(|key| signed.verify(key).is_err())
            };
            let found = receipts.iter().find(unsigned);
            found.map(|signed| signed.receipt)
        });
        let checked = checked.await;
        let unsigned = checked.map_err(|_| Error::Internal("a check of signatures broke off"))?;
        Ok(unsigned.map(|receipt| (receipt.boot_id, LedgerError::Signature(receipt.seq))))
    }

    async fn note(&self, node: NodeId, boot: BootId, refused: &LedgerError) -> Result<(), Error> {
        let code = match refused {
            LedgerError::Boot(_) => "usage-boot-foreign",
            _ => "usage-signature-invalid",
        };
        let now = self.clock.now_ms();
        let mut tx = self.store.write().await?;
        usage::note_incident(&mut tx, &node, &boot, (code, ""), now).await?;
        commit(tx).await?;
        tracing::warn!(%node, %boot, code, "incident: {refused}");
        Ok(())
    }
}

/// One report on its way into the ledger.
struct Desk<'a> {
    platform: &'a Platform,
    node: NodeId,
    at_ms: u64,
    sequences: BTreeMap<BootId, Sequence>,
    touched: BTreeSet<LeaseId>,
    stops: Vec<Stop>,
}

impl<'a> Desk<'a> {
    /// Its time is not before that of anything that came of these boots: what dates a receipt does not go back, whatever the
    /// clocks of several control planes say.
    async fn open(
        platform: &'a Platform,
        tx: &mut Transaction,
        node: NodeId,
        receipts: &[SignedUsage],
        now_ms: u64,
    ) -> Result<Self, Error> {
        let mut at_ms = journal_time(tx, now_ms).await?;
        let mut sequences = BTreeMap::new();
        let boots = receipts.iter().map(|signed| signed.receipt.boot_id);
        for boot in boots.collect::<BTreeSet<_>>() {
            let sequence = usage::sequence(tx, &boot).await?;
            at_ms = at_ms.max(sequence.latest_ms());
            sequences.insert(boot, sequence);
        }
        Ok(Self {
            platform,
            node,
            at_ms,
            sequences,
            touched: BTreeSet::new(),
            stops: Vec::new(),
        })
    }

    async fn take_all(
        &mut self,
        tx: &mut Transaction,
        receipts: &[SignedUsage],
    ) -> Result<(), Error> {
        for signed in receipts {
            let (boot, seq) = (signed.receipt.boot_id, signed.receipt.seq);
            let sequence = self.sequences.entry(boot).or_default();
            let (standing, gap) = match sequence.take(seq, self.at_ms) {
                Ok(taken) => taken,
                Err(jump) => {
                    self.incident(tx, &boot, &jump).await?;
                    return Err(LedgerError::Jump(jump).into());
                }
            };
            if let Some(gap) = gap {
                self.incident(tx, &boot, &gap).await?;
            }
            match standing {
                Standing::New { signed_by_ms } => self.take(tx, signed, signed_by_ms).await?,
                Standing::Known => {
                    let known = usage::get(tx, &boot, seq).await?;
                    if known.is_none_or(|known| known.signed.receipt != signed.receipt) {
                        let repeat = Incident::Repeat(seq);
                        self.incident(tx, &boot, &repeat).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps what the numbers have come to, and sets aside what was used up.
    async fn close(mut self, tx: &mut Transaction) -> Result<Changed, Error> {
        for (boot, sequence) in &self.sequences {
            usage::keep_sequence(tx, boot, sequence).await?;
        }
        let mut short = Vec::new();
        for lease in &self.touched {
            let terms = terms::get(tx, lease).await?;
            let runs = |terms: &Terms| terms.ended_ms.is_none() && terms.held < terms.hold;
            short.extend(terms.filter(runs));
        }
        let mut stops = self.platform.top_up(tx, short, self.at_ms).await?;
        stops.append(&mut self.stops);
        if stops.is_empty() {
            return Ok(Changed::default());
        }
        self.platform.stop_functions(tx, &stops, self.at_ms).await
    }

    async fn take(
        &mut self,
        tx: &mut Transaction,
        signed: &SignedUsage,
        signed_by_ms: u64,
    ) -> Result<(), Error> {
        let receipt = &signed.receipt;
        let (rate, cost, charged) = match self.terms_of(tx, receipt).await? {
            None => (None, Amount::ZERO, Amount::ZERO),
            Some(terms) => {
                let agreed = rates::charged_by(tx, &terms.lease, signed_by_ms).await?;
                let agreed = agreed.ok_or(Error::Internal("a lease without an agreement"))?;
                let (cost, charged) = self.charge(tx, receipt, &terms, &agreed).await?;
                (Some(agreed.number), cost, charged)
            }
        };
        let taken = Taken {
            signed: *signed,
            rate,
            cost,
            charged,
            booked_ms: self.at_ms,
        };
        Ok(usage::insert(tx, &taken).await?)
    }

    /// The terms under which a receipt is charged; none where nobody pays for it.
    async fn terms_of(
        &self,
        tx: &mut Transaction,
        receipt: &UsageReceipt,
    ) -> Result<Option<Terms>, Error> {
        let Some(lease) = receipt.lease else {
            return Ok(None);
        };
        let terms = terms::get(tx, &lease).await?;
        let code = match &terms {
            None => "usage-lease-unknown",
            Some(terms) if terms.node != self.node => "usage-lease-foreign",
            Some(terms) if terms.settled_ms.is_some() => "usage-late",
            Some(_) => return Ok(terms),
        };
        let which = lease.to_string();
        let (node, boot) = (&self.node, &receipt.boot_id);
        usage::note_incident(tx, node, boot, (code, &which), self.at_ms).await?;
        tracing::warn!(%node, %boot, code, %lease, "incident: usage that nobody pays");
        Ok(None)
    }

    /// Books what a receipt costs, as far as it is covered.
    async fn charge(
        &mut self,
        tx: &mut Transaction,
        receipt: &UsageReceipt,
        terms: &Terms,
        agreed: &Agreement,
    ) -> Result<(Amount, Amount), Error> {
        let used = Usage {
            compute_micros: receipt.compute_micros.into(),
            bytes: receipt.bytes_in.saturating_add(receipt.bytes_out),
        };
        let cost = agreed.cost(used).unwrap_or(Amount::from_micros(i64::MAX));
        let room = self
            .platform
            .room(tx, &terms.customer, &terms.function, self.at_ms)
            .await?;
        let covered = room.as_ref().map_or(cost, |room| {
            let left = room.left.max(Amount::ZERO);
            terms.held.plus(left).unwrap_or(cost)
        });
        let charged = cost.min(covered);
        if charged > Amount::ZERO {
            let rest = terms.held.minus(charged.min(terms.held));
            let rest = rest.map_err(|_| Error::Internal("a hold below nothing"))?;
            terms::set_held(tx, &terms.lease, rest).await?;
            let (customer, function) = (&terms.customer, &terms.function);
            spending::add(tx, customer, function, self.at_ms, charged).await?;
            let entry = self.entry(tx, receipt, terms, agreed.fee, charged);
            let entry = entry.await?;
            if !book(tx, &entry).await? {
                return Err(Error::Internal("usage was booked that never came"));
            }
            self.touched.insert(terms.lease);
        }
        if charged < cost && terms.ended_ms.is_none() {
            let under = room.map(|room| room.under).unwrap_or_default();
            self.stops.push(Stop {
                function: terms.function.clone(),
                customer: terms.customer.clone(),
                reason: format!("spending-cap: {under} is used up"),
                wanted: terms::wanted(tx, &terms.function).await?,
            });
        }
        Ok((cost, charged))
    }

    /// The customer pays from what it has, and owes the rest; the operator gets it less the platform's share.
    async fn entry(
        &self,
        tx: &mut Transaction,
        receipt: &UsageReceipt,
        terms: &Terms,
        fee: Fee,
        charged: Amount,
    ) -> Result<Entry, Error> {
        let customer: &Customer = &terms.customer;
        let own = Account::Customer(customer.clone());
        let paid = balance(tx, &own).await?.max(Amount::ZERO).min(charged);
        let (operator, platform) = fee.split(charged);
        let gives = |amount: Amount| Amount::ZERO.minus(amount);
        let parts = [
            (own, gives(paid)),
            (
                Account::Owed(customer.clone()),
                charged.minus(paid).and_then(gives),
            ),
            (Account::Operator(terms.operator), Ok(operator)),
            (Account::Platform, Ok(platform)),
        ];
        let mut postings = Vec::new();
        for (account, amount) in parts {
            let amount = amount.map_err(EntryError::from)?;
            postings.push(Posting { account, amount });
        }
        let cause = Cause::Usage(receipt.boot_id, receipt.seq);
        Ok(Entry::new(cause, self.at_ms, postings)?)
    }

    async fn incident(
        &self,
        tx: &mut Transaction,
        boot: &BootId,
        incident: &Incident,
    ) -> Result<(), Error> {
        let which = incident.to_string();
        let code = incident.code();
        usage::note_incident(tx, &self.node, boot, (code, &which), self.at_ms).await?;
        tracing::warn!(node = %self.node, %boot, code, "incident: {which}");
        Ok(())
    }
}

fn check_form(receipts: &[SignedUsage]) -> Result<(), LedgerError> {
    if receipts.len() > MAX_RECEIPTS {
        return Err(LedgerError::TooMany);
    }
    let fits = |number: u64| i64::try_from(number).is_ok();
    let all_fit = receipts.iter().all(|signed| {
        let receipt = &signed.receipt;
        let bytes = receipt.bytes_in.checked_add(receipt.bytes_out);
        // The due number is one more.
        fits(receipt.seq.saturating_add(1)) && bytes.is_some_and(fits)
    });
    all_fit.then_some(()).ok_or(LedgerError::Number)
}
