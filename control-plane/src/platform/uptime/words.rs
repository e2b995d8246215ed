//! Commitments and reveals are taken in their time.

use core::ops::Range;

use nacre_protocol::uptime::{Epoch, PostCommit, PostReveal, RevealTicket};
use nacre_uptime::commit::{CommitError, check_commit, check_reveal, check_ticket};

use crate::error::{Error, RequestError, UptimeError};
use crate::platform::Platform;
use crate::store::commit as commit_to;
use crate::store::uptime::{epochs, stakes, words};

impl Platform {
    /// Takes a commitment; the first of a watcher and epoch stands.
    pub(crate) async fn take_commit(&self, commit: PostCommit) -> Result<(), Error> {
        let schedule = self.schedule();
        check_commit(&schedule, &commit).map_err(UptimeError::from)?;
        let epoch = commit.epoch;
        let now = self.while_open(
            epoch,
            schedule.commits_from(epoch)..schedule.reveals_from(epoch),
        )?;
        // Only the watcher itself comes this far: nobody else learns whether it is known.
        let mut tx = self.store.read().await?;
        if !stakes::is_watcher(&mut tx, &commit.watcher).await? {
            return Err(UptimeError::UnknownWatcher.into());
        }
        drop(tx);
        let mut tx = self.store.write().await?;
        let first = words::commit(&mut tx, &commit, now).await?;
        let stands = words::commitment(&mut tx, epoch, &commit.watcher).await?;
        let same = first || stands == Some(commit.commitment);
        if !same {
            words::said_twice(&mut tx, &commit).await?;
        }
        commit_to(tx).await?;
        if same {
            Ok(())
        } else {
            tracing::warn!(watcher = %commit.watcher, epoch = epoch.0, "a watcher committed to two things");
            Err(UptimeError::CommitDiffers(epoch).into())
        }
    }

    /// Whether this watcher may send the body of a reveal now.
    pub(crate) async fn admit_reveal(&self, ticket: &RevealTicket) -> Result<(), Error> {
        let schedule = self.schedule();
        let epoch = ticket.epoch;
        self.while_open(
            epoch,
            schedule.reveals_from(epoch)..schedule.closed_from(epoch),
        )?;
        let mut tx = self.store.read().await?;
        let committed = words::commitment(&mut tx, epoch, &ticket.watcher).await?;
        drop(tx);
        // Whoever did not commit is told what strangers are told.
        let committed = committed.ok_or(UptimeError::Word(CommitError::Signature))?;
        Ok(check_ticket(&committed, ticket).map_err(UptimeError::from)?)
    }

    /// Takes a reveal whose ticket was admitted. One that is not what was committed to is kept as well, as the watcher's
    /// word against itself, until one comes that is.
    pub(crate) async fn take_reveal(
        &self,
        ticket: RevealTicket,
        body: String,
    ) -> Result<(), Error> {
        let schedule = self.schedule();
        let epoch = ticket.epoch;
        let mut tx = self.store.read().await?;
        let committed = words::commitment(&mut tx, epoch, &ticket.watcher).await?;
        drop(tx);
        let committed = committed.ok_or(UptimeError::Word(CommitError::Signature))?;
        let checked = tokio::task::spawn_blocking(move || {
            let reveal: PostReveal = serde_json::from_str(&body)
                .map_err(|error| Error::from(RequestError::Shape(error.to_string())))?;
            if RevealTicket::from(&reveal) != ticket {
                return Err(Error::from(UptimeError::OtherTicket));
            }
            match check_reveal(&schedule, &committed, &reveal) {
                Err(error @ CommitError::Signature) => Err(UptimeError::from(error).into()),
                checked => Ok((reveal, body, checked)),
            }
        });
        let checked = checked.await;
        let (reveal, body, checked) =
            checked.map_err(|_| Error::Internal("a reveal could not be checked"))??;
        let fault = checked.as_ref().err().map(CommitError::code);
        let open = schedule.reveals_from(epoch)..schedule.closed_from(epoch);
        let now = self.while_open(epoch, open.clone())?;
        let mut tx = self.store.write().await?;
        // Another control plane's clock may be ahead.
        if epochs::standings(&mut tx, epoch).await?.is_some() {
            return Err(not_open(epoch, open, now).into());
        }
        words::reveal(&mut tx, &reveal, &body, fault, now).await?;
        commit_to(tx).await?;
        Ok(checked.map_err(UptimeError::from)?)
    }

    /// The time, if it is within this.
    fn while_open(&self, epoch: Epoch, within: Range<u64>) -> Result<u64, UptimeError> {
        let now = self.clock.now_ms();
        if within.contains(&now) {
            Ok(now)
        } else {
            Err(not_open(epoch, within, now))
        }
    }
}

fn not_open(epoch: Epoch, within: Range<u64>, now_ms: u64) -> UptimeError {
    UptimeError::NotOpen {
        epoch: epoch.0,
        from_ms: within.start,
        to_ms: within.end,
        now_ms,
    }
}
