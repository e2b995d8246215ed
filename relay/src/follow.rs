//! The chain as it is now: follows the contract's events block by block, and goes back where blocks were reorganised away.
//!
//! The latest blocks are kept by their hashes, as deep as anything is reorganised. Each look begins by finding the highest
//! of them that the node still has. A kept block is taken back only on evidence, another block under its number; a node that
//! knows fewer blocks than were followed lags, and is waited for. Near the head, events are asked for by the block's hash, so
//! that they are that block's and no other's; blocks that are final are read many at once.
//!
//! A block, what happened in it, and what that makes of jobs and of the outbox is one transaction of the database.

mod source;

pub use source::{Header, JobEvent, Source, SourceError};

use std::time::{SystemTime, UNIX_EPOCH};

use nacre_failpoint as failpoint;
use nacre_failpoint::Step;

use crate::job::Event;
use crate::request::Contract;
use crate::store::{BlockRef, JobRow, NewJob, Outgoing, Store, StoreError, Transaction, commit};

/// How many final blocks are read at once.
const CHUNK: u64 = 1_000;
/// How many blocks are followed before somebody else has a turn.
const STRIDE: u64 = 64;

/// Why a look at the chain ended early. All of it is tried again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The highest block that was followed, where there is one.
    pub head: Option<BlockRef>,
    /// Blocks that were followed now.
    pub followed: u64,
    /// Kept blocks that were taken back.
    pub taken_back: u64,
    /// Blocks that are left until the node's head.
    pub behind: u64,
}

/// Follows one contract.
#[derive(Debug, Clone, Copy)]
pub struct Follower {
    /// Whose events.
    pub contract: Contract,
    /// The first block to read where nothing was followed yet; the present head if absent.
    pub first: Option<u64>,
    /// How deep blocks are kept: what lies deeper is never taken back.
    pub final_depth: u64,
}

impl Follower {
    /// Follows the chain to its head, or for a while.
    ///
    /// # Errors
    ///
    /// Node or database; what was followed until then is kept.
    pub async fn advance(
        &self,
        store: &Store,
        source: &impl Source,
    ) -> Result<Progress, FollowError> {
        let head = source.head().await?;
        let mut tx = store.read().await?;
        let tail = BlockRef::tail(&mut tx).await?;
        drop(tx);
        let mut progress = Progress {
            head: tail.first().copied(),
            ..Progress::default()
        };
        let mut at = match common(&tail, &head, source).await? {
            Common::Nothing => None,
            Common::Lags => return Ok(progress),
            Common::Block(block) => Some(block),
            Common::Deeper(lowest) => {
                tracing::error!(
                    block = lowest,
                    "the chain was reorganised deeper than blocks are kept; what was final before stays so"
                );
                self.take_back(store, &tail, lowest.saturating_sub(1), &mut progress)
                    .await?;
                None
            }
        };
        if let Some(block) = at
            && tail.first() != Some(&block)
        {
            self.take_back(store, &tail, block.number, &mut progress)
                .await?;
        }
        let lowest = tail.last().map(|lowest| lowest.number);
        let mut next = match (at, lowest) {
            (Some(block), _) => block.number + 1,
            (None, Some(lowest)) => lowest,
            (None, None) => self.first.unwrap_or(head.number),
        };
        while next <= head.number && progress.followed < STRIDE {
            let final_until = head.number.saturating_sub(self.final_depth);
            let block = match next < final_until {
                true => {
                    self.many(store, source, next, final_until.min(next + CHUNK - 1))
                        .await?
                }
                false => match self.one(store, source, next, at).await? {
                    Some(block) => block,
                    // Reorganised since we looked: the next look finds where.
                    None => break,
                },
            };
            (at, next) = (Some(block), block.number + 1);
            progress.followed += 1;
            progress.head = Some(block);
        }
        progress.behind = (head.number + 1).saturating_sub(next);
        Ok(progress)
    }

    async fn take_back(
        &self,
        store: &Store,
        tail: &[BlockRef],
        to: u64,
        progress: &mut Progress,
    ) -> Result<(), FollowError> {
        let mut tx = store.write().await?;
        BlockRef::roll_back(&mut tx, to, now_ms()).await?;
        commit(tx).await?;
        let gone = tail.iter().filter(|block| block.number > to).count();
        progress.taken_back = gone as u64;
        progress.head = tail.iter().find(|block| block.number <= to).copied();
        tracing::warn!(blocks = progress.taken_back, to, "reorganisation");
        Ok(())
    }

    /// One block near the head; none where it does not follow `parent`.
    async fn one(
        &self,
        store: &Store,
        source: &impl Source,
        number: u64,
        parent: Option<BlockRef>,
    ) -> Result<Option<BlockRef>, FollowError> {
        let Some(header) = source.header(number).await? else {
            return Ok(None);
        };
        if parent.is_some_and(|parent| parent.hash != header.parent) {
            return Ok(None);
        }
        let events = source.events_in(&header).await?;
        let mut tx = store.write().await?;
        self.take(&mut tx, events.into_iter().map(|event| (number, event)))
            .await?;
        self.end(tx, header.block()).await.map(Some)
    }

    /// Many blocks, all of them final.
    async fn many(
        &self,
        store: &Store,
        source: &impl Source,
        from: u64,
        to: u64,
    ) -> Result<BlockRef, FollowError> {
        let header = source.header(to).await?;
        let header = header.ok_or(SourceError::Inconsistent(
            "a block below the head is missing",
        ))?;
        let events = source.events_between(from, to).await?;
        let mut tx = store.write().await?;
        self.take(&mut tx, events.into_iter()).await?;
        self.end(tx, header.block()).await
    }

    async fn take(
        &self,
        tx: &mut Transaction,
        events: impl Iterator<Item = (u64, JobEvent)>,
    ) -> Result<(), StoreError> {
        let now = now_ms();
        for (block, event) in events {
            match event {
                JobEvent::Requested(asked) if !self.is_genuine(&asked) => {
                    tracing::error!(job = %asked.id, block, "the node's event is not a request of this contract's: passed over");
                }
                JobEvent::Requested(asked) => JobRow::requested(tx, &asked, block, now).await?,
                JobEvent::Settled(id, outcome) => {
                    // One that was asked for before we looked is none of ours.
                    JobRow::on(tx, &id, Event::Settled(block, outcome), now).await?;
                }
            }
        }
        Ok(())
    }

    /// The id commits to everything that was asked, and the hash to the input.
    fn is_genuine(&self, asked: &NewJob) -> bool {
        let hash = asked.job.request.input_hash;
        let input = asked.input.as_deref();
        asked.job.id(&self.contract) == asked.id
            && input.is_none_or(|input| nacre_protocol::digest::Digest::of(input) == hash)
    }

    async fn end(&self, mut tx: Transaction, block: BlockRef) -> Result<BlockRef, FollowError> {
        block.push(&mut tx).await?;
        if let Some(last) = block.number.checked_sub(self.final_depth) {
            BlockRef::forget_before(&mut tx, last).await?;
            Outgoing::settle_until(&mut tx, last).await?;
        }
        failpoint::before(Step::FollowBlock);
        commit(tx).await?;
        failpoint::after(Step::FollowBlock);
        Ok(block)
    }
}

/// What kept blocks and the node's chain have in common.
enum Common {
    /// Nothing is kept.
    Nothing,
    /// The node has not seen all that was followed.
    Lags,
    /// The highest kept block that the node has.
    Block(BlockRef),
    /// None of them; this is the lowest.
    Deeper(u64),
}

async fn common(
    tail: &[BlockRef],
    head: &Header,
    source: &impl Source,
) -> Result<Common, FollowError> {
    let Some(lowest) = tail.last() else {
        return Ok(Common::Nothing);
    };
    let mut differs = false;
    for block in tail.iter().filter(|block| block.number <= head.number) {
        let there = match block.number == head.number {
            true => Some(*head),
            false => source.header(block.number).await?,
        };
        let there = there.ok_or(SourceError::Inconsistent(
            "a block below the head is missing",
        ))?;
        if there.hash == block.hash {
            let is_top = tail.first() == Some(block);
            return Ok(match is_top || differs {
                true => Common::Block(*block),
                false => Common::Lags,
            });
        }
        differs = true;
    }
    Ok(match differs {
        true => Common::Deeper(lowest.number),
        false => Common::Lags,
    })
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
