//! What following a chain needs of a node.

use nacre_protocol::chain_job::ChainJobId;
use nacre_protocol::eip712::Word;

use crate::job::Outcome;
use crate::store::{BlockRef, NewJob};

/// A block's header, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: Word,
    /// The hash of the block before it.
    pub parent: Word,
    /// Unix seconds.
    pub time: u64,
}

impl Header {
    /// Without its parent.
    pub fn block(&self) -> BlockRef {
        BlockRef {
            number: self.number,
            hash: self.hash,
            time: self.time,
        }
    }
}

/// What `JobRelay` told of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It was asked for.
    Requested(Box<NewJob>),
    /// It ended.
    Settled(ChainJobId, Outcome),
}

/// A node that cannot, or will not, say.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No answer, or an error for one.
    #[error("rpc-failed: {0}")]
    Failed(String),
    /// Answers that do not go together: a reorganisation in the middle, several nodes behind one URL, or a lie.
    #[error("rpc-inconsistent: {0}")]
    Inconsistent(&'static str),
}

/// A node's view of the chain and of one contract's events.
pub trait Source: Sync {
    /// The latest block.
    fn head(&self) -> impl Future<Output = Result<Header, SourceError>> + Send;

    /// The block of this number, if there is one.
    fn header(
        &self,
        number: u64,
    ) -> impl Future<Output = Result<Option<Header>, SourceError>> + Send;

    /// The contract's events in exactly this block, in their order.
    fn events_in(
        &self,
        block: &Header,
    ) -> impl Future<Output = Result<Vec<JobEvent>, SourceError>> + Send;

    /// The contract's events from one block to another, with their blocks' numbers, in their order.
    fn events_between(
        &self,
        from: u64,
        to: u64,
    ) -> impl Future<Output = Result<Vec<(u64, JobEvent)>, SourceError>> + Send;
}
