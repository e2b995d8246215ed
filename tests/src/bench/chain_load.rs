//! Many contracts' requests at once: how many a second are asked, run, answered and called back.

use std::collections::BTreeMap;
use std::time::Duration;

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, U256};
use alloy::providers::Provider as _;
use anyhow::{Context as _, ensure};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use nacre_chain::contracts::JobRelay;
use nacre_chain::deployment::Name;
use tokio::time::{interval, timeout};

use crate::dev_chain::{DevChain, FEE};

/// Requests in all: half a minute's work at the promised rate.
const JOBS: u64 = 1_500;
/// Requests on their way to the node at once.
const HANDS: usize = 16;
/// More than a request with a drawing takes; not asked for, since that would be the node's work too.
const GAS: u64 = 400_000;
/// Blocks at either end that are not counted: work begins and ends in them.
const EDGE: usize = 2;
/// How often it is looked whether all are answered.
const LOOK: Duration = Duration::from_millis(500);
/// Until all are answered.
const PATIENCE: Duration = Duration::from_secs(300);

/// What became of them.
#[derive(Debug)]
pub struct Load {
    /// Requests that were mined.
    pub asked: u64,
    /// Of those answered, each once.
    pub answered: u64,
    /// Median of the blocks from request to callback.
    pub median_blocks: u64,
    /// The same for one in a hundred.
    pub p99_blocks: u64,
    /// Answers in the blocks that are counted.
    counted: u64,
    /// Seconds between the first and the last of these.
    seconds: u64,
}

impl Load {
    /// Answers a second, from the second block with answers to the last but one.
    pub fn per_second(&self) -> f64 {
        self.counted as f64 / self.seconds.max(1) as f64
    }
}

/// Asks faster than can be answered, and waits for everything.
///
/// # Errors
///
/// Where something is not mined, not answered, or answered twice.
pub fn sustained(chain: &DevChain, pixels: &[u8]) -> anyhow::Result<Load> {
    let deployment = chain.deployment()?;
    let relay = JobRelay::new(deployment.address(Name::JobRelay), &chain.provider);
    let payee = chain.address("relay")?;
    let owed = async || anyhow::Ok(relay.owed(Address::ZERO, payee).call().await?);
    let begun = chain.runtime.block_on(owed())?;
    let first = chain.runtime.block_on(ask(chain, pixels))?;
    // Each answer credits one fee. Seldom asked for: it is the node's work, too.
    let wanted = begun + U256::from(FEE) * U256::from(JOBS);
    chain.runtime.block_on(async {
        let mut looks = interval(LOOK);
        timeout(PATIENCE, async {
            while owed().await? < wanted {
                looks.tick().await;
            }
            anyhow::Ok(())
        })
        .await
        .context("not all were answered")?
    })?;
    let seen = |what: &str| -> anyhow::Result<BTreeMap<U256, Vec<u64>>> {
        let found: Vec<_> = chain.runtime.block_on(async {
            let (before, relay) = (first - 1, &relay);
            anyhow::Ok(match what {
                "asked" => {
                    let filter = relay.Requested_filter().from_block(before);
                    let found = filter.query().await?.into_iter();
                    found
                        .map(|(event, log)| (event.jobId, log.block_number))
                        .collect::<Vec<_>>()
                }
                _ => {
                    let filter = relay.Answered_filter().from_block(before);
                    let found = filter.query().await?.into_iter();
                    found
                        .map(|(event, log)| (event.jobId, log.block_number))
                        .collect()
                }
            })
        })?;
        let mut blocks: BTreeMap<U256, Vec<u64>> = BTreeMap::new();
        for (job, block) in found {
            let block = block.context("an event without a block")?;
            if block >= first {
                blocks.entry(job).or_default().push(block);
            }
        }
        Ok(blocks)
    };
    let (asked, answered) = (seen("asked")?, seen("answered")?);
    ensure!(
        answered.values().all(|blocks| blocks.len() == 1),
        "a job was answered twice"
    );
    let mut waits: Vec<u64> = Vec::new();
    let mut per_block: BTreeMap<u64, u64> = BTreeMap::new();
    for (job, blocks) in &answered {
        let request = asked.get(job).context("an answer to nothing")?;
        waits.push(blocks[0] - request[0]);
        *per_block.entry(blocks[0]).or_default() += 1;
    }
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() - 1) * share / 100];
    let (median_blocks, p99_blocks) = (at(50), at(99));
    let blocks: Vec<_> = per_block.into_iter().collect();
    ensure!(blocks.len() > 2 * EDGE, "it was over too soon to tell");
    let counted = &blocks[EDGE..blocks.len() - EDGE];
    let seconds = chain.runtime.block_on(async {
        let time = async |number: u64| {
            let block = chain.provider.get_block_by_number(number.into()).await?;
            let block = block.context("no such block")?;
            anyhow::Ok(block.header.timestamp)
        };
        // The first counted block's answers were made in the second before it.
        let begun = time(blocks[EDGE - 1].0).await?;
        let ended = time(counted[counted.len() - 1].0).await?;
        anyhow::Ok(ended - begun)
    })?;
    Ok(Load {
        asked: asked.len() as u64,
        answered: answered.len() as u64,
        median_blocks,
        p99_blocks,
        counted: counted.iter().map(|(_, answers)| answers).sum(),
        seconds,
    })
}

/// Hands all requests in; gives the first block that they can be in.
async fn ask(chain: &DevChain, pixels: &[u8]) -> anyhow::Result<u64> {
    let (provider, user) = (&chain.provider, chain.user);
    let first = provider.get_block_number().await? + 1;
    let nonce = provider.get_transaction_count(user).await?;
    let gate = chain.gate()?;
    let call = gate.play(pixels.to_vec().into());
    let call = call.value(U256::from(FEE)).into_transaction_request();
    let call = call
        .with_from(user)
        .with_gas_limit(GAS)
        // What anvil asks at most on a chain that is never full for long.
        .with_max_fee_per_gas(100_000_000_000)
        .with_max_priority_fee_per_gas(1_000_000_000)
        .with_chain_id(provider.get_chain_id().await?);
    stream::iter(nonce..nonce + JOBS)
        .map(|nonce| {
            let call = call.clone().with_nonce(nonce);
            async move {
                // What becomes of it is seen in the events.
                let _ = provider.send_transaction(call).await?;
                anyhow::Ok(())
            }
        })
        .buffered(HANDS)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(first)
}
