//! Disputes: a watcher's own evidence against its own word.

use nacre_protocol::uptime::{Slot, Standing};
use nacre_uptime::{Dispute, EvidenceRecord};

use crate::error::{Error, UptimeError};
use crate::platform::Platform;
use crate::store::commit;
use crate::store::uptime::words::Word;
use crate::store::uptime::{circumstances, epochs, windows, words};

impl Platform {
    /// Takes a record that shows that its watcher was answered where it said "down", and judges the node's slot anew.
    /// Taken again, it changes nothing.
    pub(crate) async fn dispute(&self, record: EvidenceRecord) -> Result<(), Error> {
        let schedule = self.schedule();
        let epoch = schedule.epoch_of(record.slot);
        let window = schedule.window_of(epoch);
        let within = schedule.slot_start(record.slot)
            ..schedule.slot_start(Slot(record.slot.0.saturating_add(1)));
        let closed = || Error::from(UptimeError::DisputeClosed(epoch));
        let now = self.clock.now_ms();
        if now < schedule.closed_from(epoch) || now >= self.uptime.settles_at(window) {
            return Err(closed());
        }
        let mut tx = self.store.read().await?;
        let judged = epochs::standings(&mut tx, epoch)
            .await?
            .ok_or_else(closed)?;
        let question = self.question(&mut tx, epoch).await?;
        let boots = circumstances::boots(&mut tx, &record.node, &within).await?;
        drop(tx);
        let counts = judged.iter().any(|standing| {
            standing.watcher == record.watcher && standing.standing == Standing::Counted
        });
        let mut said = question.words.iter();
        let said = said.find(|word| word.watcher == record.watcher && counts);
        let reveal = said.and_then(|word| word.reveal.as_ref());
        let reveal = reveal.ok_or(UptimeError::NothingToOverturn)?;
        if !said.is_some_and(|word| said_down(word, &record, schedule.index_in_epoch(record.slot)))
        {
            return Err(UptimeError::NothingToOverturn.into());
        }
        let dispute = Dispute {
            record: &record,
            revealed_salt: reveal.salt,
            slot_ms: schedule.slot_ms(),
            boots: &boots,
        };
        let word = dispute
            .check(&self.uptime.trust)
            .map_err(UptimeError::from)?;
        let bytes = record.to_json();
        let bytes = bytes.map_err(|_| Error::Internal("a record does not become JSON"))?;

        let mut tx = self.store.write().await?;
        // Another control plane's clock may be ahead.
        if windows::last(&mut tx)
            .await?
            .is_some_and(|last| last >= window)
        {
            return Err(closed());
        }
        let hash = EvidenceRecord::hash(&bytes);
        if words::overturn(&mut tx, epoch, &word, &hash, self.clock.now_ms()).await? {
            let mut question = question;
            question.overturned = words::overturned(&mut tx, epoch).await?;
            let (_, mut nodes) = question.judge();
            nodes.retain(|node| node.node == record.node);
            epochs::put(&mut tx, &nodes).await?;
            tracing::warn!(watcher = %record.watcher, node = %record.node, slot = record.slot.0, "a watcher's word was overturned");
        }
        Ok(commit(tx).await?)
    }
}

fn said_down(word: &Word, record: &EvidenceRecord, at: usize) -> bool {
    use nacre_protocol::uptime::Outcome;
    let row = word.reveal.as_ref().and_then(|reveal| {
        let found = reveal
            .rows
            .binary_search_by(|row| row.node.cmp(&record.node));
        reveal.rows.get(found.ok()?)
    });
    let byte = row.and_then(|row| row.outcomes.get(at));
    let outcome = byte.and_then(|byte| Outcome::from_byte(*byte));
    matches!(outcome, Some(Outcome::Down(_)))
}
