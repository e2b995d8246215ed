//! What contracts said, looked for in parts: nodes limit how many blocks one question may span.

use alloy::contract::Event;
use alloy::primitives::B256;
use alloy::providers::Provider;
use alloy::sol_types::SolEvent;

use crate::error::ChainError;

/// How many blocks a node is asked for events of at once.
const BLOCKS: u64 = 10_000;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<E> {
    /// What was said.
    pub event: E,
    /// In which transaction.
    pub transaction: Option<B256>,
}

/// All such events from a block on, oldest first.
///
/// # Errors
///
/// The nodes' own.
pub async fn all<P: Provider, E: SolEvent>(
    filter: Event<P, E>,
    from: u64,
) -> Result<Vec<Found<E>>, ChainError> {
    look(filter, from, false).await
}

/// One such event from a block on, if there is any: of those in the earliest part that has some, the last.
///
/// # Errors
///
/// The nodes' own.
pub async fn one<P: Provider, E: SolEvent>(
    filter: Event<P, E>,
    from: u64,
) -> Result<Option<Found<E>>, ChainError> {
    Ok(look(filter, from, true).await?.pop())
}

async fn look<P: Provider, E: SolEvent>(
    mut filter: Event<P, E>,
    from: u64,
    any: bool,
) -> Result<Vec<Found<E>>, ChainError> {
    let head = filter.provider.get_block_number().await?;
    let mut found = Vec::new();
    let mut first = from;
    while first <= head && (!any || found.is_empty()) {
        let last = head.min(first.saturating_add(BLOCKS - 1));
        filter = filter.from_block(first).to_block(last);
        let events = filter.query().await?.into_iter();
        found.extend(events.map(|(event, log)| Found {
            event,
            transaction: log.transaction_hash,
        }));
        first = last + 1;
    }
    Ok(found)
}
